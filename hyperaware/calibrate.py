"""Calibrating a model on rows of data: its bounds and its `calibration.json`, measured together."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from hyperaware.data.folder import fingerprint
from hyperaware.data.left_out import Unusable
from hyperaware.data.quadruplet import Row
from hyperaware.errors import ConfigError, SafetyError
from hyperaware.evaluation.embed import AsJudged, embed_as_judged
from hyperaware.evaluation.examples import Examples
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.bounds import MODALITIES, Bounds, distances_by_class
from hyperaware.moderation.calibration import Calibration
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.moderation.drift import Drift, drift
from hyperaware.options import unknown_name

__all__ = ["DOMAIN_KEYS", "Calibrated", "calibrate", "check_drift", "guarantee"]

DOMAIN_KEYS = ("slice", "category", "concept")
"""Keys of a row that may name its domain."""

Progress = Callable[[int, int], None]


class Calibrated(NamedTuple):
    """What one calibration measured; both are saved into the model's folder."""

    bounds: Bounds
    calibration: Calibration


def calibrate(
    model: DualEncoder,
    rows: Sequence[Row],
    *,
    false_positive_rate: float = 0.05,
    miss_rate: float = 0.02,
    domain_by: str | None = None,
    concepts: Concepts | None = None,
    bounds: Bounds | None = None,
    unusable: Unusable | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """Bounds and calibration of a model, from rows that no training has seen.

    Args:
        domain_by: the key of `DOMAIN_KEYS` that tells the domains apart; None: one domain.
        concepts: of the categories; by default the set of the package that fits the model.
        bounds: earlier ones, whose landings are kept: those were chosen on validation rows, by what a search
            finds. None: the inner edge of the safe classes.
        unusable: what is known to be bad; pictures that cannot be read are entered too. By default, and
            unless it may be left out, it is refused. What is left out is counted in the calibration.

    Raises:
        ConfigError: a model without a root, or an unknown key.
        DataError: a picture cannot be read; nothing is promised on a part of what was given.
        SafetyError: too few rows for the rates.
    """
    if domain_by is not None and domain_by not in DOMAIN_KEYS:
        raise unknown_name("key of rows that can name a domain", domain_by, DOMAIN_KEYS)
    unusable = Unusable() if unusable is None else unusable
    rows, (points, windows) = _points(model, rows, unusable, progress)
    measured = bounds_module.measure(
        points,
        space=model.space,
        model_fingerprint=model.fingerprint,
        data_fingerprint=fingerprint(rows),
        split=rows[0].split,
        landing=None if bounds is None else bounds.landing,
        alpha=false_positive_rate,
        miss_rate=miss_rate,
    )
    found = calibration_module.measure(
        points,
        space=model.space,
        bounds=measured,
        domains=() if domain_by is None else [getattr(row, domain_by) for row in rows],
        domain_by=domain_by,
        scorer=Scorer(model, Concepts.of(model) if concepts is None else concepts),
        windows=windows,
    )
    return Calibrated(measured, replace(found, left_out=len(unusable.reasons)))


def check_drift(
    model: DualEncoder,
    rows: Sequence[Row],
    calibration: Calibration,
    *,
    unusable: Unusable | None = None,
    progress: Progress | None = None,
) -> dict[str, Drift]:
    """For each modality whether the safe parts of `rows` still look like those of the calibration.

    `unusable` as in `calibrate`.

    Raises:
        SafetyError: the calibration of another model.
        DataError: a picture cannot be read.
    """
    if calibration.model_fingerprint != model.fingerprint:
        raise SafetyError(
            f"the calibration belongs to the model {calibration.model_fingerprint[:12]}, this one is "
            f"{model.fingerprint[:12]}. Calibrate it again."
        )
    _, judged = _points(model, rows, Unusable() if unusable is None else unusable, progress)
    distances = distances_by_class(judged.points, model.space)
    return drift(calibration, {modality: distances[f"safe_{modality}"] for modality in MODALITIES})


def guarantee(model: DualEncoder, bounds: Bounds) -> str:
    """What is promised of a model's limits, a sentence for each modality; or that nothing is, and why.

    Raises:
        SafetyError: a calibration that does not belong to these bounds.
    """
    found = None if model.folder is None else calibration_module.load(model.folder, bounds=bounds)
    if found is None:
        return (
            "Nothing is promised of these bounds: the model has no calibration.json (hyperaware calibrate)."
        )
    return "\n".join(found.guarantee(modality) for modality in MODALITIES)


def _points(
    model: DualEncoder, rows: Sequence[Row], unusable: Unusable, progress: Progress | None
) -> tuple[list[Row], AsJudged]:
    """The rows that can be used, and their points."""
    if not model.space.has_root:
        raise ConfigError(
            f"the model {model.name!r} lies on a sphere, which has no root: nothing to measure."
        )
    examples = Examples(rows, model=model, progress=progress)
    unusable.settle(examples.failed, rows)
    found = embed_as_judged(model, examples)
    categories = tuple(row.category for row in examples.rows)
    return examples.rows, found._replace(points=replace(found.points, categories=categories))
