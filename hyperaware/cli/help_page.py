"""`docs/cli.md`, made from the verbs themselves: python -m hyperaware.cli.help_page > docs/cli.md

It is read from signatures and docstrings, not from what typer prints: it is the same under every typer.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from hyperaware.cli.app import app

__all__ = ["page"]

HEAD = """# The command line

Written by `python -m hyperaware.cli.help_page > docs/cli.md`; a test compares. The same is in `--help`.

Results go to stdout; progress, remarks and errors to stderr. With `--json` stdout is one JSON document.

| exit code | meaning |
| --- | --- |
| 0 | fine |
| 1 | failed |
| 2 | wrong use: an option, a name or a setting |
| 3 | finished, but some inputs were bad; they are named on stderr |
| 4 | finished, and what was checked has changed: `calibrate --check` found drift |
| 5 | stopped by a floor of `train`; the best weights before it are kept |
| 130 | interrupted; the last line says how to go on |
"""
NAMES = {int: "N", float: "X", str: "TEXT", list[str]: "TEXT", Path: "PATH", bool: ""}


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *(_section(*verb) for verb in _verbs(app, "hyperaware"))])


def _verbs(group: typer.Typer, prefix: str) -> Iterator[tuple[str, Callable[..., None], str | None]]:
    for command in group.registered_commands:
        assert command.callback is not None, "every verb is a function"
        yield f"{prefix} {command.name or command.callback.__name__}", command.callback, command.epilog
    for part in group.registered_groups:
        assert part.typer_instance is not None, "every group is a typer app"
        yield from _verbs(part.typer_instance, f"{prefix} {part.name}")


def _section(name: str, verb: Callable[..., None], epilog: str | None) -> str:
    hints = typing.get_type_hints(verb, include_extras=True)
    rows, usage = [], name
    for parameter in inspect.signature(verb).parameters.values():
        kind, info = typing.get_args(hints[parameter.name])[:2]
        spelled = _spelled(parameter, kind, info)
        if isinstance(info, ArgumentInfo):
            usage += f" {spelled}" if parameter.default is inspect.Parameter.empty else f" [{spelled}]"
        meaning, _, default = (info.help or "").partition(" [default: ")
        cells = (f"`{spelled}`", meaning, default.removesuffix("]") or _default(parameter))
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    examples = [line.strip() for line in (epilog or "").splitlines()[2:]]
    parts = [
        f"## `{usage}`",
        "",
        inspect.getdoc(verb) or "",
        "",
        "| | | default |",
        "| --- | --- | --- |",
        *rows,
    ]
    return "\n".join([*parts, "", "```console", *(f"$ {example}" for example in examples), "```", ""])


def _spelled(parameter: inspect.Parameter, kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    value = info.metavar or _type_name(kind)
    if isinstance(info, ArgumentInfo):
        return info.metavar or (value if "|" in value else parameter.name.upper())
    # In an annotation typer takes the first spelling for the default, until it builds the command.
    given = (info.default, *(info.param_decls or ()))
    declared = [word for word in given if isinstance(word, str) and word.startswith("-")]
    option = ", ".join(declared) or "--" + parameter.name.replace("_", "-")
    if kind is not bool:
        return f"{option} {value}"
    return option if declared else f"{option} / --no-{option.removeprefix('--')}"


def _type_name(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(member.value for member in kind)
    if typing.get_origin(kind) is typing.Literal:
        return "|".join(typing.get_args(kind))
    return NAMES[kind]


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    if parameter.default is None or isinstance(parameter.default, bool):
        return ""
    value = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
