"""Names and settings: turn a name into an object, and override a frozen dataclass from `key=value` words.

A name is a row in a package's table (strings only) or `module:attribute`, and never comes from a request.
"""

import dataclasses
import difflib
import importlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from hyperaware.errors import ConfigError

__all__ = ["override", "parse_assignments", "resolve", "unknown_name"]

T = TypeVar("T")


def unknown_name(kind: str, given: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not in a table: what was given, the nearest spelling, what is known.

    >>> print(unknown_name("store", "exat", ["exact", "sqlite"]))
    no store is called 'exat'. Did you mean 'exact'? Known: exact, sqlite.
    """
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"no {kind} is called {given!r}.{hint} Known: {', '.join(known)}.")


def resolve(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object behind `name`: a row of `table` (name -> "module:attribute"), or "module:attribute" itself.

    Raises:
        ConfigError: the name is unknown, or the module or attribute cannot be imported.
    """
    target = table.get(name, name if ":" in name else None)
    if target is None:
        raise unknown_name(kind, name, table)
    module_name, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        hint = f" Where is {module_name}.py? Name its folder in PYTHONPATH." if name not in table else ""
        raise ConfigError(
            f"{kind} {name!r} points to {target!r}, which cannot be imported: {error}.{hint}"
        ) from error


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """`["a=1", "b=x"]` as a dict of strings.

    >>> parse_assignments(["steps=10", "run.name=a=b"])
    {'steps': '10', 'run.name': 'a=b'}
    """
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"got {word!r}, expected KEY=VALUE, for example steps=100.")
        pairs[key] = value
    return pairs


def override(settings: T, changes: Mapping[str, Any]) -> T:
    """A copy of a frozen dataclass with `changes` applied; strings are read as the field's type.

    Raises:
        ConfigError: an unknown field, or a value that is not of the field's type.
    """
    hints = typing.get_type_hints(type(settings))
    known = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    values = {}
    for key, value in changes.items():
        if key not in known:
            raise unknown_name(f"setting of {type(settings).__name__}", key, known)
        values[key] = _read(key, value, hints[key])
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def _read(key: str, value: Any, kind: Any) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None or (value in ("none", "None") and type(None) in options):
        if type(None) in options:
            return None
        raise ConfigError(f"{key} cannot be none; expected {_spell(kind)}.")
    for option in options:
        if option is type(None):
            continue
        converted = _convert(value, option)
        if converted is not None:
            return converted
    raise ConfigError(f"{key}={value!r} is not of the expected type, {_spell(kind)}.")


def _convert(value: Any, kind: Any) -> Any:
    origin = typing.get_origin(kind) or kind
    try:
        if origin is bool:
            if isinstance(value, str):
                return {"true": True, "false": False, "1": True, "0": False}.get(value.lower())
            return value if isinstance(value, bool) else None
        if origin is typing.Literal:
            return value if value in typing.get_args(kind) else None
        if origin is tuple:
            return _convert_tuple(value.split(",") if isinstance(value, str) else list(value), kind)
        if isinstance(value, bool) or (origin is int and isinstance(value, float) and value % 1):
            return None
        if origin in (int, float, str):
            return origin(value)
        return value if isinstance(value, origin) else None
    except (TypeError, ValueError):
        return None


def _convert_tuple(parts: list[Any], kind: Any) -> tuple | None:
    kinds = typing.get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(parts)
    converted = tuple(map(_convert, parts, kinds))
    return None if len(parts) != len(kinds) or None in converted else converted


def _spell(kind: Any) -> str:
    return str(kind) if typing.get_args(kind) else kind.__name__
