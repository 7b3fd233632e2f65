"""The figures that the papers published, to stand *beside* ours: other data, other models, other numbers.

They lie in `published.toml`, which says where they come from and what was left out. Values are kept in the
paper's unit; `PublishedValue.ours` and `side_by_side` give shares, as our figures are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hyperaware.comparison.published_file import (
    Claim,
    Paper,
    Published,
    PublishedColumn,
    PublishedRow,
    PublishedTable,
    PublishedValue,
    parse,
)
from hyperaware.options import unknown_name

__all__ = [
    "Claim",
    "Paper",
    "PublishedColumn",
    "PublishedRow",
    "PublishedTable",
    "PublishedValue",
    "SideBySide",
    "Theirs",
    "as_json",
    "beside",
    "claim",
    "claims",
    "listing",
    "markdown",
    "read",
    "side_by_side",
    "table",
]

ABSENT = "-"
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
FORMATS = {"percent": ".1f", "number": ".1f", "length": ".3f", "score": "g"}


@cache
def _file() -> Published:
    return parse(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))


def read() -> tuple[PublishedTable, ...]:
    """Every published table, in the order of the file."""
    return _file().tables


def table(id: str) -> PublishedTable:
    """The published table of that id, such as `hysac/table-1`.

    Raises:
        ConfigError: there is none.
    """
    known = {one.id: one for one in read()}
    if id not in known:
        raise unknown_name("published table", id, known)
    return known[id]


def listing() -> dict[str, str]:
    """The id of each published table, and what it shows, where, and how sure we are of it."""
    return {one.id: f"{one.caption}: {one.source} ({one.paper.grades[one.grade]})" for one in read()}


def claims() -> tuple[Claim, ...]:
    """What the papers claim, in the order of the file."""
    return _file().claims


def claim(id: str) -> Claim:
    """The claim of that id, such as `hysac-redirects-best`.

    Raises:
        ConfigError: there is none.
    """
    known = {one.id: one for one in claims()}
    if id not in known:
        raise unknown_name("published claim", id, known)
    return known[id]


# Beside ours --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Theirs:
    """One published column, of our methods. Tables of one paper share it where column and data agree."""

    paper: Paper
    column: PublishedColumn
    data: str
    sources: tuple[str, ...]
    """Tables with the grades of the rows that were taken from them, such as `table 1 [T]`."""
    notes: tuple[str, ...]
    """Of these tables: why their figures are not comparable with others, and with each other."""
    shares: Mapping[str, float]
    """Method, by its name in `--methods` -> share in [0, 1]; methods that the paper has not are absent."""

    @property
    def source(self) -> str:
        """Paper, tables, column and data, in a line."""
        turned = ", as 100 minus what is printed" if self.column.complement else ""
        where = f"{self.paper.title} (arXiv {self.paper.arxiv}), {', '.join(self.sources)}"
        return f"{where}: {self.column.title}{turned}, on {self.data}"


@dataclass(frozen=True)
class SideBySide:
    """Our figure and the published ones that ask the same, each in a column of its own."""

    key: str
    title: str
    """Of our column: on which data."""
    ours: Mapping[str, float]
    """Method -> our share."""
    theirs: tuple[Theirs, ...]

    def markdown(self) -> str:
        """A table of methods in percent: our column, then one for each published one; below, where from."""
        numbered = list(enumerate(self.theirs, 1))
        headings = ["method", self.title, *(f"{one.paper.title} ({number})" for number, one in numbered)]
        columns = [self.ours, *(one.shares for one in self.theirs)]
        rows = [[method, *(_percent(column.get(method)) for column in columns)] for method in self.ours]
        lines = [f"{number}. {one.source}." for number, one in numbered]
        notes = _once(f"- {one.paper.title}: {note}" for one in self.theirs for note in one.notes)
        parts = [_markdown(headings, rows), _escaped("\n".join(lines)), _escaped("\n".join(notes))]
        return "\n\n".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """The same for a report: shares in the order of `methods`, and None where there is none."""
        return {
            "key": self.key,
            "title": self.title,
            "methods": list(self.ours),
            "ours": list(self.ours.values()),
            "theirs": [
                {
                    "paper": one.paper.title,
                    "source": one.source,
                    "notes": list(one.notes),
                    "shares": [one.shares.get(method) for method in self.ours],
                }
                for one in self.theirs
            ],
        }


def beside(keys: Sequence[str]) -> dict[str, tuple[PublishedValue, ...]]:
    """For each of our figures every published value that asks the same; none: an empty tuple.

    All rows are there, also ablations and methods that we have not: `value.row.method` tells ours by name.
    Several papers may give a value for one method. They differ in data, so they are never to be merged.
    """
    return {key: tuple(_asking(key)) for key in keys}


def side_by_side(key: str, ours: Mapping[str, float], *, title: str) -> SideBySide:
    """Our figure `key` of each method, and beside it what papers published of these methods.

    Where tables of one paper print a method twice, in one column and on the same data, the first counts. A
    table without any of our methods is left out.

    Args:
        key: with STATE in the place of raw and redirected where `ours` has the one for some methods and the
            other for others.
        ours: method, by its name in `--methods`, -> our share.
        title: of our column; it should name our data.
    """
    chosen: dict[tuple[str, str, str], dict[str, PublishedValue]] = {}
    for value in _asking(key):
        if value.row.method in ours:
            group = chosen.setdefault((value.table.paper.id, value.column.title, value.table.data), {})
            group.setdefault(str(value.row.method), value)
    return SideBySide(key, title, dict(ours), tuple(map(_theirs, chosen.values())))


def _theirs(values: Mapping[str, PublishedValue]) -> Theirs:
    first, *_ = values.values()
    return Theirs(
        paper=first.table.paper,
        column=first.column,
        data=first.table.data,
        sources=_once(f"{value.table.where} [{value.row.grade}]" for value in values.values()),
        notes=_once(note for value in values.values() for note in value.table.notes),
        shares={method: value.ours for method, value in values.items()},
    )


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _asking(key: str) -> Iterator[PublishedValue]:
    for one in read():
        for index, column in enumerate(one.columns):
            if column.asks(key):
                for row in one.rows:
                    cell = row.cells[index]
                    if cell is not None:
                        yield PublishedValue(one, row, column, cell)


# By themselves ------------------------------------------------------------------------------------


def markdown(table: PublishedTable) -> str:
    """The table as the paper prints it, with its source, its data, its grades and its notes."""
    grades = {table.grade, *(row.grade for row in table.rows)}
    mixed = len(grades) > 1
    headings = ["", *(column.title + ARROWS[column.better] for column in table.columns)]
    rows = [
        [
            f"{row.title} [{row.grade}]" if mixed else row.title,
            *(
                ABSENT if cell is None else format(cell, FORMATS[column.unit])
                for cell, column in zip(row.cells, table.columns, strict=True)
            ),
        ]
        for row in table.rows
    ]
    legend = [f"[{grade}] {text}" for grade, text in table.paper.grades.items() if grade in grades]
    head = f"{table.caption}. {table.source}. {table.data}."
    notes = "\n".join(f"- {note}" for note in (*legend, *table.notes))
    return f"{_escaped(head)}\n\n{_markdown(headings, rows)}\n\n{_escaped(notes)}"


def as_json(table: PublishedTable) -> dict[str, Any]:
    """The table as plain lists and dicts, for a report; a cell without a value is None."""
    return {
        "id": table.id,
        "source": table.source,
        "arxiv": table.paper.arxiv,
        "caption": table.caption,
        "data": table.data,
        "grade": table.grade,
        "grades": dict(table.paper.grades),
        "notes": list(table.notes),
        "columns": [
            {
                "title": column.title,
                "unit": column.unit,
                "better": column.better,
                "key": column.key,
                "complement": column.complement,
            }
            for column in table.columns
        ],
        "rows": [
            {"title": row.title, "method": row.method, "grade": row.grade, "cells": list(row.cells)}
            for row in table.rows
        ],
    }


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in lines)


def _escaped(text: str) -> str:
    """Text in which Markdown sees no emphasis: `T*->I*` has stars."""
    return text.replace("*", "\\*").replace("|", "\\|")


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.1f}"
