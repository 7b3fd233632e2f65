"""The model card: what a model is for, what it is not for, where it comes from, and what was measured."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hyperaware.models.licences import UNKNOWN, known, non_commercial

if TYPE_CHECKING:
    from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["Measured", "base_model", "card", "licence_of_model"]

TASK = "zero-shot-image-classification"
"""Of the Hub's tasks, the one that fits a dual encoder."""
HUB_LICENCES = (
    *(UNKNOWN, "apache-2.0", "mit", "openrail", "creativeml-openrail-m", "bsd-2-clause", "bsd-3-clause"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0"),
    *("gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0", "gemma", "apple-amlr", "apple-ascl"),
)
"""Names that the Hub takes as `license`; any other one is written as `other`, with a `license_name`."""

WORLD_USE = """Learning, testing and demonstrations of safety-aware search and moderation, offline and on two
CPU cores."""
WORLD_LIMITS = """This model knows the embedded world of hyperaware, drawn by a program, and **nothing else**:
on photographs, emoji or other people's drawings its scores mean nothing. It is for learning, testing and
demonstrations, never for moderating what people upload. It does not understand negation."""
OTHER_USE = """Search and moderation of pictures and texts, after it was measured on data like those that it
will see, and where people decide what is done with its answers."""
OTHER_LIMITS = """Scores are relative to the data that the bounds were measured on. Measure them again on data
of your own before you rely on them (`hyperaware bounds`), and have people review what matters. It is no
detector of illegal content."""
OF_UNKNOWN_FIGURES = "None were recorded for these weights. `hyperaware evaluate` measures them on your data."


class Measured(NamedTuple):
    """Figures of the model on one set of rows, as a run recorded them."""

    data: str
    split: str
    rows: int
    table: str
    """The figures as Markdown."""
    figures: Mapping[str, float]
    """Those of the table by their keys, for the Hub's index of figures."""


def card(
    model: "DualEncoder",
    *,
    figures: Mapping[str, float] | None = None,
    license: str | None = None,
    library: str = "hyperaware",
    method: str | None = None,
    measured: Sequence[Measured] = (),
    thresholds: Sequence[str] = (),
    files: str | None = None,
    use: str | None = None,
) -> str:
    """The card as Markdown, its head in YAML as the Hugging Face Hub reads it.

    Args:
        figures: names, which say the split, to fractions.
        license: of the weights. [default: what the model's provenance says or implies]
        library: the one that opens the files.
        method: the paper that the model was trained by, in one line.
        measured: figures as runs recorded them.
        thresholds: what is promised of the bounds, a sentence each.
        files: what these files are, where they are no model folder of hyperaware.
        use: how the files are opened, as Markdown.
    """
    made = model.provenance
    license = licence_of_model(model) if license is None else license
    world = _of_world(model)
    space = model.space.config()
    curvature = f", curvature -{space['curv']:.4g}" if "curv" in space else ""
    million = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    lines = [
        _head(model, license, library, measured) + f"# {model.name}",
        f"A dual encoder for pictures and texts in the {space['name']} space{curvature}: {million:.2f} M "
        f"parameters, pictures of {model.preprocess.size} px, points of {model.dim} coordinates.",
        *([] if files is None else [f"## What these files are\n\n{files}"]),
        "## What it is for\n\n" + (WORLD_USE if world else OTHER_USE),
        "## What it is not for\n\n" + (WORLD_LIMITS if world else OTHER_LIMITS),
        "## How it was made\n\n" + "\n".join(_made(made, method)),
    ]
    if figures:
        rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in figures.items())
        lines.append(f"## Figures\n\n| figure | value |\n| --- | --- |\n{rows}")
    elif measured:
        lines += ["## Figures", *(_figures(each) for each in measured)]
    else:
        lines.append(f"## Figures\n\n{OF_UNKNOWN_FIGURES}")
    if thresholds:
        lines.append("## Thresholds\n\n" + "\n".join(f"- {sentence}" for sentence in thresholds))
    lines.append(f"## Licence\n\n{_licence(license, made)}")
    lines.append("## Use\n\n" + (_use(model) if use is None else use))
    return "\n\n".join(lines) + "\n"


def licence_of_model(model: "DualEncoder") -> str:
    """The licence that the provenance states; "apache-2.0" of what was made of the embedded world alone."""
    stated = model.provenance.get("license")
    if stated:
        return str(stated)
    row = known().get(base_model(model) or "")
    if row is not None:
        return row.licence
    return "apache-2.0" if _of_world(model) and _base_is_ours(model) else UNKNOWN


def base_model(model: "DualEncoder") -> str | None:
    """The repository on the Hub that the weights come from, as the provenance tells it; None without one."""
    for key in ("source", "base"):
        name, prefix, repo = str(model.provenance.get(key) or "").partition("hf:")
        if prefix and not name:
            return repo.partition("@")[0]
    return None


def _of_world(model: "DualEncoder") -> bool:
    return str(model.provenance.get("rows", "")).startswith("world:")


def _base_is_ours(model: "DualEncoder") -> bool:
    """Whether training began with fresh weights or with the shipped base, which is of the world too."""
    return model.provenance.get("base") in (None, "world")


def _head(model: "DualEncoder", license: str, library: str, measured: Sequence[Measured]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=each.data,
            dataset_name=f"{each.data}, {each.rows} rows",
            dataset_split=each.split,
            metric_type=key,
            metric_value=float(value),
        )
        for each in measured
        for key, value in each.figures.items()
    ]
    plain = license.lower() in HUB_LICENCES
    data = ModelCardData(
        license=license.lower() if plain else "other",
        license_name=None if plain else license,
        base_model=base_model(model),
        library_name=library,
        pipeline_tag=TASK,
        tags=["clip", "safety", model.space.name],
        model_name=model.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml().strip()}\n---\n"


def _made(made: Mapping[str, object], method: str | None) -> list[str]:
    lines = [f"- {key}: {value}" for key, value in made.items()]
    if method is not None:
        lines.insert(0, f"- paper: {method}")
    return lines or ["- nothing is recorded"]


def _figures(measured: Measured) -> str:
    where = f"{measured.rows} rows of {measured.data}, split {measured.split}:"
    return f"{where}\n\n{measured.table.strip()}"


def _licence(license: str, made: Mapping[str, object]) -> str:
    source = f", as of {made['source']}" if made.get("source") else ""
    if license == UNKNOWN:
        return "Unknown: ask those who made the weights before you use them."
    if non_commercial(license):
        return (
            f"{license}{source}. **It forbids commercial use.** So it does for whatever is made from these "
            "weights: they keep this licence."
        )
    return f"{license}{source}."


def _use(model: "DualEncoder") -> str:
    reference = model.name if model.provenance.get("shipped") else "path/to/this/folder"
    return f'```python\nimport hyperaware as ha\n\nmodel = ha.load("{reference}")\n```'
