"""`hyperaware evaluate`: the figures of models on rows, as a table, as JSON files and as pictures."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hyperaware.cli.group import BAD_INPUTS
from hyperaware.cli.parameters import OF_WORLD, Device, Json, Split, World, named_rows, world_cache
from hyperaware.errors import ConfigError
from hyperaware.terminal import Bars, emit, note, screen

if TYPE_CHECKING:
    from hyperaware.data.quadruplet import Row
    from hyperaware.evaluation.runs import Measurement, Run, Spread
    from hyperaware.models.dual_encoder import DualEncoder
    from hyperaware.moderation.bounds import Bounds

__all__ = ["evaluate"]

WORLD_COUNT = 500

Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Figures of this protocol only; see `hyperaware list protocols`. May be repeated. "
        "[default: all that what was given allows]",
    ),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE|world:SPLIT",
        help="Rows of split `calibration` of a source, or rows of the world: for `classification`.",
    ),
]
Gallery = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCE|world:SPLIT",
        help="Other rows for unsafe queries to search: for `real-unsafe`. May be repeated.",
    ),
]


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Shipped models, or models' folders.")
    ],
    data: Annotated[
        str, typer.Option(metavar="SOURCE|world:SPLIT", help="The rows to measure on.")
    ] = "world:test",
    split: Split = None,
    count: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rows to take. [default: a whole folder, 500 of the world]", min=1),
    ] = None,
    protocols: Protocols = None,
    calibration: Calibration = None,
    gallery: Gallery = None,
    seed_runs: Annotated[
        bool,
        typer.Option("--seed-runs", help="Models of one name are runs of one recipe: give mean and spread."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write the run's record; of several, one file for each."),
    ] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw the figures as PNG files.")] = None,
    device: Device = "auto",
    world: World = None,
    json: Json = False,
) -> None:
    """Measure models on the same rows: retrieval, redirect, separation.

    A row that cannot be used, or whose picture cannot be read, is left out of every figure and named: the
    exit code is then 3.
    A model without bounds is measured as it is, without a redirect.
    """
    from hyperaware.models.pretrained import load

    _require_possible(protocols or [], calibration=calibration, gallery=gallery)
    loaded = [load(name, device=device) for name in models]  # before any work: a name may be wrong
    if not seed_runs:
        _titles([(model.name, model.fingerprint) for model in loaded])
    failed: dict[str, str] = {}
    with Bars() as bars:
        cache = world_cache(world)
        rows = named_rows(
            data, count, of_world=WORLD_COUNT, cache=cache, bars=bars, split=split, failed=failed
        )
        others = _other_rows(rows, calibration, gallery or [], cache, bars, failed)
        measured = [_measure(model, rows, data, others, failed, bars) for model in loaded]
    if protocols:
        measured = [(_only(measurement, protocols), bounds) for measurement, bounds in measured]
    runs = [measurement.run for measurement, _ in measured]
    columns = _columns(runs, seed_runs)
    written = _write(runs, out) if out is not None else []
    if plots is not None:
        written += _draw(measured, columns, plots)
    if json:
        emit(_document(runs, columns, seed_runs))
    else:
        _print(runs, columns, data, written, categories="by-category" in (protocols or ()))
    if any(run.failed for run in runs):
        for path, reason in runs[0].failed.items():
            note(f"failed: {path}: {reason}")
        raise typer.Exit(BAD_INPUTS)


class _Others(NamedTuple):
    """Rows beside those that are measured."""

    calibration: "list[Row] | None"
    galleries: "dict[str, list[Row]]"


def _require_possible(
    protocols: Sequence[str], *, calibration: str | None, gallery: list[str] | None
) -> None:
    """Refuses, before any work, a protocol that does not exist or whose data were not given."""
    from hyperaware.evaluation.sources import require_protocols

    require_protocols(protocols)
    for name, option, given, example in (
        ("classification", "--calibration", calibration, "world:calibration"),
        ("real-unsafe", "--gallery", gallery, "world:test_style"),
    ):
        if name in protocols and not given:
            raise ConfigError(f"{name} needs {option}, for example {option} {example}.")


def _other_rows(
    rows: Sequence["Row"],
    calibration: str | None,
    galleries: Sequence[str],
    cache: Path,
    bars: Bars,
    failed: dict[str, str],
) -> _Others:
    """The rows that the options name, once it is sure that none of them is measured too."""
    from hyperaware.data.sources import name_of

    names = [data if data.startswith(OF_WORLD) else name_of(data) for data in galleries]
    if len(set(names)) < len(names):
        raise ConfigError(f"two galleries have one name: {', '.join(names)}. Rename a folder.")
    others = _Others(
        calibration=None if calibration is None else _calibration_rows(calibration, cache, bars, failed),
        galleries={
            name: named_rows(data, None, of_world=WORLD_COUNT, cache=cache, bars=bars, failed=failed)
            for name, data in zip(names, galleries, strict=True)
        },
    )
    _require_apart(rows, others)
    return others


def _calibration_rows(data: str, cache: Path, bars: Bars, failed: dict[str, str]) -> list["Row"]:
    if data.startswith(OF_WORLD):
        return named_rows(data, None, of_world=WORLD_COUNT, cache=cache, bars=bars)
    from hyperaware.data.sources import read

    return read(data, split="calibration", failed=failed)


def _require_apart(rows: Sequence["Row"], others: _Others) -> None:
    """Refuses rows that are measured and also fitted on, or searched as other data."""
    own = {row.safe_image for row in rows}
    for option, part in (("--calibration", others.calibration or ()), *others.galleries.items()):
        shared = sum(row.safe_image in own for row in part)
        if shared:
            raise ConfigError(
                f"{shared} of {len(part)} rows of {option} are among those of --data; expected other rows."
            )


def _only(measurement: "Measurement", protocols: Sequence[str]) -> "Measurement":
    from hyperaware.evaluation.sources import figures_of_protocols

    figures = figures_of_protocols(dict(measurement.run.figures), protocols)
    return measurement._replace(run=replace(measurement.run, figures=figures))


def _measure(
    model: "DualEncoder",
    rows: list["Row"],
    data: str,
    others: _Others,
    left_out: dict[str, str],
    bars: Bars,
) -> tuple["Measurement", "Bounds | None"]:
    """What was measured, in whose record rows that were left out before are named too, and the bounds."""
    from hyperaware.catalogue import own_bounds
    from hyperaware.data.left_out import with_rows
    from hyperaware.evaluation.runs import measurement
    from hyperaware.moderation.bounds import FILE_NAME

    bounds = own_bounds(model) if model.folder is not None and (model.folder / FILE_NAME).exists() else None
    measured = measurement(
        model,
        rows,
        data=data,
        bounds=bounds,
        calibration=others.calibration,
        galleries=others.galleries,
        progress=bars.of(f"read for {model.name}"),
    )
    unread = with_rows(measured.run.failed, chain(rows, others.calibration or (), *others.galleries.values()))
    return measured._replace(run=replace(measured.run, failed=left_out | unread)), bounds


def _columns(runs: Sequence["Run"], seed_runs: bool) -> dict[str, Any]:
    """Figures, or spreads of figures, by what stands at the head of their column."""
    if seed_runs:
        from hyperaware.evaluation.runs import mean_and_spread

        return {
            name: mean_and_spread([run for run in runs if run.model == name])
            for name in dict.fromkeys(run.model for run in runs)
        }
    titles = _titles([(run.model, run.model_fingerprint) for run in runs])
    return dict(zip(titles, [run.figures for run in runs], strict=True))


def _titles(models: Sequence[tuple[str, str]]) -> list[str]:
    """What stands at the head of each model's column, of their names and fingerprints."""
    names = [name for name, _ in models]
    titles = [
        name if names.count(name) == 1 else f"{name} ({fingerprint[:6]})" for name, fingerprint in models
    ]
    if len(set(titles)) < len(titles):
        raise ConfigError(f"a model was given twice: {', '.join(titles)}.")
    return titles


