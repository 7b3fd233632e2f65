"""One cell of a comparison: one model of one method with one seed, made once and measured once.

A cell's folder is named by what its model follows from (settings, seed, base and data, and the code), so a
run that goes on, or another comparison in the same folder, finds what is there. What was measured is kept
beside it under a key of its own, since measuring is cheap and changes more often.
"""

import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import hyperaware
from hyperaware.comparison.contenders import Contender
from hyperaware.data.folder import fingerprint
from hyperaware.data.quadruplet import Row
from hyperaware.editing.calibration import drawn
from hyperaware.editing.folder import save_edited
from hyperaware.editing.uwm import UWM
from hyperaware.evaluation.examples import Examples
from hyperaware.files import whole
from hyperaware.methods import method_class
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import WEIGHTS, load
from hyperaware.options import override
from hyperaware.recipes import CROPS, Recipe, Slice, changed, read_recipe, run

__all__ = [
    "Cell",
    "Sources",
    "cell_key",
    "code_version",
    "made",
    "make",
    "model_name",
    "read_once",
    "recipe_of",
    "resolved",
]

MAKING = (
    "geometry/euclid.py",
    "geometry/lorentz.py",
    "geometry/space.py",
    "losses",
    "media/images.py",
    "models/adapters.py",
    "models/dual_encoder.py",
    "models/lora_linear.py",
    "models/pooled.py",
    "models/preprocess.py",
    "models/tokenizer.py",
    "evaluation/boxes.py",
    "evaluation/crops.py",
    "evaluation/embed.py",
    "evaluation/examples.py",
    "methods",
    "training",
    "editing",
)
"""The code that a model follows from. Its bounds are measured with its figures."""
UWM_PAIRS = 2000
UWM_BATCH = 64
MADE = "made.json"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sources:
    """Where the rows of a comparison come from; the same for every method."""

    train: Slice
    validation: Slice
    calibration: Slice
    test: Slice
    galleries: Mapping[str, Slice]
    """Other data, whose items stand in the gallery of `real-unsafe`."""


@dataclass(frozen=True)
class Cell:
    """What is to be made: everything that the model follows from, and where it goes."""

    contender: Contender
    seed: int
    base: str
    """A shipped model, or a model's folder."""
    sources: Sources
    steps: int | None
    """Training steps; None: as many as the recipe says."""
    world: Path
    """Where pictures of the embedded world are kept."""
    folder: Path
    """`OUT/cells/NAME-KEY`."""

    @property
    def pictures(self) -> Path:
        """Where a comparison keeps the pictures that its report shows."""
        return self.folder.parent.parent / "pictures"


def recipe_of(cell: Cell) -> Recipe:
    """The recipe that the cell's model is made by: the contender's, on the comparison's data and base.

    Raises:
        ConfigError: no such recipe or setting.
    """
    if cell.contender.recipe is None:
        raise ValueError(f"{cell.contender.name} is not made by a recipe")
    changes = dict(cell.contender.changes)
    if cell.steps is not None:
        changes["training.steps"] = str(cell.steps)
    sources = cell.sources
    return replace(
        changed(read_recipe(cell.contender.recipe), changes),
        name=cell.contender.name,
        base=cell.base,
        train=sources.train,
        validation=sources.validation,
        calibration=sources.calibration,
    )


def resolved(cell: Cell) -> dict[str, Any]:
    """How the cell's model is made, every setting after its default, as JSON has it."""
    contender = cell.contender
    if contender.edit is not None:
        return {"edit": contender.edit, "settings": asdict(UWM()), "pairs": UWM_PAIRS}
    if contender.recipe is None:
        return {"model": contender.model or cell.base}
    recipe = recipe_of(cell)
    method = override(method_class(recipe.method)(), recipe.settings)
    document = {
        "method": recipe.method,
        "settings": asdict(method),
        "training": asdict(replace(recipe.training, seed=cell.seed)),
        "base": cell.base,
    }
    return json.loads(json.dumps(document))


