"""Calibrated limits of root distance, per modality, and the file that carries them beside a model.

Three numbers per modality m, each with one purpose:

    trigger[m]   a *query* of modality m farther out than this is redirected or blocked
    limit[m]     an *item* of modality m farther out than this is not shown where only safe items are
    landing[m]   where a redirected query lands when it searches items of modality m

Trigger and limit are split-conformal (beyond-hysac.md, 4.3; Vovk et al. 2005): order statistics of held-out
root distances, valid at any sample size for queries that are exchangeable with the calibration rows.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import SafetyError
from hyperaware.files import whole
from hyperaware.geometry.space import Space
from hyperaware.metrics.retrieval import top1

__all__ = [
    "CANDIDATES",
    "FILE_NAME",
    "MODALITIES",
    "Bounds",
    "ClassBounds",
    "choose_landing",
    "distances_by_class",
    "false_positive_bound",
    "load",
    "measure",
    "miss_bound",
]

FILE_NAME = "bounds.json"
VERSION = 1
MODALITIES = ("text", "image")
CANDIDATES = tuple(step / 20 for step in range(1, 25))
"""Landings to try, in multiples of the median root distance of the target's safe class."""

_REMEDY = "Measure the bounds on a calibration split (hyperaware.moderation.bounds.measure) and save them."


@dataclass(frozen=True)
class ClassBounds:
    """Root distances of one class on the calibration split, and the number of rows that they rest on.

    Published bounds state no median and no number of rows: both are None there.
    """

    low_05: float
    median: float | None
    mean: float
    up_95: float
    n: int | None

    def __post_init__(self) -> None:
        for name in ("low_05", "mean", "up_95"):
            _require_number(name, getattr(self, name))
        if (self.median is None) != (self.n is None):
            raise SafetyError(f"{self} has one of median and n: expected both or none. {_REMEDY}")
        if self.n is not None and (type(self.n) is not int or self.n < 1):
            raise SafetyError(f"n is {self.n!r}, expected a number of rows of at least 1. {_REMEDY}")
        middle = self.up_95 if self.median is None else self.median
        _require_number("median", middle)
        if not self.low_05 <= middle <= self.up_95:
            raise SafetyError(f"the quantiles of {self} are not in order. {_REMEDY}")


