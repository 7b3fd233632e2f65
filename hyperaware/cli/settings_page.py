"""The table of the server's settings in `docs/server.md`: python -m hyperaware.cli.settings_page"""

import inspect
import typing
from pathlib import Path
from typing import Any

from hyperaware.cli.serve import serve

__all__ = ["table"]

HEAD = ("| setting | default | flag | variable | meaning |", "| --- | --- | --- | --- | --- |")
WORDS = {Path: "PATH", str: "TEXT", int: "N", float: "X"}


def table() -> str:
    """Every setting with its default, its flag, its variable and what it is, as Markdown."""
    from hyperaware.server.settings import Settings

    own = set(inspect.signature(serve).parameters)
    rows = []
    for name, field in Settings.model_fields.items():
        about = " ".join((field.description or "").replace("|", r"\|").split())
        flag = _own_flag(name, field.annotation) if name in own else f"`--set {name}=...`"
        default = "" if field.default is None else f"`{_spelled(field.default)}`"
        rows.append(f"| `{name}` | {default} | {flag} | `HYPERAWARE_{name.upper()}` | {about} |")
    return "\n".join([*HEAD, *rows])


def _own_flag(name: str, annotation: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    if annotation is bool:
        return f"`{flag}`"
    kind = next(kind for kind in (*typing.get_args(annotation), annotation) if kind in WORDS)
    return f"`{flag} {WORDS[kind]}`"


def _spelled(default: Any) -> str:
    """The default as a settings file has it."""
    if isinstance(default, tuple):
        return f"[{', '.join(map(repr, default))}]"
    return str(default).lower() if isinstance(default, bool) else str(default)


if __name__ == "__main__":
    print(table())
