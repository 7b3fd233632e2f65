"""The file of a policy: TOML, read strictly. A spelling mistake in a safety rule is an error, never a rule
that is silently absent."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperaware.errors import ConfigError
from hyperaware.moderation.rules import Clause, Rule
from hyperaware.options import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Contents", "read"]

MOST_BYTES = 2**16
LONGEST_LINE = 1000
"""The parser takes time that grows with the square of a key's depth; this keeps any file within seconds."""

POLICY_KEYS = ("version", "default_role", "roles")
ROLE_KEYS = ("action", "show", "strength", "message", "queries", "items")
QUERY_KEYS = ("category", "above", "action", "strength", "message", "shadow")
ITEM_KEYS = ("category", "above", "action", "message", "shadow")


class Contents(NamedTuple):
    """What a policy is made of."""

    version: Any
    default_role: Any
    roles: dict[str, Rule]


def read(path: str | Path) -> Contents:
    """What stands in a policy's file.

    Raises:
        ConfigError: no such file, no valid TOML, or a key or value that is not known; it names the file,
            the key, what was expected and the nearest spelling.
    """
    try:
        return _contents(tomllib.loads(_text(Path(path))))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise ConfigError(f"the policy {path} does not exist.") from None
    except RecursionError:
        raise ConfigError(f"the policy {path} cannot be read: it is nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"the policy {path} cannot be read: {error}") from error


def _text(path: Path) -> str:
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES} bytes")
    text = data.decode("utf-8")
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line is longer than {LONGEST_LINE} characters (at line {number})")
    return text


def _contents(document: dict[str, Any]) -> Contents:
    _require_keys(document, "the policy", POLICY_KEYS, required=POLICY_KEYS)
    if not isinstance(document["roles"], dict):
        raise ConfigError(f"roles is {_shown(document['roles'])}, expected tables such as [roles.viewer].")
    roles = {name: _rule(table, where=f"roles.{name}") for name, table in document["roles"].items()}
    return Contents(document["version"], document["default_role"], roles)


def _rule(table: Any, *, where: str) -> Rule:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {_shown(table)}, expected a table with action and show.")
    _require_keys(table, where, ROLE_KEYS, required=("action", "show"))
    queries = _clauses(table.get("queries", []), where=f"{where}.queries", known=QUERY_KEYS)
    items = _clauses(table.get("items", []), where=f"{where}.items", known=ITEM_KEYS)
    try:
        rule = Rule(**{**table, "queries": queries, "items": items})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    _require_use_of_strength(table, where)
    return rule


def _clauses(tables: Any, *, where: str, known: Sequence[str]) -> tuple[Clause, ...]:
    if not isinstance(tables, list):
        raise ConfigError(f"{where} is {_shown(tables)}, expected a list of tables, each under [[{where}]].")
    return tuple(
        _clause(table, where=f"{where}, rule {number}", known=known)
        for number, table in enumerate(tables, start=1)
    )


def _clause(table: Any, *, where: str, known: Sequence[str]) -> Clause:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {_shown(table)}, expected a table with category, above and action.")
    _require_keys(table, where, known, required=("action",))
    if ("category" in table) != ("above" in table):
        given, missing = ("category", "above") if "category" in table else ("above", "category")
        raise ConfigError(f"{where}: {given} is given without {missing}; they belong together.")
    try:
        clause = Clause(**table)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    _require_use_of_strength(table, where)
    return clause


def _require_use_of_strength(table: dict[str, Any], where: str) -> None:
    if "strength" in table and table["action"] != "redirect":
        raise ConfigError(f"{where}: strength has a meaning for the action 'redirect' only. Take it out.")


def _require_keys(
    table: dict[str, Any], where: str, known: Sequence[str], *, required: Sequence[str]
) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: {unknown_name('key', key, known)}")
    for key in required:
        if key not in table:
            raise ConfigError(f"{where}: the key {key!r} is missing; expected {', '.join(required)}.")


def _shown(value: Any) -> str:
    """A value as it is named in an error, which must not be longer than its reader's patience."""
    return repr(value) if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
