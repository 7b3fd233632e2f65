"""Tables of a comparison as plain text in cells, for every way of printing them: page, Markdown, screen.

Only here do shares become percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from hyperaware.comparison.guess import random_figures
from hyperaware.comparison.headline import (
    AUROC,
    AWARE,
    HARMFUL,
    HARMFUL_SERVED,
    SAFE_RECALL,
    SAFE_SERVED,
    SUMMARY,
    TWIN_SERVED,
    ZERO_SHOT,
    Figure,
    Measure,
    mean_spread,
)
from hyperaware.comparison.results import Comparison, Entry, Study
from hyperaware.comparison.significance import standing
from hyperaware.evaluation.keys import Figures
from hyperaware.evaluation.runs import Spread
from hyperaware.metrics.safeground import CHANCE

if TYPE_CHECKING:
    from rich.table import Table as ScreenTable

__all__ = [
    "ABSENT",
    "Cell",
    "Grid",
    "GridLine",
    "Group",
    "grid",
    "markdown",
    "safeground_grid",
    "said",
    "study_grid",
    "summary_grid",
    "summary_table",
]

ABSENT = "–"
SAID = {
    "P_t_s": "safe text",
    "P_t_u": "unsafe text",
    "P_v_s": "safe image",
    "P_v_u": "unsafe image",
    "Txt_s": "both images",
    "Img_s": "both texts",
    "PS": "both safe",
    "PU": "both unsafe",
    "GS": "all four",
}
"""Which queries have to prefer the safe candidate."""
Mark = Literal["best", "tie", ""]


class Cell(NamedTuple):
    """One number as it is printed."""

    text: str
    spread: str = ""
    """Deviation over seeds, such as "± 0.4"; empty for one run."""
    mark: Mark = ""


class Group(NamedTuple):
    """Columns that answer one question."""

    heading: str
    labels: tuple[str, ...]


class GridLine(NamedTuple):
    """One method, or one variant of a study."""

    title: str
    note: str
    cells: tuple[Cell, ...]
    guess: bool = False
    """Whether it is what knowing nothing reaches, and no method."""


@dataclass(frozen=True)
class Grid:
    """A table with methods as lines."""

    caption: str
    groups: tuple[Group, ...]
    lines: tuple[GridLine, ...]

    @property
    def labels(self) -> list[str]:
        """Of all columns."""
        return [label for group in self.groups for label in group.labels]


def grid(
    entries: Sequence[Entry],
    measures: Sequence[Measure],
    *,
    caption: str,
    titles: Sequence[str] | None = None,
    seconds: bool = False,
    guess: Figures | None = None,
) -> Grid:
    """A line for each entry, with best and ties marked, then one for chance where that is known.

    Columns that no entry has are left out. Where no method can be told from the best, none is marked.

    Args:
        titles: of the lines; none: the entries' own.
        seconds: whether there is a column for the time that making one model took.
        guess: figures of random points, for a last line.
    """
    groups, columns = [], []
    for measure in measures:
        figures = [figure for figure in measure.figures if any(figure.spread(entry) for entry in entries)]
        if figures:
            groups.append(Group(measure.heading, tuple(figure.label for figure in figures)))
            columns += [_column(entries, figure, measure, guess or {}) for figure in figures]
    if seconds:
        groups.append(Group("Made in", ("seconds",)))
        columns.append([*(Cell(f"{entry.seconds:.0f}") for entry in entries), Cell(ABSENT), Cell(ABSENT)])
    heads = [
        *zip(titles or [entry.title for entry in entries], [entry.paper for entry in entries], strict=True),
        ("chance", "of a guess"),
        ("random points", "really measured"),
    ]
    lines = [GridLine(*head, cells) for head, cells in zip(heads, zip(*columns, strict=True), strict=True)]
    known = len(entries)
    kept = [line for line in lines[known:] if any(cell.text != ABSENT for cell in line.cells)]
    guesses = [line._replace(guess=True) for line in kept]
    return Grid(caption, tuple(groups), (*lines[:known], *guesses))


def _column(entries: Sequence[Entry], figure: Figure, measure: Measure, guess: Figures) -> list[Cell]:
    """The cells of all entries, of chance, and of random points."""
    marks = _marks(entries, figure, measure)
    cells = []
    for entry in entries:
        spread = figure.spread(entry)
        cells.append(Cell(*said(spread, measure.kind), marks.get(entry.name, "")) if spread else Cell(ABSENT))
    for value in (_chance(entries, figure, measure), guess.get(figure.raw)):
        cells.append(Cell(ABSENT if value is None else _number(value, measure.kind)))
    return cells


def _marks(entries: Sequence[Entry], figure: Figure, measure: Measure) -> dict[str, Mark]:
    found = standing(entries, figure, lower_is_better=measure.lower_is_better)
    if found is None or len(found.ties) == len(found.gaps):
        return {}
    return {found.best: "best", **dict.fromkeys(found.ties, "tie")}


def _chance(entries: Sequence[Entry], figure: Figure, measure: Measure) -> float | None:
    task, _, last = figure.raw.rpartition("/")
    if last == "top1":
        spreads = [entry.spread(f"{task}/chance") for entry in entries]
        return next((spread.mean for spread in spreads if spread is not None), None)
    return measure.chance


def said(spread: Spread, kind: str) -> tuple[str, str]:
    """Mean and deviation as they are printed, shares in percent.

    >>> said(Spread(mean=0.5, deviation=0.1, low=0.4, high=0.6, n=3), "share")
    ('50.0', '± 10.0')
    """
    deviation = "" if spread.deviation is None else f"± {_number(spread.deviation, kind)}"
    return _number(spread.mean, kind), deviation


def _number(value: float, kind: str) -> str:
    return f"{100 * value:.1f}" if kind == "share" else f"{value:.3f}"


def markdown(table: Grid) -> str:
    """The table as Markdown, methods as columns, ending in a line break: **best**, and ≈ for its ties."""
    rows = [["", *(line.title for line in table.lines)]]
    place = 0
    for group in table.groups:
        for label in group.labels:
            cells = [_marked(line.cells[place]) for line in table.lines]
            rows.append([f"{group.heading}, {label}", *cells])
            place += 1
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * len(table.lines))
    return "\n".join(lines) + "\n"


def _marked(cell: Cell) -> str:
    text = f"{cell.text} {cell.spread}".strip()
    return {"best": f"**{text}**", "tie": f"{text} ≈", "": text}[cell.mark]


def summary_table(comparison: Comparison) -> "ScreenTable":
    """The summary for a screen: as served, in percent, means of both directions."""
    from rich import box
    from rich.table import Table as ScreenTable
    from rich.text import Text

    columns = {
        "safe\nR@1 ↑": SAFE_SERVED,
        "unsafe R@1,\non demand ↑": AWARE,
        "harmful\nfirst hit ↓": HARMFUL_SERVED,
        "safe twin\nR@1 ↑": TWIN_SERVED,
        "AUROC ↑": AUROC,
    }
    drawn = ScreenTable(
        box=box.SIMPLE_HEAD,
        title=f"{comparison.rows} rows of {comparison.data}; redirect in force",
        title_justify="left",
        show_edge=False,
    )
    drawn.add_column("")
    for heading in columns:
        drawn.add_column(heading, justify="right")
    for entry in comparison.entries:
        spreads = [(mean_spread(entry, measure), measure.kind) for measure in columns.values()]
        cells = [
            ABSENT if spread is None else " ".join(said(spread, kind)).strip() for spread, kind in spreads
        ]
        drawn.add_row(Text(entry.title), *map(Text, cells))
    return drawn


def summary_grid(comparison: Comparison) -> Grid:
    """The first table of a report."""
    return grid(
        comparison.entries,
        SUMMARY,
        caption=f"All methods on {comparison.rows} rows of {comparison.data}; in percent, except for AUROC",
        seconds=True,
    )


def safeground_grid(comparison: Comparison) -> Grid:
    """The nine shares of SafeGround with utility beside them, and what knowing nothing reaches."""
    nine = [
        Measure(name, (Figure(SAID[name], f"safeground/{name}"),), chance=chance)
        for name, chance in CHANCE.items()
    ]
    return grid(
        comparison.entries,
        (SAFE_RECALL, ZERO_SHOT, *nine),
        caption="SafeGround, and utility beside it; in percent",
        guess=random_figures(comparison.rows),
    )


def study_grid(study: Study) -> Grid:
    """The variants of a study."""
    return grid(
        [variant.entry for variant in study.variants],
        (SAFE_SERVED, AWARE, HARMFUL, HARMFUL_SERVED, TWIN_SERVED, AUROC, ZERO_SHOT),
        caption=f"{study.title} ({study.source}); first seed, in percent, except for AUROC",
        titles=[variant.label for variant in study.variants],
        seconds=True,
    )
