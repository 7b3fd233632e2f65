"""What `published.toml` holds, as frozen dataclasses, and the strict reading of such a file."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from hyperaware.errors import ConfigError
from hyperaware.options import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "LARGEST",
    "Claim",
    "Paper",
    "Published",
    "PublishedColumn",
    "PublishedRow",
    "PublishedTable",
    "PublishedValue",
    "parse",
]

LARGEST = {"percent": 100.0, "score": 1.0, "number": math.inf, "length": math.inf}
"""Unit -> its largest value; the smallest is 0."""
NONE = "-"
ANY = ("STATE", "GALLERY", "TASK")
"""Parts of a published key that stand for any word."""

T = TypeVar("T", "PublishedColumn", "PublishedRow")


@dataclass(frozen=True)
class Paper:
    """A paper, and what the grades of its figures mean: how sure we are of them."""

    id: str
    title: str
    arxiv: str
    grades: Mapping[str, str]


@dataclass(frozen=True)
class PublishedColumn:
    """A column as the paper prints it."""

    title: str
    unit: str = "percent"
    key: str | None = None
    """Our figure that asks the same, by `evaluation.keys`; a part in `ANY` stands for any word."""
    better: Literal["higher", "lower"] | None = None
    """Of what is printed; None: neither is better in itself."""
    complement: bool = False
    """Whether the paper prints 100 minus the figure of `key`."""

    def asks(self, key: str) -> bool:
        """Whether our figure `key` asks the same.

        >>> PublishedColumn("R@1", key="redirect/STATE/recall@1").asks("redirect/raw/recall@1")
        True
        """
        if self.key is None:
            return False
        theirs, ours = self.key.split("/"), key.split("/")
        return len(theirs) == len(ours) and all(a == b or a in ANY for a, b in zip(theirs, ours, strict=True))


@dataclass(frozen=True)
class PublishedRow:
    """A row as the paper prints it."""

    title: str
    cells: tuple[float | None, ...]
    """In the column's unit; None: lost, or not given."""
    grade: str
    method: str | None
    """Its name in `--methods`; None: it has no counterpart here."""


@dataclass(frozen=True)
class PublishedTable:
    """One table of a paper. Its data and models are not ours."""

    id: str
    paper: Paper
    where: str
    caption: str
    data: str
    grade: str
    """Of all rows but those that say otherwise."""
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Such as `HySAC (arXiv 2503.12127), table 1`."""
        return f"{self.paper.title} (arXiv {self.paper.arxiv}), {self.where}"

    def cell(self, row: str, column: str) -> "PublishedValue | None":
        """The value in that row and column, by their titles; None where it is lost or was not given.

        Raises:
            ConfigError: no such row or column.
        """
        found_row = _named(f"row of {self.id}", row, self.rows)
        found_column = _named(f"column of {self.id}", column, self.columns)
        value = found_row.cells[self.columns.index(found_column)]
        return None if value is None else PublishedValue(self, found_row, found_column, value)

    def value(self, row: str, column: str) -> float | None:
        """`cell` as a number in the paper's unit."""
        cell = self.cell(row, column)
        return None if cell is None else cell.value

    def fraction(self, row: str, column: str) -> float | None:
        """`cell` as a share in [0, 1], as it is printed: `PublishedValue.ours` turns complements too."""
        cell = self.cell(row, column)
        return None if cell is None else cell.fraction


class PublishedValue(NamedTuple):
    """One cell, and where it stands."""

    table: PublishedTable
    row: PublishedRow
    column: PublishedColumn
    value: float
    """In the paper's unit."""

    @property
    def fraction(self) -> float:
        """The value as a share in [0, 1].

        Raises:
            ConfigError: it is no percentage.
        """
        if self.column.unit != "percent":
            raise ConfigError(
                f"{self.column.title!r} of {self.table.id} is a {self.column.unit}, expected percent; "
                "take its value instead."
            )
        return round(self.value / 100, 6)  # 0.7 / 100 is 0.006999999999999999

    @property
    def ours(self) -> float:
        """The share that our figure of the column's key would be: one minus it for a complement."""
        return round(1 - self.fraction, 6) if self.column.complement else self.fraction


@dataclass(frozen=True)
class Claim:
    """What a paper states or shows, and the cells on which that rests."""

    id: str
    sentence: str
    paper: Paper
    where: str
    figures: tuple[PublishedValue, ...]
    notes: tuple[str, ...] = ()


class Published(NamedTuple):
    """Everything in the file."""

    papers: tuple[Paper, ...]
    tables: tuple[PublishedTable, ...]
    claims: tuple[Claim, ...]


