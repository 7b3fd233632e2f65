"""Comparisons as run folders: make what is missing, measure it, and put it side by side.

    manifest.json         command, versions, machine, code version, and the folder and state of every cell
    resolved-config.json  what was asked for, and every setting of every method after its default
    metrics.json          the figures of every method, mean and spread over its seeds, and of every study
    predictions.jsonl     a line for each method, seed and row
    report.html           all of it to look at
    results.md            its tables as Markdown
    cells/                the models, and what was measured of each

Interrupted, the same call goes on: finished cells are found again by their key, training goes on from its
last checkpoint.
"""

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hyperaware.comparison import cells
from hyperaware.comparison.cells import Cell, Progress, Sources
from hyperaware.comparison.contenders import DEFAULT, STUDIES, contender, studies
from hyperaware.comparison.folder import CELLS, CONFIG, FORMAT, MANIFEST, read_comparison, write_summaries
from hyperaware.comparison.measure import MEASURING, queries_of
from hyperaware.comparison.report import markdown_table, write_report
from hyperaware.comparison.results import Comparison
from hyperaware.comparison.workers import worked
from hyperaware.data.folder import fingerprint
from hyperaware.errors import ConfigError
from hyperaware.files import whole
from hyperaware.recipes import Slice, rows_of

__all__ = ["REPORT", "Request", "compare", "rendered", "sources_of"]

WORLD = "world"
PARTS = ("train", "validation", "calibration", "test")
WORLD_ROWS = {"train": 16000, "validation": 600, "calibration": 1000, "test": 1000}
REPORT, RESULTS = "report.html", "results.md"
GALLERIES = {"style": "test_style", "concepts": "test_concepts"}


@dataclass(frozen=True)
class Request:
    """What is to be compared, on what."""

    methods: tuple[str, ...] = DEFAULT
    studies: tuple[str, ...] = tuple(STUDIES)
    data: str = WORLD
    """The embedded world, or a folder with rows of the splits train, validation, calibration and test."""
    base: str = "world"
    """The model that all methods start from: the CLIP of the comparison."""
    seeds: int = 3
    """Each method is made with the seeds 0 to seeds - 1; studies with the first."""
    steps: int | None = None
    """Training steps; None: as many as each recipe says."""
    train_rows: int | None = None
    """Rows to train on; None: all of a folder, `WORLD_ROWS` of the world."""
    test_rows: int | None = None
    """Rows to measure on; None: likewise."""

    def __post_init__(self) -> None:
        for name in ("seeds", "steps", "train_rows", "test_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1.")
        if not self.methods:
            raise ConfigError("there is no method to compare, expected at least one.")
        for kind in ("methods", "studies"):
            given = getattr(self, kind)
            twice = sorted({name for name in given if given.count(name) > 1})
            if twice:
                raise ConfigError(f"{', '.join(twice)} stands in the {kind} more than once.")


