"""The main figures of one or several models as a table: on a screen, and as Markdown.

Only here do shares become percent. Arrows tell which way is better.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hyperaware.evaluation.keys import AWARENESS, CLASSES, REDIRECT, SAFE, STATES, SUBSTITUTE
from hyperaware.evaluation.runs import Spread
from hyperaware.metrics.safeground import CHANCE
from hyperaware.moderation.bounds import MODALITIES

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "HEADLINE",
    "MAIN",
    "Column",
    "Line",
    "before_after",
    "category_lines",
    "gallery_lines",
    "markdown",
    "scope_lines",
    "table",
]

ABSENT = "-"
TITLE_WIDTH = 12
"""Where the title of a column on screen is broken, so that models stand side by side in 80 characters."""
NAMES = ("text to image", "image to text")
"""Of the two directions of every protocol."""


class Column(NamedTuple):
    """One column: figures or spreads by key; in the state `redirected` those with the redirect in force."""

    title: str
    figures: Mapping[str, Any]
    state: str = "raw"


class Line(NamedTuple):
    """One line: its label, where its number is found, and how that is printed."""

    label: str
    key: str
    kind: str = "share"
    """share (in percent), number (with three decimals), answer (yes or no)."""
    redirected: str | None = None
    """The key in columns of the state `redirected`; None: they have no such number."""


Layout: TypeAlias = Mapping[str, Sequence[Line]]
"""Lines by the heading of their section; an empty heading is not printed."""


def _kind(key: str) -> str:
    return "number" if key.endswith(("/auroc", "/ap", "/ece")) else "share"


def _by_direction(label: str, directions: Sequence[str], key: str) -> tuple[Line, ...]:
    return tuple(
        Line(f"{name}{label}", key.format(direction))
        for name, direction in zip(NAMES, directions, strict=True)
    )


def _by_modality(lines: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(
        Line(label.format(modality), key.format(modality), _kind(key))
        for modality in MODALITIES
        for label, key in lines.items()
    )


QUERIES = {
    "P_t_s": "safe text",
    "P_t_u": "unsafe text",
    "P_v_s": "safe image",
    "P_v_u": "unsafe image",
    "Txt_s": "both images",
    "Img_s": "both texts",
    "PS": "both safe queries",
    "PU": "both unsafe queries",
    "GS": "all four queries",
}
"""Whose safe candidate must win, for each metric of SafeGround."""

MAIN: Layout = {
    "Safe query, its safe item: R@1 ↑": (
        *_by_direction("", SAFE, "safe/{}/recall@1"),
        *_by_direction(", redirect in force", SAFE, "safe-redirected/{}/recall@1"),
    ),
    "Safe picture, what it shows: zero-shot top-1 ↑": tuple(
        Line(f"{task}{said}", f"zero-shot/{task}/{figure}")
        for task in ("subject", "things")
        for figure, said in (("top1", ""), ("chance", ", by chance"))
    ),
    "SafeGround: of two, the safe one is preferred ↑": tuple(
        Line(f"{name} {said} (chance {100 * CHANCE[name]:.1f} %)", f"safeground/{name}")
        for name, said in QUERIES.items()
    ),
    "Unsafe query, allowed: its unsafe item R@1 ↑": _by_direction("", AWARENESS, "awareness/{}/recall@1"),
    "Unsafe query: harmful first hit ↓": (
        *_by_direction(", raw", REDIRECT, "redirect/{}/raw/harmful_top1"),
        *_by_direction(", redirected", REDIRECT, "redirect/{}/redirected/harmful_top1"),
    ),
    "Unsafe query, its safe twin: R@1 ↑": (
        *_by_direction(", raw", REDIRECT, "redirect/{}/raw/recall@1"),
        *_by_direction(", redirected", REDIRECT, "redirect/{}/redirected/recall@1"),
    ),
    "Unsafe query, safe items alone: its safe twin R@1 ↑": (
        *_by_direction(", raw", SUBSTITUTE, "substitute/{}/raw/recall@1"),
        *_by_direction(", redirected", SUBSTITUTE, "substitute/{}/redirected/recall@1"),
    ),
    "Unsafe told from safe by root distance": _by_modality(
        {
            "{}: AUROC ↑": "separation/{}/all/auroc",
            "{}: average precision ↑": "separation/{}/all/ap",
            "{}: FPR at 95 % TPR ↓": "separation/{}/all/fpr@95tpr",
        }
    ),
    "Classified by root distance": _by_modality(
        {
            "{}: balanced accuracy ↑": "classification/{}/root-distance/balanced_accuracy",
            "{}: calibration error ↓": "classification/{}/root-distance/ece",
        }
    ),
    "Classified by a linear probe": _by_modality(
        {
            "{}: AUROC ↑": "classification/{}/linear-probe/auroc",
            "{}: balanced accuracy ↑": "classification/{}/linear-probe/balanced_accuracy",
            "{}: calibration error ↓": "classification/{}/linear-probe/ece",
        }
    ),
    "Errors of the bounds ↓": _by_modality(
        {
            "safe {}s above the trigger": "blocking/{}/all/trigger/false_positive_rate",
            "unsafe {}s not above the trigger": "blocking/{}/all/trigger/miss_rate",
            "safe {}s above the limit": "blocking/{}/all/limit/false_positive_rate",
            "unsafe {}s not above the limit": "blocking/{}/all/limit/miss_rate",
        }
    ),
    "Dual use": _by_modality(
        {
            "{}: AUROC ↑": "separation/{}/slice:dual-use/auroc",
            "safe {}s above the trigger ↓": "blocking/{}/slice:dual-use/trigger/false_positive_rate",
            "safe {}s above the limit ↓": "blocking/{}/slice:dual-use/limit/false_positive_rate",
        }
    ),
    "Median root distance": (
        *(Line(name.replace("_", " "), f"root_distance/{name}/q50", "number") for name in CLASSES),
        Line("in this order", "root_distance/medians_ordered", "answer"),
    ),
}
"""What a run is judged by. Utility stands above SafeGround, which must not be read without it."""

SAFEGROUND_NOTE = (
    "Random embeddings reach chance on SafeGround, and on Img_s, PU and GS that is more than any model that "
    "its paper lists, trained ones included: damage alone raises these. Read them beside utility."
)
"""Stands below every table with a line of SafeGround."""


def _with_state(directions: Sequence[str], raw: str, redirected: str) -> tuple[Line, ...]:
    return tuple(
        Line(name, raw.format(direction), redirected=redirected.format(direction))
        for name, direction in zip(NAMES, directions, strict=True)
    )


HEADLINE: Layout = {
    "Safe query, its safe item: R@1 ↑": _with_state(SAFE, "safe/{}/recall@1", "safe-redirected/{}/recall@1"),
    "Unsafe query: harmful first hit ↓": _with_state(
        REDIRECT, "redirect/{}/raw/harmful_top1", "redirect/{}/redirected/harmful_top1"
    ),
    "Unsafe query, its safe twin: R@1 ↑": _with_state(
        REDIRECT, "redirect/{}/raw/recall@1", "redirect/{}/redirected/recall@1"
    ),
    "Unsafe told from safe: AUROC ↑": _by_modality({"{}s": "separation/{}/all/auroc"}),
}
"""The short table of `before_after` columns: what redirecting changes, and what it costs."""


def before_after(models: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """For each model a column of its raw figures and, where it has them, one with the redirect in force."""
    columns = []
    for title, figures in models.items():
        columns.append(Column(title, figures))
        if any("/redirected/" in key for key in figures):
            columns.append(Column(f"{title}\nredirected", figures, "redirected"))
    return columns


def scope_lines(columns: Sequence[Column]) -> Layout:
    """The lines of separation for every scope that occurs: all rows, each category, each slice."""
    keys = [key for column in columns for key in column.figures if key.startswith("separation/")]
    layout = {}
    for modality in MODALITIES:
        prefix, suffix = f"separation/{modality}/", "/auroc"
        scopes = dict.fromkeys(
            key[len(prefix) : -len(suffix)] for key in keys if key.startswith(prefix) and key.endswith(suffix)
        )
        layout[f"{modality.capitalize()}: AUROC by root distance ↑"] = tuple(
            Line(scope.partition(":")[2] or scope, f"{prefix}{scope}{suffix}", "number") for scope in scopes
        )
    return layout


def gallery_lines(columns: Sequence[Column]) -> Layout:
    """The lines of real-unsafe, a section for every gallery that occurs."""
    names = _parts(columns, "real-unsafe")
    return {
        f"Unsafe query in {name}: harmful first hit ↓": tuple(
            line
            for state in STATES
            for line in _by_direction(f", {state}", REDIRECT, f"real-unsafe/{name}/{{}}/{state}/harmful_top1")
        )
        for name in names
    }


def category_lines(columns: Sequence[Column]) -> Layout:
    """The lines of by-category: for each direction and figure a section, in it every category that occurs."""
    layout = {}
    for figure, said in (("recall@1", "its safe twin R@1 ↑"), ("harmful_top1", "harmful first hit ↓")):
        for name, direction in zip(NAMES, REDIRECT, strict=True):
            layout[f"Within a category, {name}: {said}"] = tuple(
                Line(f"{category}, {state}", f"by-category/{category}/{direction}/{state}/{figure}")
                for category in _parts(columns, "by-category")
                for state in STATES
            )
    return layout


def _parts(columns: Sequence[Column], protocol: str) -> list[str]:
    """The second parts of the keys of a protocol, which may hold slashes, each once."""
    keys = [key for column in columns for key in column.figures if key.startswith(f"{protocol}/")]
    return list(
        dict.fromkeys(
            key.removeprefix(f"{protocol}/").partition(f"/{direction}/")[0]
            for key in keys
            for direction in REDIRECT
            if f"/{direction}/" in key
        )
    )


def table(columns: Sequence[Column], layout: Layout = MAIN, *, title: str | None = None) -> "Table":
    """The table for a rich console; lines that no column has are left out."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False)
    drawn.add_column("")
    for column in columns:
        parts = [part for line in column.title.split("\n") for part in textwrap.wrap(line, TITLE_WIDTH)]
        drawn.add_column(Text("\n".join(parts)), justify="right")
    if _shows_safeground(columns, layout):
        drawn.caption, drawn.caption_justify = SAFEGROUND_NOTE, "left"
    for heading, lines in _filled(columns, layout):
        if heading:
            drawn.add_row(Text(heading, style="bold"))
        for label, cells in lines:
            drawn.add_row(Text(f"  {label}" if heading else label), *map(Text, cells))
        drawn.add_section()
    return drawn