def parse(text: str, *, name: str = "published.toml") -> Published:
    """The content of a file of published figures; its form is explained at the head of `published.toml`.

    Raises:
        ConfigError: it is not TOML, or anything in it is unknown, missing, of the wrong type or out of range.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from error
    _check(name, given, {"papers": dict, "methods": dict, "tables": list, "claims": list})
    _check(f"{name}, methods", given["methods"], dict.fromkeys(given["methods"], str))
    papers = {key: _paper(f"{name}, papers.{key}", key, value) for key, value in given["papers"].items()}
    tables = [_table(f"{name}, tables", value, papers, given["methods"]) for value in given["tables"]]
    _refuse_repeats(name, [table.id for table in tables])
    claims = [_claim(f"{name}, claims", value, papers, tables) for value in given["claims"]]
    _refuse_repeats(name, [claim.id for claim in claims])
    return Published(tuple(papers.values()), tuple(tables), tuple(claims))


def _paper(where: str, key: str, given: Mapping[str, Any]) -> Paper:
    _check(where, given, {"title": str, "arxiv": str, "grades": dict})
    _check(f"{where}.grades", given["grades"], dict.fromkeys(given["grades"], str))
    return Paper(id=key, **given)


TABLE = {"id": str, "where": str, "caption": str, "data": str, "grade": str, "columns": list, "rows": dict}


def _table(
    where: str, given: Mapping[str, Any], papers: Mapping[str, Paper], methods: Mapping[str, str]
) -> PublishedTable:
    where = f"{where}, {_id(given)}"
    _check(where, given, TABLE, {"notes": list, "row_grades": dict})
    paper = _known(where, "paper (before the / of an id)", given["id"].partition("/")[0], papers)
    columns = tuple(_column(f"{where}, columns", value) for value in given["columns"])
    _refuse_repeats(where, [column.title for column in columns])
    own = given.get("row_grades", {})
    for title in own:
        _known(where, "row of row_grades", title, given["rows"])
    for grade in (given["grade"], *own.values()):
        _known(where, f"grade of {paper.title}", grade, paper.grades)
    rows = tuple(
        PublishedRow(
            title=title,
            cells=_cells(f"{where}, {title}", cells, columns),
            grade=own.get(title, given["grade"]),
            method=methods.get(title),
        )
        for title, cells in given["rows"].items()
    )
    return PublishedTable(
        id=given["id"],
        paper=paper,
        where=given["where"],
        caption=given["caption"],
        data=given["data"],
        grade=given["grade"],
        columns=columns,
        rows=rows,
        notes=_texts(where, given.get("notes", [])),
    )


def _column(where: str, given: Any) -> PublishedColumn:
    _check(where, given, {"title": str}, {"unit": str, "key": str, "better": str, "complement": bool})
    column = PublishedColumn(**given)
    where = f"{where}, {column.title}"
    _known(where, "unit", column.unit, LARGEST)
    if column.better is not None:
        _known(where, "better", column.better, {"higher": 1, "lower": 1})
    if column.key is not None and column.unit != "percent":
        raise ConfigError(f"{where}: a {column.unit} has a key, expected percent, as our figures are shares.")
    if column.complement and column.key is None:
        raise ConfigError(f"{where}: the complement of what? Give the key of our figure.")
    return column


def _cells(where: str, given: Any, columns: Sequence[PublishedColumn]) -> tuple[float | None, ...]:
    if not isinstance(given, list) or len(given) != len(columns):
        raise ConfigError(f"{where}: got {given!r}, expected one cell for each of {len(columns)} columns.")
    return tuple(_cell(where, cell, column) for cell, column in zip(given, columns, strict=True))


def _cell(where: str, given: Any, column: PublishedColumn) -> float | None:
    if given == NONE:
        return None
    largest = LARGEST[column.unit]
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not math.isfinite(given) or not 0 <= given <= largest:
        raise ConfigError(
            f"{where}, {column.title}: got {given!r}, expected a {column.unit} from 0 to {largest:g}, "
            f"or {NONE!r} where there is none."
        )
    return float(given)


def _claim(
    where: str, given: Mapping[str, Any], papers: Mapping[str, Paper], tables: Sequence[PublishedTable]
) -> Claim:
    where = f"{where}, {_id(given)}"
    _check(
        where,
        given,
        {"id": str, "sentence": str, "paper": str, "where": str, "figures": list},
        {"notes": list},
    )
    figures: list[PublishedValue] = []
    for cited in given["figures"]:
        _check(f"{where}, figures", cited, {"table": str, "rows": list, "columns": list})
        table = _known(where, "table", cited["table"], {table.id: table for table in tables})
        for row in _texts(where, cited["rows"]):
            for column in _texts(where, cited["columns"]):
                cell = table.cell(row, column)
                if cell is None:
                    raise ConfigError(f"{where} rests on {row}, {column} of {table.id}, which has no value.")
                figures.append(cell)
    if not figures:
        raise ConfigError(f"{where} rests on no figure, expected at least one.")
    return Claim(
        id=given["id"],
        sentence=given["sentence"],
        paper=_known(where, "paper", given["paper"], papers),
        where=given["where"],
        figures=tuple(figures),
        notes=_texts(where, given.get("notes", [])),
    )


def _check(
    where: str, given: Any, needed: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> None:
    """Refuses what is no table, lacks a needed key, has an unknown one, or a value of another type."""
    known = {**needed, **(optional or {})}
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: got {given!r}, expected a table of {', '.join(known)}.")
    for key, value in given.items():
        _known(where, "key", key, known)
        if not isinstance(value, known[key]):
            raise ConfigError(f"{where}: {key} is {value!r}, expected {known[key].__name__}.")
    missing = [key for key in needed if key not in given]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}.")


def _id(given: Any) -> str:
    return str(given.get("id", "one without id")) if isinstance(given, dict) else "one that is no table"


def _known(where: str, kind: str, given: str, known: Mapping[str, Any]) -> Any:
    if given not in known:
        raise ConfigError(f"{where}: {unknown_name(kind, given, known)}")
    return known[given]


def _named(kind: str, title: str, among: Sequence[T]) -> T:
    for one in among:
        if one.title == title:
            return one
    raise unknown_name(kind, title, [one.title for one in among])


def _texts(where: str, given: Sequence[Any]) -> tuple[str, ...]:
    for text in given:
        if not isinstance(text, str):
            raise ConfigError(f"{where}: got {text!r}, expected text.")
    return tuple(given)


def _refuse_repeats(where: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} stands there twice.")