def sources_of(request: Request) -> Sources:
    """The slices of the request's data; only the embedded world has galleries of other data."""
    asked = {"train": request.train_rows, "test": request.test_rows}
    given = {part: count for part, count in asked.items() if count is not None}
    if request.data != WORLD:
        parts = {part: Slice(part, given.get(part), folder=request.data) for part in PARTS}
        return Sources(**parts, galleries={})
    counts = WORLD_ROWS | given
    galleries = {name: Slice(split, counts["test"] // 2 or 1) for name, split in GALLERIES.items()}
    return Sources(**{part: Slice(part, counts[part]) for part in PARTS}, galleries=galleries)


def compare(
    request: Request,
    out: Path,
    *,
    world: Path,
    jobs: int | None = None,
    any_code: bool = False,
    progress: Progress = lambda what, done, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """What was compared, once all that is missing in the run folder `out` is made and measured.

    A cell that fails is named in the manifest with the reason, and in no figure; the others go on.

    Args:
        jobs: cells at a time; several are worked on in processes of one thread each. None: one for each core.
        any_code: models that another version of the code made are taken too; the manifest tells which.

    Raises:
        ConfigError: an unknown method or study, or a setting that does not exist.
        DataError: the data cannot be used.
    """
    planned = studies(request.studies)
    entrants = [contender(name) for name in request.methods]
    sources = sources_of(request)
    slices = {part: getattr(sources, part) for part in PARTS} | dict(sources.galleries)
    rows = {name: rows_of(part, world, progress) for name, part in slices.items()}
    data = {name: fingerprint(part) for name, part in rows.items()}
    first = [*entrants, *(one for study in planned.values() for _, _, one in study.variants)]
    wanted = [(one, 0) for one in first]
    wanted += [(one, seed) for seed in range(1, request.seeds) for one in entrants if one.has_seeds]
    placed = [
        _placed(Cell(one, seed, request.base, sources, request.steps, world, Path(out)), data, any_code)
        for one, seed in wanted
    ]
    todo = list({cell.folder: cell for cell in placed}.values())
    manifest = _manifest(request, data, todo)
    asked = asdict(request) | {"names": [one.name for one in entrants]}
    _write(Path(out) / CONFIG, {"request": asked, "cells": _resolved(todo)})
    _write(Path(out) / MANIFEST, manifest)
    queries = queries_of(rows["test"])
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    for cell, came in worked(todo, rows, queries, jobs=jobs, progress=progress):
        manifest["cells"][cell.folder.name].update(came)
        if "failed" in came:
            note(f"failed: {cell.contender.name}, seed {cell.seed}: {came['failed']}")
        _write(Path(out) / MANIFEST, manifest)
    manifest["finished"] = _now()
    _write(Path(out) / MANIFEST, manifest)
    return rendered(Path(out))


def rendered(out: Path) -> Comparison:
    """The comparison in a run folder, with its summaries and its report written anew.

    Raises:
        DataError: it is no run folder, or no cell of it is finished.
    """
    comparison = read_comparison(out)
    write_summaries(out, comparison)
    write_report(comparison, out / REPORT)
    with whole(out / RESULTS) as partial:
        partial.write_text(_results(comparison), encoding="utf-8")
    return comparison


def _results(comparison: Comparison) -> str:
    told = comparison.manifest
    libraries = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    return (
        f"# Methods side by side on {comparison.data}\n\nMade by `{' '.join(told['command'])}`. "
        f"{told['machine']}; {libraries}; {told['started']} to {told['finished']}.\n\n"
        f"{markdown_table(comparison)}"
    )


def _placed(cell: Cell, data: Mapping[str, str], any_code: bool) -> Cell:
    """The cell with its own folder below that of the comparison, `NAME-seedS-KEY-CODE`."""
    making = {part: data[part] for part in ("train", "validation", "calibration")}
    key = cells.cell_key(cell, making if cell.contender.has_seeds else {})
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", cell.contender.name).strip("-")
    stem, below = f"{name}-seed{cell.seed}-{key[:10]}", cell.folder / CELLS
    current = replace(cell, folder=below / f"{stem}-{cells.code_version(cells.MAKING)[:8]}")
    if not any_code or cells.made(current) is not None:
        return current
    older = [replace(cell, folder=folder) for folder in below.glob(f"{stem}-*")]
    finished = [other for other in older if cells.made(other) is not None]
    return max(finished, key=lambda other: other.folder.stat().st_mtime, default=current)


def _resolved(todo: Iterable[Cell]) -> dict[str, Any]:
    return {cell.folder.name: cells.resolved(cell) for cell in todo}


def _manifest(request: Request, data: Mapping[str, str], todo: Iterable[Cell]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": _now(),
        "finished": None,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("hyperaware", "torch", "transformers")}
        | {"python": platform.python_version()},
        "code": {"making": cells.code_version(cells.MAKING), "measuring": cells.code_version(MEASURING)},
        "data": {"name": request.data, "fingerprints": dict(data)},
        "cells": {
            cell.folder.name: {
                "contender": cell.contender.name,
                "title": cell.contender.title,
                "paper": cell.contender.paper,
                "seed": cell.seed,
            }
            for cell in todo
        },
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
