"""From a recipe to a finished model folder: data, training, bounds, provenance. So the shipped ones are made.

A recipe is a TOML file: the shipped ones lie in `training/recipes/`. Its pictures are always real files:
slices of the embedded world are exported to a folder once and read from there, as a user's own data are.
"""

import functools
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hyperaware import distributed
from hyperaware.data.folder import fingerprint
from hyperaware.data.leaks import apart
from hyperaware.data.left_out import Unusable, with_rows, write_left_out
from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.data.sources import read as read_source
from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation.embed import embed_as_judged, long_captions
from hyperaware.evaluation.examples import Examples
from hyperaware.methods import METHODS, method_class
from hyperaware.models.card import licence_of_model
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.moderation import bounds as bounds_module
from hyperaware.options import override, unknown_name
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings
from hyperaware.training.towers import Towers
from hyperaware.training.tracking import require_trackers
from hyperaware.world import export

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "CROPS",
    "RECIPES",
    "Made",
    "Recipe",
    "Slice",
    "bounds_of_points",
    "changed",
    "measure_bounds",
    "of_method",
    "read_recipe",
    "rows_of",
    "run",
]

CROPS = "crops"
"""In a run's folder, what the model sees of pictures that are too many for the memory."""
FOLDER = Path(__file__).parent / "training" / "recipes"
RECIPES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
KEYS = ("name", "method", "base", "settings", "training", "towers", "data")
PARTS = ("train", "validation", "calibration")

Report = Callable[[dict[str, Any]], None]
Progress = Callable[[str, int, int], None]
Read = Callable[..., Examples]
"""`Examples`, or what gives the same."""


@dataclass(frozen=True)
class Slice:
    """Rows to read: a folder of one's own, or `count` rows of a split of the embedded world."""

    split: str
    count: int | None = None
    """Rows to take; none: all of a folder."""
    folder: str | None = None
    """A folder with captions.jsonl, or another source of `data.sources`; none: the embedded world."""
    seed: int = 0
    """Seed of the world's rows. Not the seed of training: runs are compared on the same data."""

    @property
    def name(self) -> str:
        """`world:SPLIT`, or the folder."""
        return f"world:{self.split}" if self.folder is None else self.folder


@dataclass(frozen=True)
class Made:
    """How a recipe's run ended, and the rows and pictures that could not be read and were left out."""

    result: Result
    failed: Mapping[str, str]
    """Path, or file and line, to reason."""


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a model, but for the seed of training."""

    name: str
    method: str
    settings: Mapping[str, Any]
    """Settings of the method."""
    training: Settings
    train: Slice
    validation: Slice
    calibration: Slice
    base: str | None = None
    """The model to start from; none: fresh towers."""
    towers: Towers = field(default_factory=Towers)


def read_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or one in a TOML file.

    Raises:
        ConfigError: no such recipe, or a table, key or value in it is wrong.
    """
    path = FOLDER / f"{name}.toml" if name in RECIPES else Path(name)
    if not path.is_file():
        raise unknown_name("recipe (shipped, or a TOML file)", name, RECIPES)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not even UTF-8
        raise ConfigError(f"{path} is not TOML: {error}") from error
    _refuse_unknown(f"key of recipe {path}", tables, KEYS)
    if "method" not in tables:
        raise ConfigError(f"{path} names no method. Known: {', '.join(METHODS)}, or module:attribute.")
    method, settings, data = tables["method"], tables.get("settings", {}), tables.get("data", {})
    override(method_class(method)(), settings)  # a wrong one is found now, not after an hour
    _refuse_unknown(f"part of [data] in {path}", data, PARTS)
    return Recipe(
        name=tables.get("name", path.stem),
        method=method,
        base=tables.get("base"),
        settings=settings,
        training=override(Settings(), tables.get("training", {})),
        towers=override(Towers(), tables.get("towers", {})),
        **{part: _slice(path, data, part) for part in PARTS},
    )


