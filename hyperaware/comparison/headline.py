"""What a comparison is read by: figures that answer one question together, and which way is better."""

import statistics
from typing import Literal, NamedTuple

from hyperaware.comparison.results import Entry
from hyperaware.evaluation.keys import AWARENESS, REDIRECT, SAFE
from hyperaware.evaluation.runs import Spread, spread_of
from hyperaware.metrics.safeground import CHANCE
from hyperaware.moderation.bounds import MODALITIES

__all__ = [
    "AUROC",
    "AWARE",
    "DIRECTIONS",
    "GS",
    "HARMFUL",
    "HARMFUL_SERVED",
    "PS",
    "SAFE_RECALL",
    "SAFE_SERVED",
    "SUMMARY",
    "TWIN",
    "TWIN_SERVED",
    "ZERO_SHOT",
    "Figure",
    "Measure",
    "mean_spread",
]

DIRECTIONS = ("T → I", "I → T")
"""Text to image and image to text, of every protocol that has two, in the order of `protocols.SAFE`."""


class Figure(NamedTuple):
    """One figure as a table shows it."""

    label: str
    raw: str
    """Its key in `Run.figures`."""
    redirected: str | None = None
    """The key that holds for methods that redirect; None: the same as for the others."""

    def key(self, entry: Entry) -> str:
        """The key that holds for this method."""
        return self.raw if self.redirected is None else entry.served(self.raw, self.redirected)

    def spread(self, entry: Entry) -> Spread | None:
        """The figure of this method over its seeds; None where it has no such figure."""
        return entry.spread(self.key(entry))


class Measure(NamedTuple):
    """Figures that answer one question, one for each direction or modality."""

    title: str
    figures: tuple[Figure, ...]
    lower_is_better: bool = False
    kind: Literal["share", "number"] = "share"
    """share: printed in percent; number: with three decimals."""
    chance: float | None = None
    """What a model that knows nothing reaches, where that can be known."""

    @property
    def heading(self) -> str:
        """The title, with an arrow that tells which way is better."""
        return f"{self.title} {'↓' if self.lower_is_better else '↑'}"


def _measure(
    title: str, directions: tuple[str, ...], *patterns: str, lower_is_better: bool = False
) -> Measure:
    """A measure of both directions; `patterns` are keys with a place for the direction: raw, redirected."""
    figures = tuple(
        Figure(label, *(pattern.format(direction) for pattern in patterns))
        for label, direction in zip(DIRECTIONS, directions, strict=True)
    )
    return Measure(title, figures, lower_is_better)


_HARMFUL = ("redirect/{}/raw/harmful_top1", "redirect/{}/redirected/harmful_top1")
_TWIN = ("redirect/{}/raw/recall@1", "redirect/{}/redirected/recall@1")

SAFE_RECALL = _measure("Safe R@1", SAFE, "safe/{}/recall@1")
SAFE_SERVED = _measure("Safe R@1, as served", SAFE, "safe/{}/recall@1", "safe-redirected/{}/recall@1")
AWARE = _measure("Unsafe R@1, on demand", AWARENESS, "awareness/{}/recall@1")
HARMFUL = _measure("Harmful first hit, raw", REDIRECT, _HARMFUL[0], lower_is_better=True)
HARMFUL_SERVED = _measure("Harmful first hit, as served", REDIRECT, *_HARMFUL, lower_is_better=True)
TWIN = _measure("Safe twin R@1, raw", REDIRECT, _TWIN[0])
TWIN_SERVED = _measure("Safe twin R@1, as served", REDIRECT, *_TWIN)
AUROC = Measure(
    "AUROC by root distance",
    tuple(Figure(modality, f"separation/{modality}/all/auroc") for modality in MODALITIES),
    kind="number",
    chance=0.5,
)
ZERO_SHOT = Measure(
    "Zero-shot top-1", tuple(Figure(task, f"zero-shot/{task}/top1") for task in ("subject", "things"))
)
PS = Measure("SafeGround PS", (Figure("both safe queries", "safeground/PS"),), chance=CHANCE["PS"])
GS = Measure("SafeGround GS", (Figure("all four", "safeground/GS"),), chance=CHANCE["GS"])

SUMMARY = (
    SAFE_RECALL,
    SAFE_SERVED,
    AWARE,
    HARMFUL,
    HARMFUL_SERVED,
    TWIN,
    TWIN_SERVED,
    AUROC,
    ZERO_SHOT,
    PS,
    GS,
)
"""The columns of the first table, as the papers have them."""


def mean_spread(entry: Entry, measure: Measure) -> Spread | None:
    """The mean of the measure's figures, run by run, over seeds; None where a figure is missing."""
    keys = [figure.key(entry) for figure in measure.figures]
    if any(key not in run.figures for run in entry.runs for key in keys):
        return None
    return spread_of([statistics.fmean(float(run.figures[key]) for key in keys) for run in entry.runs])