def _write(runs: Sequence["Run"], out: Path) -> list[Path]:
    if len(runs) == 1:
        return [runs[0].save(out)]
    return [
        run.save(out.with_name(f"{out.stem}-{run.model}-{run.model_fingerprint[:6]}{out.suffix}"))
        for run in runs
    ]


def _draw(
    measured: Sequence[tuple["Measurement", "Bounds | None"]], columns: dict[str, Any], folder: Path
) -> list[Path]:
    from hyperaware.evaluation.plots import redirect_bars, root_distance_histogram
    from hyperaware.evaluation.protocols import root_distances
    from hyperaware.geometry.space import space_from_config

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for measurement, bounds in measured:
        run = measurement.run
        space = space_from_config(dict(run.space))
        if space.has_root:
            path = folder / f"root-distance-{run.model}-{run.model_fingerprint[:6]}.png"
            distances = root_distances(measurement.points, space=space)
            drawn.append(root_distance_histogram(path, distances, bounds=bounds, title=run.model))
    figures = {
        name: {key: _value(value) for key, value in column.items()} for name, column in columns.items()
    }
    drawn.append(redirect_bars(folder / "redirect.png", figures))
    return drawn


def _value(figure: "float | Spread") -> float:
    return figure if isinstance(figure, int | float) else figure.mean


def _document(runs: Sequence["Run"], columns: dict[str, Any], seed_runs: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"runs": [asdict(run) for run in runs]}
    if seed_runs:
        document["spread"] = {
            name: {key: asdict(spread) for key, spread in column.items()} for name, column in columns.items()
        }
    return document


def _print(
    runs: Sequence["Run"], named: dict[str, Any], data: str, written: Sequence[Path], *, categories: bool
) -> None:
    from hyperaware.evaluation.report import MAIN, Column, category_lines, gallery_lines, table

    out = screen()
    columns = [Column(name, figures) for name, figures in named.items()]
    layout = {**MAIN, **gallery_lines(columns), **(category_lines(columns) if categories else {})}
    out.print(table(columns, layout, title=f"{runs[0].rows} rows of {data}"))
    for path in written:
        out.print(f"Written: {path}", soft_wrap=True)
