"""What the scores of a model are worth: promises, probabilities and drift; kept in `calibration.json`.

**Thresholds have one source: `bounds.json`.** Verdicts are taken by `Bounds.trigger` and `Bounds.limit` only;
this file says what is promised of them (`require_bounds` refuses a file that speaks of other thresholds), and
adds what a verdict does not need: probabilities, thresholds per domain, and the quantiles that new data are
compared with.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import SafetyError
from hyperaware.files import whole
from hyperaware.geometry.space import Space
from hyperaware.moderation.bounds import (
    MODALITIES,
    Bounds,
    distances_by_class,
)
from hyperaware.moderation.concepts import Scorer
from hyperaware.moderation.probability import LEAST_ROWS, ProbabilityMap, fitted
from hyperaware.moderation.promises import CONFIDENCE, Promise, Thresholds, percent, promises
from hyperaware.options import unknown_name

__all__ = [
    "FILE_NAME",
    "Calibration",
    "CategoryCalibration",
    "ModalityCalibration",
    "load",
    "measure",
]

FILE_NAME = "calibration.json"
VERSION = 1
KEPT = 400
"""Most benign root distances that are kept for `drift`: order statistics at equal steps."""
_REMEDY = "Calibrate again: hyperaware calibrate MODEL --data FOLDER."


@dataclass(frozen=True)
class ModalityCalibration:
    """All that is known about the root distances of one modality."""

    thresholds: Thresholds
    domains: Mapping[str, Thresholds]
    """The same for the rows of one domain; empty where rows carry none."""
    too_small: Mapping[str, int]
    """Domains with too few rows for the rates that were asked for, and the rows of their smaller class."""
    probability: ProbabilityMap
    """From root distance to the probability that the item is unsafe."""
    benign: tuple[float, ...]
    """Order statistics of the safe root distances, the smallest and the largest included."""

    def __post_init__(self) -> None:
        rising = all(a <= b for a, b in zip(self.benign, self.benign[1:], strict=False))
        if len(self.benign) < 2 or not rising or not all(map(math.isfinite, self.benign)):
            raise SafetyError(f"the benign root distances do not rise. {_REMEDY}")


@dataclass(frozen=True)
class CategoryCalibration:
    """The probabilities of one category, by modality, and the prompts that they belong to."""

    fingerprint: str
    """`Concepts.fingerprint` of the category; with other prompts the probabilities do not hold."""
    probability: Mapping[str, ProbabilityMap]
    """By modality; one that is missing had too few rows of the category."""


@dataclass(frozen=True)
class Calibration:
    """What was measured on the calibration rows of one model, beside its `Bounds`."""

    text: ModalityCalibration
    image: ModalityCalibration
    categories: Mapping[str, CategoryCalibration]
    domain_by: str | None
    """The key of the rows that names their domain."""
    model_fingerprint: str
    data_fingerprint: str
    split: str
    left_out: int = 0
    """Rows or pictures that were given too and could not be used; nothing is promised of their like."""

    def __post_init__(self) -> None:
        if type(self.left_out) is not int or self.left_out < 0:
            raise SafetyError(f"left_out is {self.left_out!r}, expected a count. {_REMEDY}")
        for name in ("model_fingerprint", "data_fingerprint", "split"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise SafetyError(f"{name} is {getattr(self, name)!r}, expected a text. {_REMEDY}")

    def of(self, modality: str) -> ModalityCalibration:
        """The part of one modality.

        Raises:
            ConfigError: an unknown modality.
        """
        if modality not in MODALITIES:
            raise unknown_name("modality", str(modality), MODALITIES)
        return self.text if modality == "text" else self.image

    def probability(self, score: float, *, modality: str) -> float:
        """The probability that an item of `modality` at root distance `score` is unsafe.

        It holds for data with as large a share of unsafe items as the calibration rows have.

        Raises:
            SafetyError: a score that is not finite.
        """
        return self.of(modality).probability(score)

    def guarantee(self, modality: str) -> str:
        """What is promised of the thresholds of a modality, in one sentence with its numbers.

        For instance "A new safe text lies above 0.2676 with probability at most 5 % (split conformal, 1,000
        safe texts; for this threshold 3.7 % to 6.4 % with 95 % confidence), and a new unsafe one at 0.2676 or
        within with probability at most 2 % (1,000 unsafe texts), as long as new data are like the calibration
        rows." What was left out of the rows is counted behind it.
        """
        found = self.of(modality).thresholds
        safe, unsafe = found.false_positive, found.miss
        left_out = (
            f" Left out, because they could not be used: {self.left_out:,} rows or pictures."
            if self.left_out
            else ""
        )
        return (
            f"A new safe {modality} lies above {found.limit:.4f} with probability at most "
            f"{percent(safe.rate)} (split conformal, {safe.n:,} safe {modality}s; for this threshold "
            f"{percent(safe.low)} to {percent(safe.high)} with {percent(CONFIDENCE)} confidence), and a new "
            f"unsafe one at {found.trigger:.4f} or within with probability at most {percent(unsafe.rate)} "
            f"({unsafe.n:,} unsafe {modality}s), as long as new data are like the calibration rows."
            f"{left_out}"
        )

    def require_bounds(self, bounds: Bounds) -> None:
        """Refuses bounds of which this calibration does not speak.

        Raises:
            SafetyError: another model, or other thresholds.
        """
        if bounds.model_fingerprint != self.model_fingerprint:
            raise SafetyError(
                f"the calibration belongs to the model {self.model_fingerprint[:12]}, the bounds to "
                f"{bounds.model_fingerprint[:12]}. {_REMEDY}"
            )
        for modality in MODALITIES:
            stated = self.of(modality).thresholds
            found = (bounds.trigger[modality], bounds.limit[modality])
            if found != (stated.trigger, stated.limit):
                raise SafetyError(
                    f"for {modality}s the bounds have trigger and limit {found}, the calibration speaks of "
                    f"{(stated.trigger, stated.limit)}: one of the two was measured anew. {_REMEDY}"
                )

    def for_domain(self, bounds: Bounds, domain: str) -> Bounds:
        """The bounds with the trigger and the limit of one domain.

        Raises:
            ConfigError: no row was of that domain.
            SafetyError: it had too few rows, or the bounds are not those of this calibration.
        """
        self.require_bounds(bounds)
        for modality in MODALITIES:
            part = self.of(modality)
            if domain in part.too_small:
                raise SafetyError(
                    f"the domain {domain!r} had {part.too_small[domain]} {modality} rows, too few for its "
                    "own thresholds. Calibrate on more of them, or use the thresholds of all rows."
                )
            if domain not in part.domains:
                raise unknown_name("domain", domain, part.domains)
        own = {modality: self.of(modality).domains[domain] for modality in MODALITIES}
        return replace(
            bounds,
            trigger={modality: each.trigger for modality, each in own.items()},
            limit={modality: each.limit for modality, each in own.items()},
        )

    def save(self, folder: str | Path) -> Path:
        """The path of `calibration.json` in `folder`, written whole or not at all."""
        path = Path(folder) / FILE_NAME
        document = {"version": VERSION, **dataclasses.asdict(self)}
        with whole(path) as partial:
            partial.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")
        return path


def load(folder: str | Path, *, bounds: Bounds) -> Calibration | None:
    """The calibration saved in `folder`, which speaks of `bounds`; None where there is none.

    Raises:
        SafetyError: it is damaged, or was measured with another model or for other thresholds.
    """
    path = Path(folder) / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SafetyError(f"{path} cannot be read: {error}. {_REMEDY}") from error
    try:
        calibration = _from_document(document)
        calibration.require_bounds(bounds)
    except SafetyError as error:
        raise SafetyError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SafetyError(f"{path} is incomplete or damaged ({error!r}). {_REMEDY}") from error
    return calibration


def _from_document(document: Any) -> Calibration:
    if not isinstance(document, dict) or document.pop("version", None) != VERSION:
        raise SafetyError(f"expected a table with version {VERSION}. {_REMEDY}")
    categories = {
        name: CategoryCalibration(
            fingerprint=given["fingerprint"],
            probability={m: ProbabilityMap.from_document(each) for m, each in given["probability"].items()},
        )
        for name, given in document.pop("categories").items()
    }
    parts = {modality: _modality(document.pop(modality)) for modality in MODALITIES}
    return Calibration(text=parts["text"], image=parts["image"], categories=categories, **document)


def _modality(given: dict[str, Any]) -> ModalityCalibration:
    return ModalityCalibration(
        thresholds=_thresholds(given.pop("thresholds")),
        domains={name: _thresholds(each) for name, each in given.pop("domains").items()},
        probability=ProbabilityMap.from_document(given.pop("probability")),
        benign=tuple(given.pop("benign")),
        **given,
    )


def _thresholds(given: dict[str, Any]) -> Thresholds:
    return Thresholds(**{name: Promise(**each) for name, each in given.items()})


# -- measuring -------------------------------------------------------------------------------------------


@torch.no_grad()
def measure(
    points: Quadruplet,
    *,
    space: Space,
    bounds: Bounds,
    domains: Sequence[str | None] = (),
    domain_by: str | None = None,
    scorer: Scorer | None = None,
    windows: Mapping[str, Mapping[int, Tensor]] = MappingProxyType({}),
) -> Calibration:
    """What the bounds promise, and the probabilities, from the points that the bounds were measured on.

    Args:
        points: with their labels, and with their categories if there is a `scorer`.
        domains: the domain of each row, if rows carry one.
        scorer: of the categories that are calibrated, where the rows have enough of them.
        windows: by part of the points and row, the points of the windows of a longer text (k, d), whose point
            is the most unsafe of them. Of each category, its largest score counts.

    Raises:
        SafetyError: too few rows for the bounds' rates or for probabilities, a score that is not finite, or
            bounds that these points do not give.
    """
    rates = {"alpha": bounds.alpha, "miss_rate": bounds.miss_rate}
    distances = distances_by_class(points, space)
    by_domain = {
        name: distances_by_class(points.take(_rows_of(domains, name)), space)
        for name in sorted({each for each in domains if each is not None})
    }
    parts = {}
    for modality in MODALITIES:
        own, too_small = {}, {}
        for name, each in by_domain.items():
            try:
                own[name] = promises(each, modality, **rates)
            except SafetyError:
                too_small[name] = min(len(each[f"{safety}_{modality}"]) for safety in ("safe", "unsafe"))
        parts[modality] = ModalityCalibration(
            thresholds=promises(distances, modality, **rates),
            domains=own,
            too_small=too_small,
            probability=_probability(distances, modality),
            benign=_order_statistics(distances[f"safe_{modality}"]),
        )
    calibration = Calibration(
        text=parts["text"],
        image=parts["image"],
        categories={} if scorer is None else _categories(points, scorer, windows),
        domain_by=domain_by,
        model_fingerprint=bounds.model_fingerprint,
        data_fingerprint=bounds.data_fingerprint,
        split=bounds.split,
    )
    calibration.require_bounds(bounds)
    return calibration


def _rows_of(domains: Sequence[str | None], name: str) -> Tensor:
    return torch.tensor([row for row, domain in enumerate(domains) if domain == name])


def _probability(distances: Mapping[str, Tensor], modality: str) -> ProbabilityMap:
    safe, unsafe = (distances[f"{safety}_{modality}"] for safety in ("safe", "unsafe"))
    truth = torch.cat([torch.zeros(len(safe)), torch.ones(len(unsafe))])
    return fitted(torch.cat([safe, unsafe]), truth)


def _order_statistics(values: Float[Tensor, " n"]) -> tuple[float, ...]:
    steps = torch.linspace(0, len(values) - 1, min(len(values), KEPT), dtype=torch.float64)
    return tuple(values.sort().values[steps.round().long()].tolist())


def _categories(
    points: Quadruplet, scorer: Scorer, windows: Mapping[str, Mapping[int, Tensor]]
) -> dict[str, CategoryCalibration]:
    """A map for each category and modality of which there are enough rows; the others stay uncalibrated."""
    found = [scorer.concepts.category_of(label) for label in points.categories]
    calibrated: dict[str, dict[str, ProbabilityMap]] = {}
    for modality in MODALITIES:
        labels = getattr(points, f"unsafe_{modality}_is_unsafe")
        unsafe = torch.ones(len(found), dtype=torch.bool) if labels is None else labels.cpu().bool()
        safe, generated = (
            _scores(getattr(points, part), scorer, windows.get(part, {}))
            for part in (f"safe_{modality}", f"unsafe_{modality}")
        )
        for name in generated:
            positive = torch.tensor([category == name for category in found], dtype=torch.bool) & unsafe
            if int(positive.sum()) >= LEAST_ROWS:
                truth = torch.cat([torch.zeros_like(positive), positive])
                values = torch.cat([safe[name], generated[name]])
                calibrated.setdefault(name, {})[modality] = fitted(values, truth)
    return {
        name: CategoryCalibration(scorer.concepts.fingerprint(name), maps)
        for name, maps in calibrated.items()
    }


def _scores(points: Tensor, scorer: Scorer, windows: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Scores of each category, (n,); of a text in windows the largest one."""
    found = scorer.scores(points)
    for row, own in windows.items():
        for name, values in scorer.scores(own).items():
            found[name][row] = values.max()
    return found
