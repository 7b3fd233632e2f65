"""What no review should have to look for: long files, long functions, paths of one machine."""

import ast
import re

from sources import ROOT, modules, parsed, tracked

LONGEST_FILE, LONGEST_FUNCTION = 400, 70
PYTHON = [path for path in tracked() if path.suffix == ".py"]
ELSEWHERE = re.compile(r"(?<![\w.])/(?:work|root|home|Users|opt)/")
"""Absolute paths that exist on somebody's machine only."""


def test_the_files_are_found() -> None:
    assert len(PYTHON) > 80
    assert {"README.md", "pyproject.toml", "scripts/demo"} <= {str(path) for path in tracked()}


def test_files_can_be_held_in_the_head() -> None:
    lengths = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in PYTHON}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_functions_can_be_held_in_the_head() -> None:
    long = {}
    for path in PYTHON:
        for node in ast.walk(parsed(ROOT / path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{path}:{node.lineno} {node.name}"] = length
    assert long == {}


def test_no_path_of_one_machine_is_written_down() -> None:
    found = []
    for path in tracked():
        if path == ROOT.joinpath("tests/repository/test_tidiness.py").relative_to(ROOT):
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path}:{number}" for number, line in enumerate(text.splitlines(), 1) if ELSEWHERE.search(line)
        ]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, path in modules().items() if not ast.get_docstring(parsed(path))] == []


def test_no_warnings_or_types_are_switched_off_for_a_whole_file() -> None:
    pattern = re.compile(r"^# *(ruff: noqa|mypy: ignore-errors|type: ignore)\s*$", re.MULTILINE)
    assert [str(path) for path in PYTHON if pattern.search((ROOT / path).read_text(encoding="utf-8"))] == []
