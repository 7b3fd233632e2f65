"""What the tests of this folder read: the files of the repository, and who imports whom."""

import ast
import importlib.util
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hyperaware"


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git knows or would take, relative to the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return tuple(sorted(Path(name) for name in names if name and (ROOT / name).is_file()))


@cache
def modules() -> dict[str, Path]:
    """The modules of the package by dotted name; a package stands for its `__init__`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(name: str) -> set[str]:
    """Modules of this package that `name` imports anywhere, inside functions too."""
    return {found for node in ast.walk(parsed(modules()[name])) for found in _targets(node)} - {"hyperaware"}


def _targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules())
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"a relative import in line {node.lineno}; this project has none"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            target = whole if whole in modules() else node.module
            if target in modules():
                yield target


def is_importable(name: str) -> bool:
    """Whether a module of that name exists."""
    return importlib.util.find_spec(name) is not None
