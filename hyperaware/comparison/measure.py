"""What one cell's model does on the rows of a comparison, kept beside the model in `measured-KEY/`.

run.json            the figures, as `evaluation.runs` records them
retrieved.json      the first pictures of a few queries
arrays.safetensors  per-row outcomes, and distances to the root
predictions.jsonl   a line for each row: what came of it, by figure
"""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperaware.comparison.cells import Cell, Progress, code_version, model_name, read_once
from hyperaware.comparison.results import Retrieved, ShownItem, Side
from hyperaware.data.folder import fingerprint
from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.evaluation.labels import is_unsafe, labelled
from hyperaware.evaluation.outcomes import outcomes
from hyperaware.evaluation.root_distance import root_distances
from hyperaware.evaluation.runs import Run, read_run, record
from hyperaware.evaluation.searches import order
from hyperaware.evaluation.suite import figures_of
from hyperaware.evaluation.zero_shot import prompted
from hyperaware.files import whole
from hyperaware.geometry.space import Space
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.redirect import redirect
from hyperaware.recipes import bounds_of_points

__all__ = ["MEASURING", "Measured", "measure", "queries_of", "read_measured"]

MEASURING = (
    *("geometry/euclid.py", "geometry/lorentz.py", "geometry/space.py"),
    *("media/images.py", "models/dual_encoder.py", "models/preprocess.py", "models/tokenizer.py"),
    *("metrics", "evaluation", "moderation/bounds.py", "moderation/redirect.py", "comparison/measure.py"),
)
"""The code that figures follow from."""
ASKED = 10
"""Queries whose answers are shown; one in five is safe."""
HITS = 3
"""Pictures that are shown of each answer."""
DRAWN = 400
"""Rows whose distances are kept for histograms."""


@dataclass(frozen=True)
class Measured:
    """What is known of one cell's model."""

    run: Run
    bounds: Bounds | None
    outcomes: Mapping[str, Tensor]
    """Figure -> per-row outcome, (n,) float64; NaN in rows that do not ask."""
    distances: Mapping[str, Tensor]
    retrieved: tuple[Retrieved, ...]


