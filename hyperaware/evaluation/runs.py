"""Measurements as records: one JSON file per run, and mean and spread over the runs of several seeds."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hyperaware.data.folder import fingerprint
from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.errors import DataError, SafetyError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.evaluation.keys import Figures
from hyperaware.evaluation.labels import labelled
from hyperaware.evaluation.suite import figures_of
from hyperaware.evaluation.zero_shot import prompted
from hyperaware.files import whole
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation.bounds import Bounds

__all__ = [
    "Measurement",
    "Run",
    "Spread",
    "mean_and_spread",
    "measurement",
    "read_run",
    "record",
    "spread_of",
]

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """The figures of one model on one set of rows, and what one needs to know to make them again."""

    model: str
    model_fingerprint: str
    provenance: Mapping[str, Any]
    """How the model was made, as the model's folder tells it."""
    seed: int | None
    """Of training; None where the provenance does not say."""
    space: Mapping[str, Any]
    data: str
    """The folder of the rows."""
    data_fingerprint: str
    split: str
    rows: int
    failed: Mapping[str, str]
    """Rows that could not be used and pictures that could not be read, and why; they are in no figure."""
    bounds: Mapping[str, Any] | None
    figures: Mapping[str, float]
    """Keys as at the head of `evaluation.keys`."""
    command: Sequence[str]
    versions: Mapping[str, str]
    machine: str
    date: str
    """In UTC, ISO 8601."""
    other_data: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the other rows that figures rest on: `calibration`, `gallery:NAME`."""

    def save(self, path: str | Path) -> Path:
        """The path of the JSON file, written whole or not at all; its folder is made if need be."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False)
        with whole(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
        return path


class Measurement(NamedTuple):
    """A run, and the labelled points that it was computed from (for plots)."""

    run: Run
    points: Quadruplet


def measurement(
    model: DualEncoder,
    rows: Sequence[Row],
    *,
    data: str | Path,
    bounds: Bounds | None,
    calibration: Sequence[Row] | None = None,
    galleries: Mapping[str, Sequence[Row]] | None = None,
    batch_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """The model measured on rows: decode, embed, evaluate, record. `progress` is told of pictures read.

    Args:
        data: the folder of the rows, for the record.
        bounds: the model's own; None for a model without a root, or without bounds.
        calibration: other rows, for the protocol `classification`.
        galleries: other rows by name, for the protocol `real-unsafe`.

    Raises:
        DataError: no row can be used, or a point is not finite.
        SafetyError: the bounds are another model's.
    """

    def embedded(part: Sequence[Row]) -> _Embedded:
        examples = Examples(part, model=model, progress=progress)
        points = labelled(embed(model, examples, batch_size=batch_size), examples.rows)
        return _Embedded(points, examples.rows, {str(path): reason for path, reason in examples.failed})

    test = embedded(rows)
    fitted = None if calibration is None else embedded(calibration)
    mixed = {name: embedded(part) for name, part in (galleries or {}).items()}
    figures = figures_of(
        test.points,
        test.rows,
        space=model.space,
        bounds=bounds,
        calibration=None if fitted is None else fitted.points,
        galleries={name: part.points for name, part in mixed.items()},
        zero_shot=prompted(model, test.rows),
    )
    others = {f"gallery:{name}": part for name, part in mixed.items()}
    others |= {} if fitted is None else {"calibration": fitted}
    run = record(
        model,
        test.rows,
        figures,
        data=data,
        bounds=bounds,
        failed={path: reason for part in (test, *others.values()) for path, reason in part.failed.items()},
        other_data={name: fingerprint(part.rows) for name, part in others.items()},
    )
    return Measurement(run, test.points)


class _Embedded(NamedTuple):
    points: Quadruplet
    rows: list[Row]
    failed: dict[str, str]


def record(
    model: DualEncoder,
    rows: Sequence[Row],
    figures: Figures,
    *,
    data: str | Path,
    bounds: Bounds | None,
    failed: Mapping[str, str] | None = None,
    other_data: Mapping[str, str] | None = None,
) -> Run:
    """Figures of a model on rows as a run of this process, at this time, on this machine.

    Raises:
        SafetyError: the bounds are another model's.
    """
    own = model.fingerprint
    if bounds is not None and bounds.model_fingerprint != own:
        raise SafetyError(
            f"the bounds were measured with the model {bounds.model_fingerprint[:12]}, but {model.name!r} is "
            f"{own[:12]}: their figures would mean nothing. Calibrate this model."
        )
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type
    return Run(
        model=model.name,
        model_fingerprint=own,
        provenance=model.provenance,
        seed=model.provenance.get("seed"),
        space=model.space.config(),
        data=str(data),
        data_fingerprint=fingerprint(rows),
        split="+".join(sorted({row.split for row in rows})),
        rows=len(rows),
        failed=failed or {},
        bounds=None if bounds is None else asdict(bounds),
        figures=figures,
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        versions={
            "hyperaware": version("hyperaware"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {device}",
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        other_data=other_data or {},
    )


def read_run(path: str | Path) -> Run:
    """The run that `Run.save` wrote.

    Raises:
        DataError: the file is missing, is not a run, or is of another format.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a run: {error}.") from error
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise DataError(f"{path} is not a run of format {FORMAT}; measure again with this version.")
    expected = {each.name for each in fields(Run)}
    optional = {each.name for each in fields(Run) if each.default_factory is not MISSING}
    if different := (document.keys() ^ expected) - (optional - document.keys()):
        raise DataError(f"{path} differs from a run in {sorted(different)}; measure again.")
    return Run(**document)


@dataclass(frozen=True)
class Spread:
    """One figure over n runs: mean, sample standard deviation (None for one run), least, greatest value."""

    mean: float
    deviation: float | None
    low: float
    high: float
    n: int


def mean_and_spread(runs: Sequence[Run]) -> dict[str, Spread]:
    """Each figure over runs that differ in the seed of training alone.

    Raises:
        DataError: no run, runs of differently named models, on different rows or with different figures, or
            the same weights twice, which would make the spread look smaller than it is.
    """
    if not runs:
        raise DataError("there are no runs, expected at least one.")
    for what in ("model", "data_fingerprint", "other_data"):
        values = sorted({str(getattr(run, what)) for run in runs})
        if len(values) > 1:
            raise DataError(
                f"the runs differ in {what}: {', '.join(values)}. Give runs of different seeds only."
            )
    if len({run.model_fingerprint for run in runs}) < len(runs):
        raise DataError(f"two of {len(runs)} runs are of the same weights; expected one run for each seed.")
    keys = runs[0].figures.keys()
    for run in runs:
        if run.figures.keys() != keys:
            raise DataError(f"the runs differ in their figures: {sorted(run.figures.keys() ^ keys)[:3]}.")
    return {key: spread_of([float(run.figures[key]) for run in runs]) for key in keys}


def spread_of(values: Sequence[float]) -> Spread:
    """One figure over runs; the deviation is the sample one."""
    return Spread(
        mean=statistics.fmean(values),
        deviation=statistics.stdev(values) if len(values) > 1 else None,
        low=min(values),
        high=max(values),
        n=len(values),
    )