@dataclass(frozen=True)
class Bounds:
    """Everything that a verdict rests on, of one model. All distances are geodesic distances to the root.

    Refuses to exist with a missing modality or a value that is not a finite number: see the module's
    docstring for what `trigger`, `limit` and `landing` mean.
    """

    safe_text: ClassBounds
    safe_image: ClassBounds
    unsafe_text: ClassBounds
    unsafe_image: ClassBounds
    trigger: Mapping[str, float]
    limit: Mapping[str, float]
    landing: Mapping[str, float]
    miss_rate: float
    """Largest share of unsafe queries that `trigger` may miss."""
    alpha: float
    """Largest share of safe items that `limit` may hold back."""
    trigger_false_positive_rate: Mapping[str, float | None]
    """Share of the safe rows of the calibration split above `trigger`; None in published bounds that leave it
    open."""
    limit_miss_rate: Mapping[str, float | None]
    """Share of the unsafe rows of the calibration split at or below `limit`; None likewise."""
    model_fingerprint: str
    data_fingerprint: str
    split: str

    def __post_init__(self) -> None:
        for name in _CLASSES:
            if not isinstance(getattr(self, name), ClassBounds):
                raise SafetyError(f"{name} is missing from the bounds. {_REMEDY}")
        for name in _PER_MODALITY:
            _require_modalities(name, getattr(self, name), may_be_open=name in _SHARES)
        for name in ("miss_rate", "alpha"):
            _require_number(name, getattr(self, name))
        for name in ("model_fingerprint", "data_fingerprint", "split"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise SafetyError(f"{name} is {getattr(self, name)!r}, expected a text. {_REMEDY}")
        for modality, landing in self.landing.items():
            if landing == 0:
                raise SafetyError(
                    f"landing[{modality!r}] is 0: at the root every query is the same. {_REMEDY}"
                )

    def save(self, folder: str | Path) -> Path:
        """The path of `bounds.json` in `folder`, written whole or not at all."""
        path = Path(folder) / FILE_NAME
        text = json.dumps({"version": VERSION, **dataclasses.asdict(self)}, indent=1, allow_nan=False)
        with whole(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
        return path


_CLASSES = tuple(f"{safety}_{modality}" for safety in ("safe", "unsafe") for modality in MODALITIES)
_SHARES = ("trigger_false_positive_rate", "limit_miss_rate")
_PER_MODALITY = ("trigger", "limit", "landing", *_SHARES)


def load(folder: str | Path, *, model_fingerprint: str | None = None) -> Bounds:
    """The bounds saved in `folder`.

    Raises:
        SafetyError: the file is missing or damaged, a class or number is missing or not finite, or it was
            measured with a model of another fingerprint than `model_fingerprint` (None: not compared).
    """
    path = Path(folder) / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SafetyError(f"{path} does not exist, so no query can be judged. {_REMEDY}") from None
    except (OSError, ValueError) as error:
        raise SafetyError(f"{path} cannot be read: {error}. {_REMEDY}") from error
    try:
        bounds = _from_document(document)
    except SafetyError as error:
        raise SafetyError(f"{path}: {error}") from error
    if model_fingerprint is not None and bounds.model_fingerprint != model_fingerprint:
        raise SafetyError(
            f"{path} was measured with the model {bounds.model_fingerprint[:12]}, but this model is "
            f"{model_fingerprint[:12]}. {_REMEDY}"
        )
    return bounds


def _from_document(document: Any) -> Bounds:
    if not isinstance(document, dict) or document.pop("version", None) != VERSION:
        raise SafetyError(f"expected a table with version {VERSION}. {_REMEDY}")
    _require_keys("the bounds", document, Bounds)
    for name in _CLASSES:
        _require_keys(name, document[name], ClassBounds)
        document[name] = ClassBounds(**document[name])
    return Bounds(**document)


def _require_keys(what: str, table: Any, kind: type) -> None:
    expected = {field.name for field in dataclasses.fields(kind)}
    given = set(table) if isinstance(table, dict) else set()
    if given != expected:
        missing, unknown = sorted(expected - given), sorted(given - expected)
        raise SafetyError(
            f"{what}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}. {_REMEDY}"
        )


def _require_modalities(name: str, values: Any, *, may_be_open: bool) -> None:
    if not isinstance(values, Mapping) or set(values) != set(MODALITIES):
        raise SafetyError(f"{name} is {values!r}, expected one number for each of {MODALITIES}. {_REMEDY}")
    for modality, value in values.items():
        if value is not None or not may_be_open:
            _require_number(f"{name}[{modality!r}]", value)


def _require_number(name: str, value: Any) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
    ):
        raise SafetyError(f"{name} is {value!r}, expected a finite number of at least 0. {_REMEDY}")


def miss_bound(unsafe: Float[Tensor, " n"], *, miss_rate: float) -> float:
    """The largest threshold that misses a new unsafe query with probability at most `miss_rate`.

    The k-th smallest unsafe root distance with k = floor((n + 1) miss_rate), one float32 step further in: a
    query as far out as the k-th row fires, so that the guarantee holds with equal root distances too.

    >>> round(miss_bound(torch.arange(1, 100) / 100, miss_rate=0.02), 6)
    0.02

    Raises:
        SafetyError: fewer than 1 / miss_rate - 1 rows (49 for 0.02), from which nothing can be promised.
    """
    rate = _rate("miss_rate", miss_rate)
    k = math.floor((len(unsafe) + 1) * rate)
    if k < 1:
        raise SafetyError(
            f"{len(unsafe)} unsafe rows cannot bound the miss rate by {miss_rate}: "
            f"at least {math.ceil(1 / rate) - 1} are needed. Calibrate on more rows or allow a larger rate."
        )
    kth = unsafe.float().kthvalue(k).values
    return float(torch.nextafter(kth, torch.full_like(kth, -math.inf)).clamp(min=0))


def false_positive_bound(safe: Float[Tensor, " n"], *, alpha: float) -> float:
    """The smallest threshold that a new safe item exceeds with probability at most `alpha`.

    The k-th smallest safe root distance with k = ceil((n + 1)(1 - alpha)).

    >>> round(false_positive_bound(torch.arange(1, 100) / 100, alpha=0.05), 6)
    0.95

    Raises:
        SafetyError: fewer than 1 / alpha - 1 rows (19 for 0.05), from which nothing can be promised.
    """
    rate = _rate("alpha", alpha)
    k = math.ceil((len(safe) + 1) * (1 - rate))
    if k > len(safe):
        raise SafetyError(
            f"{len(safe)} safe rows cannot bound the false-positive rate by {alpha}: "
            f"at least {math.ceil(1 / rate) - 1} are needed. Calibrate on more rows or allow a larger rate."
        )
    return float(safe.kthvalue(k).values)


def _rate(name: str, value: float) -> Fraction:
    """`value` as the decimal that was written, so that floor and ceil do not fall over binary rounding."""
    if not 0 < value < 1:
        raise SafetyError(f"{name} is {value!r}, expected a share between 0 and 1.")
    return Fraction(str(value))


@torch.no_grad()
def measure(
    points: Quadruplet,
    *,
    space: Space,
    model_fingerprint: str,
    data_fingerprint: str,
    split: str,
    landing: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    miss_rate: float = 0.02,
) -> Bounds:
    """The bounds of one model, from the points of its calibration split.

    The trigger bounds what is *missed*, because the two errors differ in weight: a redirect that fires on a
    safe query is nearly harmless (it keeps its direction and finds safe items, which is what it was after),
    one that lets an unsafe query pass is not. Nor does it lie beyond the limit: where both classes leave a
    gap, kinds of harm that the calibration rows do not have lie in it. What it costs is kept beside it,
    `trigger_false_positive_rate`.
    The limit bounds what is *held back*: an item that is not shown is simply lost to whoever looks for it.

    Generated items that their label calls safe count as safe ones of their modality.

    Args:
        landing: from `choose_landing` on the *validation* split; the inner edge of the target's safe class
            (its `low_05`) where none is given.
        alpha: largest share of safe items above `limit`.
        miss_rate: largest share of unsafe queries at or under `trigger`, which is never beyond `limit`.

    Raises:
        SafetyError: too few rows for the rates asked for, or a root distance that is not finite.
        ConfigError: a space without a root.
    """
    distances = distances_by_class(points, space)
    limit = {m: false_positive_bound(distances[f"safe_{m}"], alpha=alpha) for m in MODALITIES}
    missed = {m: miss_bound(distances[f"unsafe_{m}"], miss_rate=miss_rate) for m in MODALITIES}
    trigger = {m: min(missed[m], limit[m]) for m in MODALITIES}
    classes = {name: _summary(values) for name, values in distances.items()}
    return Bounds(
        **classes,
        trigger=trigger,
        limit=limit,
        landing={m: classes[f"safe_{m}"].low_05 for m in MODALITIES} if landing is None else dict(landing),
        miss_rate=miss_rate,
        alpha=alpha,
        trigger_false_positive_rate={m: _share(distances[f"safe_{m}"] > trigger[m]) for m in MODALITIES},
        limit_miss_rate={m: _share(distances[f"unsafe_{m}"] <= limit[m]) for m in MODALITIES},
        model_fingerprint=model_fingerprint,
        data_fingerprint=data_fingerprint,
        split=split,
    )


def distances_by_class(points: Quadruplet, space: Space) -> dict[str, Float[Tensor, " n"]]:
    """Root distances of `safe_text`, `safe_image`, `unsafe_text`, `unsafe_image`, float64.

    Generated items that their label calls safe stand with the safe ones of their modality, after them.

    Raises:
        SafetyError: a root distance that is not finite.
    """
    distances = {}
    for modality in MODALITIES:
        unsafe = _unsafe_rows(points, modality)
        generated = space.root_distance(getattr(points, f"unsafe_{modality}"))
        safe = space.root_distance(getattr(points, f"safe_{modality}"))
        distances[f"safe_{modality}"] = torch.cat([safe, generated[~unsafe]])
        distances[f"unsafe_{modality}"] = generated[unsafe]
    for name, values in distances.items():
        wrong = int((~values.isfinite()).sum())
        if wrong:
            raise SafetyError(
                f"{wrong} of {len(values)} root distances of {name} are not finite: check the model."
            )
    return {name: values.double().cpu() for name, values in distances.items()}


def _unsafe_rows(points: Quadruplet, modality: str) -> Bool[Tensor, " n"]:
    generated = getattr(points, f"unsafe_{modality}")
    labels = getattr(points, f"unsafe_{modality}_is_unsafe")
    if labels is None:
        return torch.ones(len(generated), dtype=torch.bool, device=generated.device)
    return labels.to(generated.device, torch.bool)


def _summary(distances: Float[Tensor, " n"]) -> ClassBounds:
    low, median, up = distances.quantile(distances.new_tensor([0.05, 0.5, 0.95])).tolist()
    return ClassBounds(low_05=low, median=median, mean=float(distances.mean()), up_95=up, n=len(distances))


def _share(hits: Bool[Tensor, " n"]) -> float:
    return float(hits.double().mean())


@torch.no_grad()
def choose_landing(
    points: Quadruplet,
    *,
    space: Space,
    candidates: Sequence[float] = CANDIDATES,
    harmful_at_most: float = 0.02,
) -> dict[str, float]:
    """The root distance, per target modality, at which redirected queries find most of their safe twins.

    Every unsafe query of the other modality is moved in to each candidate (a multiple of the median root
    distance of the target's safe class) and searches the safe and the unsafe items of the split together.
    Chosen is the highest R@1 of the paired safe item among the candidates with a harmful top-1 share of at
    most `harmful_at_most`; where none is that low, the least harmful one. Equal ones: the innermost.

    Choose on a validation split, never on the one that is reported.

    Raises:
        SafetyError: a modality without unsafe rows, or a root distance that is not finite.
    """
    return {
        target: _choose_landing(points, source, target, space, candidates, harmful_at_most)
        for target, source in zip(MODALITIES, reversed(MODALITIES), strict=True)
    }


def _choose_landing(
    points: Quadruplet,
    source: str,
    target: str,
    space: Space,
    candidates: Sequence[float],
    harmful_at_most: float,
) -> float:
    asked = _unsafe_rows(points, source)
    if not asked.any():
        raise SafetyError(f"no {source} of the split is unsafe, so no landing for {target} can be chosen.")
    queries, twins = getattr(points, f"unsafe_{source}")[asked], asked.nonzero().squeeze(1)
    safe = getattr(points, f"safe_{target}")
    gallery = torch.cat([safe, getattr(points, f"unsafe_{target}")])
    unsafe = torch.cat([torch.zeros_like(asked), _unsafe_rows(points, target)])
    before = space.root_distance(queries)
    median = distances_by_class(points, space)[f"safe_{target}"].quantile(0.5).item()

    outcomes = []
    for landing in sorted(multiple * median for multiple in candidates):
        best = top1(space.move_to(queries, before.clamp(max=landing)), gallery, space.similarity)
        outcomes.append((_share(unsafe[best]), _share(best == twins), landing))
    admissible = [outcome for outcome in outcomes if outcome[0] <= harmful_at_most]
    if admissible:
        return max(admissible, key=lambda outcome: (outcome[1], -outcome[0], -outcome[2]))[2]
    return min(outcomes, key=lambda outcome: (outcome[0], -outcome[1], outcome[2]))[2]
