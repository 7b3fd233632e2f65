"""Who is best on one figure, and who cannot be told from the best: paired bootstrap over rows.

The interval of a difference covers the draw of the **rows**: would other rows of this kind say the same? It
does not cover training with other seeds: outcomes are means over the seeds that were run, and the spread that
is printed beside a mean tells how far these lie apart. The best is chosen by the same rows, and the intervals
are not widened for the number of methods or figures: a lead that is just significant deserves a second look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hyperaware.comparison.headline import Figure
from hyperaware.comparison.results import Entry
from hyperaware.errors import DataError
from hyperaware.metrics.bootstrap import Interval, mean_differences

__all__ = ["LEVEL", "RESAMPLES", "Standing", "differences", "gap", "outcomes_of", "standing"]

RESAMPLES = 2000
LEVEL = 0.95
SEED = 0
"""Of the draws: the same for every figure, so that the same report comes out again."""
TOLERANCE = 1e-6
"""How far the mean of the outcomes may lie from the figure that is printed: rounding only."""


@dataclass(frozen=True)
class Standing:
    """The order of methods on one figure, as far as rows can tell."""

    best: str
    """Name of the entry with the best mean; of equal ones the first."""
    ties: tuple[str, ...]
    """Entries that are not significantly different from it."""
    gaps: Mapping[str, Interval]
    """Entry -> its mean minus the best one's, for all others."""
    rows: int
    """How many rows ask."""


def standing(entries: Sequence[Entry], figure: Figure, *, lower_is_better: bool) -> Standing | None:
    """Who is best; None where fewer than two methods have the figure, or one of them without its outcomes.

    Raises:
        DataError: see `outcomes_of`; or other rows ask in one entry than in another.
    """
    having = [entry for entry in entries if figure.spread(entry) is not None]
    found = {entry.name: values for entry in having if (values := outcomes_of(entry, figure)) is not None}
    if len(found) < 2 or len(found) < len(having):
        return None
    columns = _asked(found, figure)
    sign = -1 if lower_is_better else 1
    best = max(columns, key=lambda name: sign * columns[name].mean().item())
    others = {name: values for name, values in columns.items() if name != best}
    gaps = differences(others, dict.fromkeys(others, columns[best]))
    ties = tuple(name for name, interval in gaps.items() if interval.low <= 0 <= interval.high)
    return Standing(best=best, ties=ties, gaps=gaps, rows=len(columns[best]))


def gap(entry: Entry, other: Entry, figure: Figure) -> Interval | None:
    """The first method's mean minus the second's, with its paired interval; None where one has no outcomes.

    Raises:
        DataError: see `standing`.
    """
    first, second = outcomes_of(entry, figure), outcomes_of(other, figure)
    if first is None or second is None:
        return None
    columns = _asked({"first": first, "second": second}, figure)
    return differences({"gap": columns["first"]}, {"gap": columns["second"]})["gap"]


def outcomes_of(entry: Entry, figure: Figure) -> Tensor | None:
    """The method's outcome per row, NaN where the row does not ask; None where the figure has none.

    Raises:
        DataError: the outcomes' mean is not the figure that the tables print.
    """
    key = figure.key(entry)
    spread = entry.spread(key)
    if spread is None or key not in entry.outcomes:
        return None
    values = entry.outcomes[key].double()
    mean = values.nanmean().item()
    if not abs(mean - spread.mean) <= TOLERANCE:
        raise DataError(
            f"{entry.name}: the outcomes of {key} have the mean {mean:.6f}, but the figure is "
            f"{spread.mean:.6f}; they are of other rows. Measure this method again."
        )
    return values


def _asked(outcomes: Mapping[str, Tensor], figure: Figure) -> dict[str, Tensor]:
    """The outcomes of the rows that ask, once it is sure that these are the same for all."""
    masks = {name: ~values.isnan() for name, values in outcomes.items()}
    first, *others = masks
    for name in others:
        if not torch.equal(masks[name], masks[first]):
            raise DataError(
                f"{figure.raw}: {int(masks[name].sum())} of {len(masks[name])} rows ask {name}, other ones "
                f"({int(masks[first].sum())} of {len(masks[first])}) {first}; measure both on the same rows."
            )
    return {name: values[masks[first]] for name, values in outcomes.items()}


def differences(these: Mapping[str, Tensor], those: Mapping[str, Tensor]) -> dict[str, Interval]:
    """Mean of these outcomes minus mean of those, by name, with the intervals that this module uses."""
    return mean_differences(
        these, those, generator=torch.Generator().manual_seed(SEED), resamples=RESAMPLES, level=LEVEL
    )