def markdown(columns: Sequence[Column], layout: Layout = MAIN) -> str:
    """The same table as Markdown, ending in a line break."""
    rows = [["", *(column.title.replace("\n", " ") for column in columns)]]
    for heading, lines in _filled(columns, layout):
        if heading:
            rows.append([f"**{heading}**", *[""] * len(columns)])
        rows.extend([label, *cells] for label, cells in lines)
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    text.insert(1, "| --- |" + " ---: |" * len(columns))
    if _shows_safeground(columns, layout):
        text += ["", SAFEGROUND_NOTE]
    return "\n".join(text) + "\n"


def _shows_safeground(columns: Sequence[Column], layout: Layout) -> bool:
    keys = {line.key for lines in layout.values() for line in lines if line.key.startswith("safeground/")}
    return any(keys & column.figures.keys() for column in columns)


def _filled(columns: Sequence[Column], layout: Layout) -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """Heading, and the labels and cells of the lines that at least one column has a number for."""
    for heading, lines in layout.items():
        filled = [(line.label, [_cell(column, line) for column in columns]) for line in lines]
        filled = [(label, cells) for label, cells in filled if set(cells) != {ABSENT}]
        if filled:
            yield heading, filled


def _cell(column: Column, line: Line) -> str:
    key = line.redirected if column.state == "redirected" else line.key
    if key is None or key not in column.figures:
        return ABSENT
    value = column.figures[key]
    return _said_spread(value, line.kind) if isinstance(value, Spread) else _said(value, line.kind)


def _said(value: float, kind: str) -> str:
    """One number as it is printed.

    >>> _said(0.9734, "share"), _said(0.31549, "number"), _said(True, "answer")
    ('97.3 %', '0.315', 'yes')
    """
    if kind == "answer":
        return "yes" if value else "no"
    return _number(value, kind) + (" %" if kind == "share" else "")


def _said_spread(spread: Spread, kind: str) -> str:
    """Mean, deviation and range as they are printed; the mean alone for one run.

    >>> _said_spread(Spread(mean=0.5, deviation=0.1, low=0.4, high=0.6, n=3), "share")
    '50.0 ± 10.0 % (40.0-60.0)'
    """
    if kind == "answer":
        return f"{round(spread.mean * spread.n)} of {spread.n}"
    if spread.deviation is None:
        return _said(spread.mean, kind)
    mean, deviation, low, high = (
        _number(value, kind) for value in (spread.mean, spread.deviation, spread.low, spread.high)
    )
    return f"{mean} ± {deviation}{' %' if kind == 'share' else ''} ({low}-{high})"


def _number(value: float, kind: str) -> str:
    return f"{100 * value:.1f}" if kind == "share" else f"{value:.3f}"
