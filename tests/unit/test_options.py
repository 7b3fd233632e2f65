"""Names and settings: the nearest spelling, and values that are of their field's type or refused."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from hyperaware.errors import ConfigError
from hyperaware.options import override, parse_assignments, resolve, unknown_name


@dataclass(frozen=True)
class Sample:
    count: int = 1
    share: float = 0.5
    name: str = "a"
    flag: bool = False
    limit: float | None = None
    kind: Literal["exact", "fast"] = "exact"
    pair: tuple[float, float] = (1.0, 2.0)
    words: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("count", "3", 3),
        ("count", 3, 3),
        ("count", 3.0, 3),
        ("share", "1e-3", 1e-3),
        ("share", 2, 2.0),
        ("share", "0", 0.0),
        ("name", "none", "none"),  # this field cannot be none: the word is a name
        ("flag", "true", True),
        ("flag", "False", False),
        ("flag", "0", False),
        ("flag", True, True),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", "0.0", 0.0),
        ("kind", "fast", "fast"),
        ("pair", "0.1,0.2", (0.1, 0.2)),
        ("pair", [1, 0], (1.0, 0.0)),
        ("words", "a,b,c", ("a", "b", "c")),
        ("words", ["a"], ("a",)),
        ("words", [], ()),
    ],
)
def test_values_are_read_as_the_type_of_their_field(field: str, given: Any, expected: Any) -> None:
    value = getattr(override(Sample(), {field: given}), field)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("count", "many"),
        ("count", "2.5"),
        ("count", 2.5),
        ("count", True),
        ("count", None),
        ("count", "none"),
        ("share", "half"),
        ("share", False),
        ("share", [0.5]),
        ("flag", "yes"),
        ("flag", 1),
        ("kind", "slow"),
        ("limit", "low"),
        ("pair", "0.1"),
        ("pair", "0.1,0.2,0.3"),
        ("pair", "0.1,x"),
        ("pair", [0.1, None]),
        ("pair", [True, 0.1]),
        ("pair", 0.1),
        ("words", 3),
    ],
)
def test_other_values_are_refused_by_name(field: str, given: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        override(Sample(), {field: given})


def test_a_refusal_says_what_was_expected() -> None:
    with pytest.raises(ConfigError, match=r"count='many' is not of the expected type, int\."):
        override(Sample(), {"count": "many"})
    with pytest.raises(ConfigError, match=r"pair='1' is not of the expected type, tuple\[float, float\]\."):
        override(Sample(), {"pair": "1"})
    with pytest.raises(ConfigError, match=r"limit='x' is not of the expected type, float \| None\."):
        override(Sample(), {"limit": "x"})


def test_an_unknown_setting_suggests_the_spelling() -> None:
    with pytest.raises(ConfigError, match=r"no setting of Sample is called 'cuont'\. Did you mean 'count'\?"):
        override(Sample(), {"cuont": 1})


def test_the_original_is_kept() -> None:
    original = Sample()
    assert override(original, {"count": "2", "share": "0.1"}) == Sample(count=2, share=0.1)
    assert original == Sample()


def test_assignments() -> None:
    assert parse_assignments(["a=1", "b.c=x=y", "d="]) == {"a": "1", "b.c": "x=y", "d": ""}
    for word in ("a", "=1", ""):
        with pytest.raises(ConfigError, match="expected KEY=VALUE"):
            parse_assignments([word])


def test_names_are_resolved_by_table_or_by_module() -> None:
    table = {"pi": "math:pi"}
    assert resolve("number", "pi", table) == resolve("number", "math:pi", {}) == math.pi
    with pytest.raises(ConfigError, match=r"no number is called 'pie'\. Did you mean 'pi'\? Known: pi\."):
        resolve("number", "pie", table)
    for target in ("math:tau_of_mine", "no_such_module:pi"):
        with pytest.raises(ConfigError, match=f"number '{target}' points to .* cannot be imported"):
            resolve("number", target, table)


def test_a_name_far_from_all_gets_no_hint() -> None:
    assert str(unknown_name("store", "xyz", ["sqlite", "exact"])) == (
        "no store is called 'xyz'. Known: exact, sqlite."
    )
