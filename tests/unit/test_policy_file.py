"""Files of policies: rules for categories as they are written, and a `ConfigError` for everything else."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import repeatable

from hyperaware.errors import ConfigError
from hyperaware.moderation.policy import Clause, Policy, Rule
from hyperaware.moderation.policy_file import ITEM_KEYS, LONGEST_LINE, MOST_BYTES, QUERY_KEYS, ROLE_KEYS

GOOD = """
version = "2026-1"
default_role = "viewer"

[roles.viewer]
action = "review"
show = "all"
message = "A person will look at it."

[[roles.viewer.queries]]
category = "violence"
above = 0.8
action = "redirect"
strength = 0.5
shadow = true

[[roles.viewer.queries]]
action = "block"

[[roles.viewer.items]]
category = "self-harm/intent"
above = 0
action = "blur"
message = "Sensitive."
"""


ROLES = """
version = "2025-1"
default_role = "viewer"

[roles.viewer]
action = "redirect"
strength = 0.5
show = "safe"

[roles.researcher]
action = "allow"
show = "all"
"""


def read(folder: Path, text: str | bytes) -> Policy:
    path = folder / "policy.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Policy.read(path)


def test_rules_are_read_as_they_stand(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).role() == Rule(
        action="review",
        show="all",
        message="A person will look at it.",
        queries=(
            Clause(category="violence", above=0.8, action="redirect", strength=0.5, shadow=True),
            Clause(action="block"),
        ),
        items=(Clause(category="self-harm/intent", above=0, action="blur", message="Sensitive."),),
    )


BROKEN_ROLES = {
    "an unknown key": (("show =", "shows ="), "roles.viewer: no key is called 'shows'. Did you mean 'show'?"),
    "an unknown key on top": (
        ("default_role", "defaultrole"),
        "no key is called 'defaultrole'. Did you mean 'default",
    ),
    "an unknown action": (
        ('"redirect"', '"redirct"'),
        "roles.viewer: no action is called 'redirct'. Did you mean 're",
    ),
    "an action that is a number": (('"redirect"', "3"), "no action is called '3'"),
    "an action that is a list": (
        ('action = "allow"', 'action = ["allow"]'),
        "roles.researcher: no action is",
    ),
    "an unknown show": (
        ('"safe"', '"save"'),
        "roles.viewer: no value of show is called 'save'. Did you mean 'safe'?",
    ),
    "a strength above 1": (("0.5", "1.5"), "roles.viewer: strength is 1.5"),
    "a strength that is NaN": (("0.5", "nan"), "roles.viewer: strength is nan"),
    "a strength as text": (("0.5", '"0.5"'), "roles.viewer: strength is '0.5'"),
    "a strength that is true": (("0.5", "true"), "roles.viewer: strength is True"),
    "a strength without redirect": (('"redirect"', '"block"'), "roles.viewer: strength has a meaning for"),
    "a missing action": (('action = "allow"', ""), "roles.researcher: the key 'action' is missing"),
    "a missing show": (('show = "all"', ""), "roles.researcher: the key 'show' is missing"),
    "a missing version": (('version = "2025-1"', ""), "the key 'version' is missing"),
    "a version that is a number": (('"2025-1"', "1"), "version is 1, expected a text"),
    "an empty version": (('"2025-1"', '""'), "version is ''"),
    "a default role that is not there": (
        ('= "viewer"', '= "viewr"'),
        "default_role: no role is called 'viewr'. Did",
    ),
    "a default role that is a list": (('= "viewer"', '= ["viewer"]'), "default_role: no role is called"),
    "no TOML": (("[roles.viewer]", "[roles.viewer"), "cannot be read"),
}
BROKEN_RULES = {
    "an unknown key": (
        ("shadow =", "shadows ="),
        "viewer.queries, rule 1: no key is called 'shadows'. Did you",
    ),
    "a category without a threshold": (("above = 0.8", ""), "rule 1: category is given without above"),
    "a threshold without a category": (
        ('category = "violence"', ""),
        "rule 1: above is given without category",
    ),
    "a threshold of 1": (("above = 0.8", "above = 1.0"), "rule 1: above is 1.0, expected a probability"),
    "a threshold in percent": (("above = 0.8", "above = 80"), "rule 1: above is 80, expected a probability"),
    "a threshold that is NaN": (("above = 0.8", "above = nan"), "rule 1: above is nan"),
    "a threshold that is true": (("above = 0.8", "above = true"), "rule 1: above is True"),
    "a threshold as text": (("above = 0.8", 'above = "0.8"'), "rule 1: above is '0.8'"),
    "a category that is a number": (('"violence"', "3"), "rule 1: category is 3, expected a name"),
    "an empty category": (('"violence"', '" "'), "rule 1: category is ' '"),
    "a rule without an action": (('action = "block"', ""), "queries, rule 2: the key 'action' is missing"),
    "a shadow that is a text": (("shadow = true", 'shadow = "yes"'), "rule 1: shadow is 'yes'"),
    "an action misspelled": (
        ('"redirect"', '"redirct"'),
        "rule 1: no action is called 'redirct'. Did you mean",
    ),
    "a redirected item": (
        ('action = "blur"', 'action = "redirect"'),
        "viewer: an item cannot get 'redirect'",
    ),
    "a strength of an item": (
        ('action = "blur"', 'action = "blur"\nstrength = 1'),
        "items, rule 1: no key is",
    ),
    "a strength without redirect": (('"redirect"', '"block"'), "rule 1: strength has a meaning for"),
    "an empty message": (('"Sensitive."', '""'), "items, rule 1: message is ''"),
    "a message that is a number": (('"A person will look at it."', "3"), "roles.viewer: message is 3"),
    "rules in a table": (
        ("[[roles.viewer.items]]", "[roles.viewer.items]"),
        "viewer.items is a dict, expected a",
    ),
    "rules that are numbers": (('show = "all"', 'show = "all"\nqueries = [1]'), "cannot be read"),
    "no TOML, by line": (("above = 0.8", "above = "), "line 12"),
}


FAULTS = {f"roles: {name}": (ROLES, *fault) for name, fault in BROKEN_ROLES.items()}
FAULTS |= {f"rules: {name}": (GOOD, *fault) for name, fault in BROKEN_RULES.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_file_is_refused_by_file_place_and_key(fault: str, tmp_path: Path) -> None:
    text, (old, new), message = FAULTS[fault]
    assert old in text
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text.replace(old, new, 1))
    assert message in str(caught.value)
    assert str(tmp_path / "policy.toml") in str(caught.value)


def test_a_rule_that_is_no_table_is_refused(tmp_path: Path) -> None:
    text = 'version = "1"\ndefault_role = "a"\n[roles.a]\naction = "allow"\nshow = "all"\nitems = [1]\n'
    with pytest.raises(ConfigError, match=r"roles\.a\.items, rule 1 is 1, expected a table"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "#\n" * (MOST_BYTES // 2), f"it is longer than {MOST_BYTES} bytes"),
        (GOOD + "#" * (LONGEST_LINE + 1), r"a line is longer than \d+ characters \(at line 25\)"),
        ("a = " + "[" * 900, "nested too deeply|cannot be read"),
        ("\n".join(f"a{n} = " + "[" * 900 for n in range(3)), "nested too deeply|cannot be read"),
        ("roles = " + "[" * 400 + "]" * 400, "the key 'version' is missing"),
        (f"[{'.'.join('a' * 499)}]\n{'.'.join('b' * 490)} = 1", "no key is called 'a'"),
        (b"\xff\xfe", "cannot be read"),
        (b"a = 1\x00", "cannot be read"),
        ("a = " + "9" * 900, "no key is called 'a'"),
        ("a = 0001-01-01T00:00:00+23:59", "no key is called 'a'"),
        ("", "the key 'version' is missing"),
    ],
)
def test_hostile_files_are_refused(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "key", ["version", "default_role", "roles", "roles.a", "roles.a.action", "roles.a.items"]
)
def test_a_deep_value_in_any_place_is_refused(key: str, tmp_path: Path) -> None:
    """Its own text would be too deep to print: an error message must not fail while it is made."""
    deep = "x." * 450 + "x"
    rest = {"version": '"1"', "default_role": '"a"', "roles.a.action": '"allow"', "roles.a.show": '"all"'}
    lines = [f"{name} = {value}" for name, value in rest.items() if not name.startswith(key)]
    with pytest.raises(ConfigError):
        read(tmp_path, "\n".join([*lines, f"{key}.{deep}.{'y.' * 40}y = 1"]))


@pytest.mark.timeout(20)
def test_the_slowest_file_is_read_in_seconds(tmp_path: Path) -> None:
    head = f"[{'.'.join('a' * 499)}]\n"
    keys = "".join(f"k{n}=1\n" for n in range((MOST_BYTES - len(head)) // 8))
    with pytest.raises(ConfigError, match="no key is called 'a'"):
        read(tmp_path, head + keys)


# Anything at all ------------------------------------------------------------------------------------

words = st.sampled_from(
    [*QUERY_KEYS, *ITEM_KEYS, *ROLE_KEYS, "version", "default_role", "roles", "viewer", "x"]
)
values = st.sampled_from(
    [
        *('"allow"', '"blur"', '"redirect"', '"block"', '"safe"', '"all"', '"viewer"', '"violence"', '""'),
        *(
            "0.5",
            "1",
            "-1",
            "nan",
            "inf",
            "true",
            "[]",
            "{}",
            "[{}]",
            "[1]",
            '{action="block"}',
            "1979-05-27",
        ),
    ]
)
keys = st.lists(words, min_size=1, max_size=4).map(".".join)
lines = st.one_of(
    st.tuples(keys, values).map(" = ".join),
    keys.map("[{}]".format),
    keys.map("[[{}]]".format),
    st.sampled_from(GOOD.splitlines()),
    st.text(max_size=20),
)
documents = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(lines, max_size=25).map(lambda some: "\n".join(some).encode("utf-8", "surrogatepass")),
    st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=6), st.integers(0, 10)).map(
        lambda cut: GOOD.encode()[: cut[0]] + cut[1] + GOOD.encode()[cut[0] + cut[2] :]
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies")


@settings(repeatable, max_examples=400)
@given(documents)
def test_whatever_the_file_holds_there_is_a_policy_or_a_config_error(folder: Path, document: bytes) -> None:
    try:
        policy: Any = read(folder, document)
    except ConfigError:
        return
    assert policy.role() in policy.roles.values()


def test_a_file_of_roles_is_read_as_it_stands(tmp_path: Path) -> None:
    policy = read(tmp_path, ROLES)
    assert policy.version == "2025-1"
    assert policy.role() == policy.role("viewer") == Rule(action="redirect", show="safe", strength=0.5)
    assert policy.role("researcher") == Rule(action="allow", show="all")


@pytest.mark.parametrize("roles", ["roles = {}", "roles = 3", "roles = {viewer = 3}"])
def test_roles_are_tables(roles: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at least one role|expected tables|expected a table"):
        read(tmp_path, f'version = "1"\ndefault_role = "viewer"\n{roles}\n')