def cell_key(cell: Cell, data: Mapping[str, str]) -> str:
    """The digest of what the model follows from, but for the code; `data` are fingerprints of its parts."""
    base = load(cell.contender.model or cell.base).fingerprint
    identity = {"how": resolved(cell), "base": base, "seed": cell.seed, "data": dict(data)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def code_version(parts: Sequence[str]) -> str:
    """The digest of the package's source files in these folders and modules."""
    root = Path(hyperaware.__file__).parent
    digest = hashlib.sha256()
    for part in parts:
        path = root / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def model_name(cell: Cell) -> str:
    """The model of a finished cell, as `load` takes it."""
    if cell.contender.has_seeds:
        return str(cell.folder / "model")
    return cell.contender.model or cell.base


def made(cell: Cell) -> dict[str, Any] | None:
    """What `make` told of the cell's model; None while it is not finished."""
    path = cell.folder / MADE
    if not path.is_file() or (cell.contender.has_seeds and not (cell.folder / "model" / WEIGHTS).is_file()):
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def make(cell: Cell, train: list[Row], progress: Progress) -> dict[str, Any]:
    """Make the cell's model unless it is finished: how it was `made`, its `seconds`, and what was `unread`.

    Training that was interrupted goes on from its last checkpoint. `train` are the rows of that part.
    """
    told = made(cell)
    if told is not None:
        return told
    cell.folder.mkdir(parents=True, exist_ok=True)
    if cell.contender.recipe is not None:
        told = _trained(cell, progress)
    elif cell.contender.edit is not None:
        told = _edited(cell, train, progress)
    else:
        told = {"made": "as it is", "seconds": 0.0, "unread": {}}
    with whole(cell.folder / MADE) as partial:
        partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _trained(cell: Cell, progress: Progress) -> dict[str, Any]:
    recipe, folder = recipe_of(cell), cell.folder / "model"
    steps = recipe.training.steps
    seconds: list[float] = []

    def report(line: dict[str, Any]) -> None:
        seconds.append(line["seconds"])
        progress("train", line["step"] if "split" in line else line["step"] + 1, steps)

    ended = run(
        recipe,
        folder=folder,
        world=cell.world,
        seed=cell.seed,
        report=report,
        progress=progress,
        read=functools.partial(_read_for, cell),
    )
    sentence = f"{ended.result.step} steps of {recipe.training.batch_size} rows from {cell.base}"
    return {"made": sentence, "seconds": seconds[-1] if seconds else 0.0, "unread": dict(ended.failed)}


def _edited(cell: Cell, rows: list[Row], progress: Progress) -> dict[str, Any]:
    model = load(cell.base)
    chosen = drawn(rows, min(UWM_PAIRS, len(rows)), seed=cell.seed)
    examples = Examples(chosen, model=model, progress=lambda done, total: progress("read", done, total))
    started = time.monotonic()
    parts = torch.arange(len(examples)).split(UWM_BATCH)
    patch = UWM().patch(model, (examples.batch(part) for part in parts), data=fingerprint(examples.rows))
    seconds = time.monotonic() - started
    folder = cell.folder / "model"
    save_edited(model, patch, folder)
    patch.save(folder / "patch.safetensors")
    flipped = sum(patch.selected.values()) / sum(mask.numel() for mask in patch.masks.values())
    sentence = f"{100 * flipped:.2f} % of the edited layers' weights flipped in {cell.base}, nothing trained"
    return {"made": sentence, "seconds": seconds, "unread": dict(examples.failed)}


def _read_for(cell: Cell, rows: list[Row], **options: Any) -> Examples:
    """`read_once`, with crops that are too many for the memory in one file for all cells."""
    return read_once(rows, **options | {"cache": cell.folder.parent.parent / CROPS})


_KEPT: dict[tuple[str, str], Examples] = {}


def read_once(
    rows: list[Row],
    *,
    model: DualEncoder,
    progress: Callable[[int, int], None] | None = None,
    cache: Path | None = None,
    together: bool = False,
) -> Examples:
    """The rows as `Examples`, decoded once in this process for all models that read them alike."""
    reading = json.dumps([model.preprocess.config(), model.tokenizer.backend.to_str()], sort_keys=True)
    key = (fingerprint(rows), reading)
    if key not in _KEPT:
        _KEPT[key] = Examples(rows, model=model, progress=progress, cache=cache, together=together)
    return _KEPT[key]