def measure(
    cell: Cell, rows: Mapping[str, list[Row]], queries: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """Measure the cell's model on the rows unless that has been done: where it lies, and what was unread.

    Args:
        rows: of the parts validation, calibration and test, and of each gallery.
        queries: which test rows are asked for `retrieved.json`.
    """
    model = load(model_name(cell))
    parts = {name: part for name, part in rows.items() if name != "train"}
    folder = cell.folder / f"measured-{_key(model, parts, queries)}"
    if not (folder / "run.json").is_file():
        examples = {
            name: read_once(part, model=model, progress=lambda done, total: progress("read", done, total))
            for name, part in parts.items()
        }
        _written(cell, model, examples, queries, folder)
    run = read_run(folder / "run.json")
    return {"measured": folder.name, "model_fingerprint": run.model_fingerprint, "unread": dict(run.failed)}


def _key(model: DualEncoder, parts: Mapping[str, list[Row]], queries: Sequence[int]) -> str:
    data = {name: fingerprint(part) for name, part in parts.items()}
    identity = [model.fingerprint, data, list(queries), code_version(MEASURING)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _written(
    cell: Cell, model: DualEncoder, examples: Mapping[str, Examples], queries: Sequence[int], folder: Path
) -> None:
    points = {name: labelled(embed(model, part), part.rows) for name, part in examples.items()}
    bounds = None
    if model.space.has_root:
        bounds = bounds_of_points(model, points, calibration=examples["calibration"].rows)
    test, space = examples["test"], model.space
    figures = figures_of(
        points["test"],
        test.rows,
        space=space,
        bounds=bounds,
        calibration=points["calibration"],
        galleries={name: points[name] for name in cell.sources.galleries},
        zero_shot=prompted(model, test.rows),
    )
    run = record(
        model,
        test.rows,
        figures,
        data=cell.sources.test.name,
        bounds=bounds,
        failed={path: why for part in examples.values() for path, why in part.failed},
        other_data=_fingerprints(cell, examples),
    )
    found = _per_row(points["test"], test.rows, space=space, bounds=bounds)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"outcome/{key}": values for key, values in found.items()}
    arrays |= {f"distance/{key}": values for key, values in _distances(model, points["test"]).items()}
    save_file(arrays, folder / "arrays.safetensors")
    answers = _answers(points["test"], test.rows, queries, space=space, bounds=bounds)
    cell.pictures.mkdir(parents=True, exist_ok=True)
    for hit in {hit for answer in answers for hit in answer.hits}:
        _copy(hit.path, cell.pictures / _name(hit))
    _write(folder / "retrieved.json", _as_json(answers))
    if bounds is not None:
        bounds.save(folder)
    _write(folder / "predictions.jsonl", _predictions(cell, test.rows, found))
    run.save(folder / "run.json")  # the last one: with it, the folder is complete


def _fingerprints(cell: Cell, examples: Mapping[str, Examples]) -> dict[str, str]:
    others = {"calibration": "calibration"} | {f"gallery:{name}": name for name in cell.sources.galleries}
    return {key: fingerprint(examples[part].rows) for key, part in others.items()}


def _per_row(
    points: Quadruplet, rows: Sequence[Row], *, space: Space, bounds: Bounds | None
) -> dict[str, Tensor]:
    found = {}
    for group in outcomes(points, rows, space=space, bounds=bounds):
        for key, values in group.values.items():
            found[key] = torch.full((len(rows),), torch.nan, dtype=torch.float64)
            found[key][group.rows] = values.double()
    return found


def _predictions(cell: Cell, rows: Sequence[Row], found: Mapping[str, Tensor]) -> str:
    columns = {key: values.tolist() for key, values in found.items()}
    lines = []
    for index, row in enumerate(rows):
        came = {key: int(values[index]) for key, values in columns.items() if not math.isnan(values[index])}
        line = {"method": cell.contender.name, "seed": cell.seed, "row": row.id, "category": row.category}
        lines.append(json.dumps(line | {"outcomes": came}, ensure_ascii=False) + "\n")
    return "".join(lines)


@torch.no_grad()
def _distances(model: DualEncoder, points: Quadruplet) -> dict[str, Tensor]:
    """Distances to the root by class; without a root to the point of the empty text (HySAC, Figure 2)."""
    some = points.take(torch.arange(min(DRAWN, len(points))))
    if model.space.has_root:
        return {
            name: part.float().contiguous() for name, part in root_distances(some, space=model.space).items()
        }
    empty = model.embed_tokens(*model.tokenizer([""])).cpu()

    def away(part: Tensor) -> Tensor:
        return model.space.distance(part, empty.expand_as(part)).float().contiguous()

    text, image = is_unsafe(some, "text"), is_unsafe(some, "image")
    return {
        "safe_text": torch.cat([away(some.safe_text), away(some.unsafe_text)[~text]]),
        "safe_image": torch.cat([away(some.safe_image), away(some.unsafe_image)[~image]]),
        "unsafe_text": away(some.unsafe_text)[text],
        "unsafe_image": away(some.unsafe_image)[image],
    }


def queries_of(rows: Sequence[Row]) -> list[int]:
    """The rows that are asked for pictures: the first of each category in turn, and of these some safe."""
    by_category: dict[str | None, list[int]] = {}
    for index, row in enumerate(rows):
        if row.unsafe_text_is_unsafe:
            by_category.setdefault(row.category, []).append(index)
    turns = sorted(
        (turn, name or "", index)
        for name, members in by_category.items()
        for turn, index in enumerate(members)
    )
    return [index for _, _, index in turns[:ASKED]]


def _answers(
    points: Quadruplet, rows: Sequence[Row], queries: Sequence[int], *, space: Space, bounds: Bounds | None
) -> list[Retrieved]:
    """The first pictures of each query among the safe and the unsafe pictures of all rows."""
    products, items = order(space), torch.cat([points.safe_image, points.unsafe_image])
    asked = torch.tensor(list(queries))
    unsafe = torch.arange(len(asked)) % 5 != 4
    texts = torch.where(unsafe.unsqueeze(1), points.unsafe_text[asked], points.safe_text[asked])
    states = {False: texts}
    if bounds is not None:
        states[True] = redirect(
            texts, space=space, bounds=bounds, query_modality="text", target_modality="image"
        ).points
    answers = []
    for redirected, moved in states.items():
        best = products(moved, items).topk(min(HITS, len(items)), dim=1).indices.tolist()
        for index, asks_unsafe, hits in zip(queries, unsafe.tolist(), best, strict=True):
            if asks_unsafe or not redirected:
                answers.append(_answer(rows, index, asks_unsafe, redirected, hits))
    return answers


def _answer(
    rows: Sequence[Row], index: int, unsafe: bool, redirected: bool, hits: Sequence[int]
) -> Retrieved:
    row = rows[index]
    return Retrieved(
        row=row.id,
        text=row.unsafe_text if unsafe else row.safe_text,
        unsafe=unsafe,
        redirected=redirected,
        hits=tuple(_shown(rows[hit % len(rows)], generated=hit >= len(rows)) for hit in hits),
    )


def _shown(row: Row, *, generated: bool) -> ShownItem:
    side: Side = "unsafe" if generated else "safe"
    return ShownItem(
        row=row.id,
        side=side,
        unsafe=generated and row.unsafe_image_is_unsafe,
        path=row.unsafe_image if generated else row.safe_image,
        caption=row.unsafe_text if generated else row.safe_text,
    )


def _name(hit: ShownItem) -> str:
    """What its copy is called in the comparison's folder, which so needs no other."""
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', hit.row)}-{hit.side}{hit.path.suffix}"


def _copy(picture: Path, to: Path) -> None:
    if not to.exists():
        with whole(to) as partial:
            shutil.copyfile(picture, partial)


def _as_json(answers: Sequence[Retrieved]) -> str:
    document = [
        asdict(answer) | {"hits": [asdict(hit) | {"path": _name(hit)} for hit in answer.hits]}
        for answer in answers
    ]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read_measured(folder: Path, pictures: Path) -> Measured:
    """What `measure` wrote into a folder; the pictures that are shown lie in `pictures`.

    Raises:
        DataError: the run cannot be read.
        SafetyError: the bounds cannot be read.
    """
    run = read_run(folder / "run.json")
    arrays = load_file(folder / "arrays.safetensors")
    answers = json.loads((folder / "retrieved.json").read_text(encoding="utf-8"))
    return Measured(
        run=run,
        bounds=None if run.bounds is None else bounds_module.load(folder),
        outcomes=_below(arrays, "outcome/"),
        distances=_below(arrays, "distance/"),
        retrieved=tuple(
            Retrieved(**answer | {"hits": tuple(_read_hit(hit, pictures) for hit in answer["hits"])})
            for answer in answers
        ),
    )


def _read_hit(hit: Mapping[str, Any], pictures: Path) -> ShownItem:
    return ShownItem(**{**hit, "path": pictures / hit["path"]})


def _below(arrays: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): part for key, part in arrays.items() if key.startswith(prefix)}


def _write(path: Path, text: str) -> None:
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