def of_method(method: str, *, base: str, train: str, validation: str, calibration: str) -> Recipe:
    """A method with its own settings and the loop's defaults, from a model, on sources of `data.sources`.

    Rows are taken by their split: `train`, `validation` and `calibration`.

    Raises:
        ConfigError: no such method.
    """
    method_class(method)
    return Recipe(
        name=method,
        method=method,
        settings={},
        training=Settings(),
        train=Slice(split="train", folder=train),
        validation=Slice(split="validation", folder=validation),
        calibration=Slice(split="calibration", folder=calibration),
        base=base,
    )


def _refuse_unknown(kind: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise unknown_name(kind, key, known)


def _slice(path: Path, data: Mapping[str, Any], part: str) -> Slice:
    if part not in data:
        raise ConfigError(f"{path} has no [data.{part}]; expected split and count, or folder.")
    return override(Slice(split=part), data[part])


def changed(recipe: Recipe, changes: Mapping[str, str]) -> Recipe:
    """The recipe with `key=value` changes: keys of the method's settings, or `training.KEY` for the loop's.

    Raises:
        ConfigError: no such setting, or a value of the wrong type.
    """
    training = {k.removeprefix("training."): v for k, v in changes.items() if k.startswith("training.")}
    own = {k: v for k, v in changes.items() if not k.startswith("training.")}
    method = override(method_class(recipe.method)(), {**recipe.settings, **own})
    settings = {key: getattr(method, key) for key in {**recipe.settings, **own}}
    return replace(recipe, settings=settings, training=override(recipe.training, training))


def run(
    recipe: Recipe,
    *,
    folder: Path,
    world: Path,
    seed: int = 0,
    report: Report = lambda line: None,
    progress: Progress = lambda what, done, total: None,
    read: Read = Examples,
    report_to: Sequence[str] = (),
) -> Made:
    """Make the recipe's model in `folder`, with bounds measured on its calibration rows.

    A row whose picture cannot be read is left out, and so is one to train on whose picture is among those
    that the model is measured on. They are named in what is returned, and in left-out.jsonl in the folder.
    `world` is where slices of the embedded world are exported to and found again. After an interruption it
    goes on from the last checkpoint. Several processes of a launcher make one model: the main one draws,
    writes and reports. `report` gets each line of the log, and the trackers of `report_to` too; `progress`
    gets each step of what comes before. `read` may keep what it has decoded for another run on the same rows.

    Raises:
        ConfigError: a tracker that is not known or not installed, a wrong seed, or a folder that cannot
            be written to; found before any work.
        TrainingError, DataError: see `training.loop.fit`, `rows_of` and `long_captions`.
    """
    require_trackers(report_to)
    training = replace(recipe.training, seed=seed)
    _require_writable(folder)
    distributed.join()
    if not distributed.is_main():
        progress = _silent
    rows, failed = _parts(recipe, world, progress)
    model = _start(recipe, rows["train"], seed)
    model.name, model.provenance = recipe.name, _provenance(recipe, model, rows["train"], seed)
    read = functools.partial(read, cache=folder / CROPS)
    examples = {
        part: read(
            part_rows,
            model=model,
            progress=lambda done, total: progress("read", done, total),
            together=True,
        )
        for part, part_rows in rows.items()
    }
    for part in ("calibration", "validation"):  # before the training, and not after it
        long_captions(examples[part].rows, model.tokenizer)
    result = fit(
        model,
        override(method_class(recipe.method)(), recipe.settings),
        train=examples["train"],
        validation=examples["validation"],
        settings=training,
        folder=folder,
        report=report,
        report_to=report_to,
    )
    if model.space.has_root and distributed.is_main():
        _bounds_of_examples(load(folder), examples).save(folder)
    distributed.wait()
    unread = {path: why for each in examples.values() for path, why in each.failed}
    failed |= with_rows(unread, itertools.chain(*rows.values()))
    if distributed.is_main():
        write_left_out(folder, failed)
    return Made(result, failed)


def _provenance(recipe: Recipe, model: DualEncoder, rows: list[Row], seed: int) -> dict[str, Any]:
    """What the model's folder says of its making; `model` is the one that it starts from."""
    inherited = {"license": licence_of_model(model)} if recipe.base else {}
    return {
        **inherited,
        "recipe": recipe.name,
        "method": recipe.method,
        "settings": dict(recipe.settings),
        "base": recipe.base,
        "base_fingerprint": model.fingerprint if recipe.base else None,
        "seed": seed,
        "steps": recipe.training.steps,
        "rows": recipe.train.name,
        "data": fingerprint(rows),
    }


def _require_writable(folder: Path) -> None:
    nearest = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise ConfigError(f"{folder} cannot be written: {nearest} is no folder that may be. Choose another.")


def _parts(recipe: Recipe, world: Path, progress: Progress) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """The rows of each part, none of which is trained on and measured on, and what was left out, and why."""
    failed: dict[str, str] = {}
    with distributed.main_first():
        rows = {part: rows_of(getattr(recipe, part), world, progress, failed=failed) for part in PARTS}
    kept, leaking = apart(rows["train"], rows["validation"] + rows["calibration"])
    if not kept:
        raise DataError(f"no row is left to train on: each shares a picture with other parts. {leaking}")
    failed |= with_rows(leaking, rows["train"])
    return {**rows, "train": kept}, failed


def _silent(what: str, done: int, total: int) -> None:
    """The progress of all processes but the main one."""


def measure_bounds(
    model: DualEncoder,
    *,
    calibration: list[Row],
    validation: list[Row],
    read: Read = Examples,
    unusable: Unusable | None = None,
) -> bounds_module.Bounds:
    """Triggers and limits from the calibration rows, landings chosen on the validation rows.

    Raises:
        DataError: something cannot be used, unless `unusable` lets it be left out.
    """
    examples = {
        part: read(rows, model=model)
        for part, rows in (("calibration", calibration), ("validation", validation))
    }
    unread = itertools.chain(*(each.failed for each in examples.values()))
    (Unusable() if unusable is None else unusable).settle(unread, [*calibration, *validation])
    return _bounds_of_examples(model, examples)


def _bounds_of_examples(model: DualEncoder, examples: Mapping[str, Examples]) -> bounds_module.Bounds:
    points = {part: embed_as_judged(model, examples[part]).points for part in ("calibration", "validation")}
    return bounds_of_points(model, points, calibration=examples["calibration"].rows)


def bounds_of_points(
    model: DualEncoder, points: Mapping[str, Quadruplet], *, calibration: Sequence[Row]
) -> bounds_module.Bounds:
    """`measure_bounds` from the points of the parts calibration and validation, once they are there."""
    landing = bounds_module.choose_landing(points["validation"], space=model.space)
    return bounds_module.measure(
        points["calibration"],
        space=model.space,
        landing=landing,
        model_fingerprint=model.fingerprint,
        data_fingerprint=fingerprint(calibration),
        split=calibration[0].split,
    )


def rows_of(
    part: Slice,
    world: Path,
    progress: Progress = lambda what, done, total: None,
    *,
    failed: dict[str, str] | None = None,
) -> list[Row]:
    """The rows of a slice; those of the embedded world are drawn into `world` once, and read from there.

    With `failed`, what cannot be used is left out and entered there (where to why); without, it is refused.

    Raises:
        DataError: the folder cannot be read, or has no row of that split.
    """
    if part.folder is not None:
        return read_source(part.folder, split=part.split, failed=failed)[: part.count]
    if part.count is None:
        raise ConfigError(f"the slice {part.split!r} of the embedded world needs a count.")
    folder = world / f"{part.split}-{part.seed}-{part.count}"
    return export(
        folder,
        count=part.count,
        split=part.split,
        seed=part.seed,
        progress=lambda done, total: progress(f"draw {part.split}", done, total),
    )


def _start(recipe: Recipe, rows: list[Row], seed: int) -> DualEncoder:
    if recipe.base is not None:
        return load(recipe.base)
    captions = [text for row in rows for text in (row.safe_text, row.unsafe_text)]
    return recipe.towers.build(captions, seed=seed)
