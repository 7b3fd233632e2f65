"""Two comparisons side by side: each method that is in both, figure by figure, the second minus the first.

Where both were measured on the same rows the difference is paired, with its interval over rows; otherwise it
is marked as unpaired, and nothing is said about how sure it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hyperaware.comparison.headline import SUMMARY, Figure, Measure
from hyperaware.comparison.results import Comparison, Entry
from hyperaware.comparison.significance import LEVEL, differences, outcomes_of
from hyperaware.metrics.bootstrap import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Change", "Difference", "MethodDifference", "difference", "difference_table", "html", "markdown"]

TEMPLATE = "difference.html.jinja"
HEADINGS = ("method", "figure", "first", "second", "difference", f"{100 * LEVEL:.0f} % interval")


class Change(NamedTuple):
    """One figure of one method in both comparisons; means over seeds."""

    key: str
    first: float
    second: float
    interval: Interval | None
    """Of the second minus the first, over rows; None: unpaired, or the figure is no mean over rows."""

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0; never without one."""
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True)
class MethodDifference:
    """One method that is in both comparisons."""

    name: str
    title: str
    paired: bool
    """Whether both were measured on the same rows."""
    changes: Mapping[str, Change]
    """Every figure that both have, by key."""
    summary: tuple[tuple[str, str, Change], ...]
    """Those of the summary as they are called there, how they are printed, and what changed."""


@dataclass(frozen=True)
class Difference:
    """What is different between two comparisons."""

    first: str
    """Data, rows and fingerprint."""
    second: str
    same_rows: bool
    methods: tuple[MethodDifference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    @property
    def heading(self) -> str:
        """What is compared, and whether it can be."""
        if self.same_rows:
            return f"Second minus first, on the same rows: {self.first}."
        return (
            f"DIFFERENT DATA: the first is on {self.first}, the second on {self.second}. "
            "Differences are unpaired: they are those of the rows as well as those of the methods."
        )

    @property
    def alone(self) -> list[str]:
        """A sentence for each side that has methods which the other one has not."""
        sides = (("first", self.only_first), ("second", self.only_second))
        return [f"Only in the {side}: {', '.join(names)}." for side, names in sides if names]

    def document(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "first": self.first,
            "second": self.second,
            "same_rows": self.same_rows,
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "methods": {
                method.name: {
                    "paired": method.paired,
                    "figures": {key: _as_json(change) for key, change in method.changes.items()},
                }
                for method in self.methods
            },
        }


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "first": change.first,
        "second": change.second,
        "difference": change.difference,
        "interval": None if change.interval is None else asdict(change.interval),
    }


def difference(first: Comparison, second: Comparison) -> Difference:
    """The second comparison minus the first.

    Raises:
        DataError: outcomes and figures of a method do not belong together; see `comparison.significance`.
    """
    ours, theirs = ({entry.name: entry for entry in one.entries} for one in (first, second))
    methods = tuple(_method(entry, theirs[name]) for name, entry in ours.items() if name in theirs)
    return Difference(
        first=_data(first),
        second=_data(second),
        same_rows=_rows(first.entries[0]) == _rows(second.entries[0]),
        methods=methods,
        only_first=tuple(entry.title for name, entry in ours.items() if name not in theirs),
        only_second=tuple(entry.title for name, entry in theirs.items() if name not in ours),
    )


def _data(comparison: Comparison) -> str:
    return f"{comparison.rows} rows of {comparison.data} ({_rows(comparison.entries[0])[:12]})"


def _rows(entry: Entry) -> str:
    return entry.runs[0].data_fingerprint


def _method(first: Entry, second: Entry) -> MethodDifference:
    paired = _rows(first) == _rows(second)
    keys = [key for key in first.runs[0].figures if not key.startswith("count/")]
    means = {
        key: (one.mean, other.mean)
        for key in keys
        if (one := first.spread(key)) is not None and (other := second.spread(key)) is not None
    }
    intervals = _intervals(first, second, list(means)) if paired else {}
    changes = {key: Change(key, *pair, intervals.get(key)) for key, pair in means.items()}
    return MethodDifference(
        first.name, first.title, paired, changes, tuple(_of_summary(first, second, changes))
    )


def _of_summary(
    first: Entry, second: Entry, changes: Mapping[str, Change]
) -> Iterator[tuple[str, str, Change]]:
    for measure in SUMMARY:
        for figure in measure.figures:
            key = figure.key(first)
            if key in changes and key == figure.key(second):
                yield _called(measure, figure), measure.kind, changes[key]


def _called(measure: Measure, figure: Figure) -> str:
    return f"{measure.heading}, {figure.label}"


def _intervals(first: Entry, second: Entry, keys: list[str]) -> dict[str, Interval]:
    """Paired intervals of the second minus the first, figures of the same rows drawn together."""
    groups: dict[bytes, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}
    for key in keys:
        ours, theirs = (outcomes_of(entry, Figure(key, key)) for entry in (first, second))
        if ours is None or theirs is None:
            continue
        asked = ~ours.isnan()
        if torch.equal(asked, ~theirs.isnan()):
            these, those = groups.setdefault(asked.numpy().tobytes(), ({}, {}))
            these[key], those[key] = theirs[asked], ours[asked]
    return {key: one for these, those in groups.values() for key, one in differences(these, those).items()}


# Printing -----------------------------------------------------------------------------------------


def _printed(found: Difference) -> Iterator[tuple[str, ...]]:
    """A line for each figure of the summary that differs, as in `HEADINGS`; * where it is significant."""
    for method in found.methods:
        for called, kind, change in method.summary:
            if change.difference != 0:
                interval = "unpaired" if not method.paired else "–"
                if change.interval is not None:
                    ends = (change.interval.low, change.interval.high)
                    interval = " to ".join(_number(end, kind, "+") for end in ends)
                    interval += " *" if change.significant else ""
                values = [_number(change.first, kind), _number(change.second, kind)]
                yield method.title, called, *values, _number(change.difference, kind, "+"), interval


def _number(value: float, kind: str, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if kind == "share" else f"{value:{sign}.3f}"


def _equal(found: Difference) -> str:
    equal = sum(change.difference == 0 for method in found.methods for _, _, change in method.summary)
    stars = "An interval with * leaves out 0. " if found.same_rows else ""
    return f"{stars}{equal} figures of the summary are equal in both and not shown."


def difference_table(found: Difference) -> "Table":
    """The figures of the summary that differ, for a screen; what is compared stands above and below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=Text(found.heading, style="" if found.same_rows else "bold red"),
        caption=Text("\n".join([*found.alone, _equal(found)])),
        title_justify="left",
        caption_justify="left",
        show_edge=False,
    )
    for place, heading in enumerate(HEADINGS):
        drawn.add_column(heading, justify="left" if place < 2 else "right")
    for line in _printed(found):
        drawn.add_row(*map(Text, line))
    return drawn


def markdown(found: Difference) -> str:
    """The same as Markdown, ending in a line break."""
    lines = [HEADINGS, ("---", "---", *["---:"] * (len(HEADINGS) - 2)), *_printed(found)]
    rows = ["| " + " | ".join(map(_escaped, line)) + " |" for line in lines]
    parts = [found.heading, "\n".join(rows), *found.alone, _escaped(_equal(found))]
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def html(found: Difference) -> str:
    """The same as a page that asks for nothing else."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(
        found=found, headings=HEADINGS, lines=list(_printed(found)), notes=[*found.alone, _equal(found)]
    )
