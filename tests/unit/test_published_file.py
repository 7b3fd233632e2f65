"""A file of published figures is read strictly: whatever is wrong in it is refused, with the place named."""

import re
from pathlib import Path

import pytest

from hyperaware.comparison import published
from hyperaware.comparison.published_file import parse
from hyperaware.errors import ConfigError

SMALL = """
[papers.p]
title = "P"
arxiv = "0000.00000"
grades = { T = "seen" }
[methods]
CLIP = "clip"
[[tables]]
id = "p/1"
where = "table 1"
caption = "c"
data = "d"
grade = "T"
columns = [{ title = "a", key = "safeground/PS", better = "higher" }, { title = "b", unit = "score" }]
[tables.rows]
CLIP = [50.0, "-"]
Other = [1, 0.5]
[[claims]]
id = "q"
sentence = "s"
paper = "p"
where = "table 1"
figures = [{ table = "p/1", rows = ["CLIP"], columns = ["a"] }]
"""


def test_a_small_file_is_read() -> None:
    found = parse(SMALL)
    assert [(row.cells, row.method) for row in found.tables[0].rows] == [
        ((50.0, None), "clip"),
        ((1.0, 0.5), None),
    ]
    assert found.claims[0].figures[0].ours == 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[papers.p]", "[papers.p", "is not TOML"),
        ("[methods]", "[method]", "Did you mean 'methods'"),
        ('where = "table 1"\ncaption', "caption", "p/1 lacks where"),
        ('data = "d"', 'date = "d"', "Did you mean 'data'"),
        ('data = "d"', "data = 1", "data is 1, expected str"),
        ('grade = "T"', 'grade = "U"', "no grade of P is called 'U'"),
        ('grade = "T"', 'grade = "T"\nrow_grades = { CLIP = "U" }', "no grade of P is called 'U'"),
        ('grade = "T"', 'grade = "T"\nrow_grades = { Clip = "T" }', "no row of row_grades is called 'Clip'"),
        ('id = "p/1"', 'id = "r/1"', "no paper .* is called 'r'"),
        ('[50.0, "-"]', "[50.0]", "expected one cell for each of 2 columns"),
        ('[50.0, "-"]', "50.0", "expected one cell for each of 2 columns"),
        ('[50.0, "-"]', '[100.1, "-"]', "got 100.1, expected a percent from 0 to 100"),
        ('[50.0, "-"]', '[-0.1, "-"]', "got -0.1, expected a percent"),
        ('[50.0, "-"]', '[nan, "-"]', "got nan, expected a percent"),
        ('[50.0, "-"]', '[true, "-"]', "got True, expected a percent"),
        ('[50.0, "-"]', '["50.0", "-"]', "got '50.0', expected a percent"),
        ("[1, 0.5]", "[1, 1.5]", "got 1.5, expected a score from 0 to 1"),
        ('unit = "score"', 'unit = "scores"', "Did you mean 'score'"),
        ('unit = "score"', 'unit = "score", key = "safeground/GS"', "a score has a key"),
        ('unit = "score"', 'unit = "score", complement = true', "the complement of what"),
        ('better = "higher"', 'better = "high"', "Did you mean 'higher'"),
        ('title = "b"', 'title = "a"', "'a' stands there twice"),
        ('rows = ["CLIP"]', 'rows = ["Clip"]', "no row of p/1 is called 'Clip'"),
        ('columns = ["a"] }', 'columns = ["b"] }', "which has no value"),
        ('rows = ["CLIP"]', "rows = []", "rests on no figure"),
        ('rows = ["CLIP"]', "rows = [1]", "got 1, expected text"),
        ('table = "p/1"', 'table = "p/2"', "Did you mean 'p/1'"),
        ('grades = { T = "seen" }', "grades = { T = 1 }", "T is 1, expected str"),
        ('CLIP = "clip"', "CLIP = 1", "CLIP is 1, expected str"),
    ],
)
def test_a_wrong_file_is_refused(old: str, new: str, message: str) -> None:
    assert SMALL.count(old) >= 1
    with pytest.raises(ConfigError, match=message):
        parse(SMALL.replace(old, new, 1))


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 1, expected a table"):
        parse("papers = {}\nmethods = {}\nclaims = []\ntables = [1]")


def test_repeated_tables_are_refused() -> None:
    text = Path(published.__file__).with_name("published.toml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape("'hysac/table-1' stands there twice")):
        parse(text.replace('id = "hysac/table-2"', 'id = "hysac/table-1"'))
