"""`hyperaware train` and `hyperaware bounds`: from a recipe or a model's folder to a model that can judge."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperaware.cli.group import BAD_INPUTS, BELOW_FLOOR
from hyperaware.cli.parameters import (
    Device,
    Json,
    LeaveOutBad,
    ModelName,
    World,
    named,
    require_own,
    world_cache,
)
from hyperaware.errors import ConfigError
from hyperaware.terminal import Bars, emit, note, screen, table

if TYPE_CHECKING:
    from hyperaware.data.quadruplet import Row
    from hyperaware.moderation.bounds import Bounds
    from hyperaware.recipes import Made, Recipe

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

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A shipped recipe (`hyperaware list recipes`), a TOML file, or a method (`hyperaware list "
        "methods`) with its published settings: that needs --base and --data.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the method, or of the loop as training.KEY. May be repeated.",
    ),
]
Trackers = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Report to tensorboard, wandb, mlflow too; each needs its extra. log.jsonl is always there.",
    ),
]


def train(
    recipe: RecipeName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model's folder.")],
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the run; the data do not depend on it.")
    ] = 0,
    set_: Changes = None,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Start from another model.")] = None,
    data: Data = None,
    validation: Validation = None,
    calibration: Calibration = None,
    report_to: Trackers = None,
    world: World = None,
    json: Json = False,
) -> None:
    """Train a model by a recipe, and measure its bounds.

    Interrupted, the same command goes on from the last checkpoint. DIR then holds the model (config.json,
    model.safetensors, tokenizer.json), bounds.json, and log.jsonl with every term of every tenth step. A row
    that cannot be read is left out, named and counted: the exit code is then 3. Several processes train one
    model: torchrun --nproc-per-node 2 -m hyperaware.cli train ...

    With --set training.min_safe_recall=0.9 (or min_zero_shot) the run stops where safe retrieval (or
    zero-shot accuracy) falls below that share of the base model's. The best weights before that are kept, and
    the exit code is 5.
    """
    from hyperaware import distributed, recipes
    from hyperaware.options import parse_assignments
    from hyperaware.training.headline import headline
    from hyperaware.training.tracking import require_trackers

    trackers = tuple(name for name in (report_to or "").split(",") if name)
    require_trackers(trackers)
    chosen = _chosen(recipe, base, data, validation, calibration)
    chosen = recipes.changed(chosen, parse_assignments(set_ or ()))
    with Bars() as bars:

        def report(line: dict[str, Any]) -> None:
            done = line["step"] if "split" in line else line["step"] + 1
            bars(f"train {chosen.name}", done, chosen.training.steps, headline(line))

        made = recipes.run(
            chosen,
            folder=out,
            world=world_cache(world),
            seed=seed,
            report=report,
            progress=bars,
            report_to=trackers,
        )
    speaks = distributed.is_main()
    distributed.leave()
    if speaks:
        _tell({"model": str(out), "recipe": chosen.name, "seed": seed}, made, json=json)


def _tell(what: dict[str, Any], made: "Made", *, json: bool) -> None:
    """Print how it ended, and end with the exit code that says so."""
    result = made.result
    document = what | {
        "steps": result.step,
        "stopped_early": result.stopped_early,
        "below_floor": result.below_floor,
        "best_step": result.best_step,
        "validation": result.figures,
        "failed": made.failed,
    }
    if json:
        emit(document)
    else:
        table(["on validation", "value"], [[name, f"{value:.3f}"] for name, value in _shown(result.figures)])
        folder = what["model"]
        screen().print(f"\nThe model is in {folder}. Next: hyperaware evaluate {folder}", soft_wrap=True)
    for path, why in made.failed.items():
        note(f"failed: {path}: {why}")
    if result.below_floor is not None:
        kept = f"Kept: the weights of step {result.best_step}."
        note(f"Stopped after step {result.step}: {result.below_floor} {kept}")
        raise typer.Exit(BELOW_FLOOR)
    if made.failed:
        raise typer.Exit(BAD_INPUTS)


def _chosen(
    name: str, base: str | None, data: str | None, validation: str | None, calibration: str | None
) -> "Recipe":
    """The recipe of that name, or of a method, with what the options change."""
    from hyperaware.methods import METHODS
    from hyperaware.recipes import of_method, read_recipe

    if name not in METHODS and (":" not in name or Path(name).is_file()):
        return _with_data(read_recipe(name), base, data, validation, calibration)
    validation, calibration = validation or data, calibration or data
    if base is None or data is None or validation is None or calibration is None:
        raise ConfigError(
            f"the method {name!r} by itself needs --base MODEL and --data SOURCE with rows of the splits "
            "train, validation and calibration (or --validation and --calibration beside it)."
        )
    return of_method(name, base=base, train=data, validation=validation, calibration=calibration)


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
    calibration: Annotated[str, typer.Option(metavar="SOURCE", help="Rows that no training has seen.")],
    validation: Annotated[str, typer.Option(metavar="SOURCE", help="Rows on which the landing is chosen.")],
    leave_out_bad: LeaveOutBad = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure, on your own rows, the bounds that MODEL judges by.

    They are root distances, and are written to its bounds.json.

    The trigger (above which a query is unsafe) and the limit (above which an item is not shown) come from the
    calibration rows; the landing (where a redirected query goes) is chosen on the validation rows. Of a
    source with several splits, the rows of that name are taken.

    Nothing is measured if a row or picture cannot be used, and each is named.

    A calibration.json in the folder speaks of the thresholds before. It is no longer valid then, and the
    model judges nothing until `hyperaware calibrate` is run again. That measures trigger and limit itself,
    and keeps the landing.
    """
    from dataclasses import asdict
    from functools import partial

    from hyperaware.data.left_out import Unusable
    from hyperaware.evaluation.examples import Examples
    from hyperaware.models.pretrained import load
    from hyperaware.recipes import measure_bounds

    require_own(model)
    loaded = load(model, device=device)
    if not loaded.space.has_root:
        raise ConfigError(f"the model {model} lies on a sphere, which has no root: nothing can be measured.")
    bad = Unusable(leave_out=leave_out_bad)
    with named(bad.reasons), Bars() as bars:
        measured = measure_bounds(
            loaded,
            calibration=_rows_called("calibration", calibration, bad.reasons),
            validation=_rows_called("validation", validation, bad.reasons),
            read=partial(Examples, progress=bars.of("read")),
            unusable=bad,
        )
    path = measured.save(model)
    if json:
        emit({"path": str(path), **asdict(measured), "failed": bad.reasons})
    else:
        show_bounds(measured)
        screen().print(f"\nWritten to {path}", soft_wrap=True)
    _note_calibration(path.parent, measured, data=calibration)
    if bad.reasons:
        raise typer.Exit(BAD_INPUTS)


def _rows_called(split: str, source: str, failed: dict[str, str]) -> "list[Row]":
    """All rows of a source; of one that has several splits, those of this split. Bad ones are in `failed`."""
    from hyperaware.data.sources import scan

    reading = scan(source)
    failed |= reading.left_out
    is_one = len({row.split for row in reading.rows}) == 1
    return reading.rows if is_one else reading.of_split(split).rows


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
