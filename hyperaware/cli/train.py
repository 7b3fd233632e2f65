"""`hyperaware train` and `hyperaware bounds`: from a recipe or a model's folder to a model that can judge."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import BAD_INPUTS
from hyperaware.cli.parameters import Json, ModelName, World, world_cache
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.moderation.bounds import Bounds
    from hyperaware.recipes import Recipe

__all__ = ["bounds", "train"]

Data = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Train on the rows of split `train`; a folder, or another SOURCE of `hyperaware data check -h`.",
    ),
]
Validation = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Rows of split `validation`. [default: --data or the recipe's]"),
]
Calibration = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Rows of split `calibration`. [default: --data or the recipe's]"),
]


def train(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe (see `hyperaware list recipes`) or a TOML file.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model's folder.")],
    seed: Annotated[int, typer.Option(help="Seed of the run; the data do not depend on it.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the method, or of the loop as training.KEY. May be repeated.",
        ),
    ] = None,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Start from another model.")] = None,
    data: Data = None,
    validation: Validation = None,
    calibration: Calibration = None,
    world: World = None,
    json: Json = False,
) -> None:
    """Train a model by a recipe, and measure its bounds.

    Interrupted, the same command goes on from the last checkpoint. DIR then holds the model (config.json,
    model.safetensors, tokenizer.json), bounds.json, and log.jsonl with every term of every tenth step. A row
    that cannot be read is left out, named and counted: the exit code is then 3.
    """
    from hyperaware import recipes
    from hyperaware.options import parse_assignments
    from hyperaware.training.headline import headline

    chosen = _with_data(recipes.read_recipe(recipe), base, data, validation, calibration)
    chosen = recipes.changed(chosen, parse_assignments(set_ or ()))
    with Bars() as bars:

        def report(line: dict[str, Any]) -> None:
            done = line["step"] if "split" in line else line["step"] + 1
            bars(f"train {chosen.name}", done, chosen.training.steps, headline(line))

        made = recipes.run(
            chosen, folder=out, world=world_cache(world), seed=seed, report=report, progress=bars
        )
    result = made.result
    document = {
        "model": str(out),
        "recipe": chosen.name,
        "seed": seed,
        "steps": result.step,
        "stopped_early": result.stopped_early,
        "best_step": result.best_step,
        "validation": result.figures,
        "failed": made.failed,
    }
    if json:
        emit(document)
    else:
        table(["on validation", "value"], [[name, f"{value:.3f}"] for name, value in _shown(result.figures)])
        screen().print(f"\nThe model is in {out}. Next: hyperaware evaluate {out}", soft_wrap=True)
    for path, why in made.failed.items():
        note(f"failed: {path}: {why}")
    if made.failed:
        raise typer.Exit(BAD_INPUTS)


def _with_data(
    recipe: "Recipe", base: str | None, data: str | None, validation: str | None, calibration: str | None
) -> "Recipe":
    from dataclasses import replace

    from hyperaware.recipes import Slice

    folders = {"train": data, "validation": validation or data, "calibration": calibration or data}
    slices: dict[str, Any] = {
        part: Slice(split=part, folder=source) for part, source in folders.items() if source is not None
    }
    return replace(recipe, base=recipe.base if base is None else base, **slices)


def _shown(figures: dict[str, Any]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in figures.items() if isinstance(value, float)]


def bounds(
    model: ModelName,
    calibration: Annotated[Path, typer.Option(metavar="FOLDER", help="Rows that no training has seen.")],
    validation: Annotated[Path, typer.Option(metavar="FOLDER", help="Rows on which the landing is chosen.")],
    json: Json = False,
) -> None:
    """Measure, on your own rows, the bounds that MODEL judges by.

    They are root distances, and are written to its bounds.json.

    The trigger (above which a query is unsafe) and the limit (above which an item is not shown) come from the
    calibration rows; the landing (where a redirected query goes) is chosen on the validation rows.

    A calibration.json in the folder speaks of the thresholds before. It is no longer valid then, and the
    model judges nothing until `hyperaware calibrate` is run again. That measures trigger and limit itself,
    and keeps the landing.
    """
    from dataclasses import asdict

    from hyperaware.data.folder import read_folder
    from hyperaware.errors import ConfigError
    from hyperaware.models.pretrained import SHIPPED, load
    from hyperaware.recipes import measure_bounds

    if model in SHIPPED:
        raise ConfigError(
            f"{model!r} is shipped with the bounds that it was tested with. Save a copy of the model to a "
            "folder (hyperaware.models.pretrained.save) and give that folder."
        )
    loaded = load(model)
    if not loaded.space.has_root:
        raise ConfigError(f"the model {model} lies on a sphere, which has no root: nothing can be measured.")
    measured = measure_bounds(
        loaded, calibration=read_folder(calibration), validation=read_folder(validation)
    )
    path = measured.save(model)
    if json:
        emit({"path": str(path), **asdict(measured)})
    else:
        show_bounds(measured)
        screen().print(f"\nWritten to {path}", soft_wrap=True)
    _note_calibration(path.parent, measured, data=str(calibration))


def _note_calibration(folder: Path, bounds: "Bounds", *, data: str) -> None:
    """Say that the calibration in the folder is not of these bounds, if so, and what to run."""
    from hyperaware.errors import SafetyError
    from hyperaware.moderation.calibration import load

    try:
        load(folder, bounds=bounds)
    except SafetyError:
        again = shlex.join(["hyperaware", "calibrate", str(folder), "--data", data])
        note(
            "calibration.json in this folder speaks of other thresholds and is no longer valid: nothing is "
            f"judged until it is made again. Run: {again}"
        )


def show_bounds(bounds: "Bounds") -> None:
    """Print what each bound is, and what it costs."""
    rows = [
        [
            modality,
            *[f"{getattr(bounds, name)[modality]:.3f}" for name in ("trigger", "limit", "landing")],
            _percent(bounds.trigger_false_positive_rate[modality]),
            _percent(bounds.limit_miss_rate[modality]),
        ]
        for modality in ("text", "image")
    ]
    head = ["root distance", "trigger", "limit", "landing", "safe above trigger", "unsafe within limit"]
    table(head, rows, title="Bounds")


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{100 * share:.1f} %"
