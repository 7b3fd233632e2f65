"""Documents cannot drift: the page of the command line is current, and the README's snippets run."""

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from sources import ROOT

from hyperaware.cli.app import app
from hyperaware.cli.help_page import page

README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KNOWN = {"python", "console", "sh", "bash", "text", "toml", ""}


class Fence(NamedTuple):
    """A fenced block of the README: its language, its text, the line it begins at."""

    language: str
    text: str
    line: int


def fences(path: Path = README) -> list[Fence]:
    text = path.read_text(encoding="utf-8")
    return [
        Fence(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in FENCE.finditer(text)
    ]


def commands() -> list[str]:
    """The lines of console blocks that a reader types; a backslash joins the next line."""
    found = []
    for fence in fences():
        if fence.language in ("console", "sh", "bash"):
            lines = fence.text.replace("\\\n", " ").splitlines()
            prompted = [line for line in lines if line.startswith("$ ")]
            found += [line.removeprefix("$ ").partition("  #")[0].strip() for line in prompted or lines]
    return [line for line in found if line and not line.startswith("#")]


def test_the_page_of_the_command_line_is_current() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m hyperaware.cli.help_page > docs/cli.md"


def test_the_readme_has_its_two_commands_and_a_python_snippet() -> None:
    found = fences()
    assert {fence.language for fence in found} <= KNOWN
    assert {"scripts/demo", "scripts/test"} <= set(commands())
    assert sum(fence.language == "python" for fence in found) >= 1


def test_python_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the README and in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__readme__"}
    snippets = [fence for fence in fences() if fence.language == "python"]
    assert snippets, "the README has no python snippet"
    _make_what_snippets_read(tmp_path)
    for fence in snippets:
        code = compile("\n" * fence.line + fence.text, str(README), "exec")
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, namespace)


def _make_what_snippets_read(folder: Path) -> None:
    """What a reader has by then: the gallery of the demo, and a picture of their own, `picture.png`."""
    from hyperaware.world import export

    rows = export(folder / "demo" / "gallery", count=2, split="test")
    (folder / "picture.png").write_bytes(rows[0].safe_image.read_bytes())


def test_commands_of_the_readme_exist() -> None:
    """Scripts are there and executable; verbs of hyperaware exist with the options that are typed."""
    import typer.main

    root = typer.main.get_command(app)
    checked = 0
    for command in commands():
        words = shlex.split(command)
        words[0] = words[0].removeprefix("./").removeprefix(".venv/bin/")
        if words[0].startswith(("scripts/", ".ci/")):
            assert (ROOT / words[0]).stat().st_mode & 0o111, f"{words[0]} is not executable"
            checked += 1
        elif words[0] == "hyperaware":
            _parse(root, words[1:])
            checked += 1
    assert checked >= 4, "expected scripts/demo, scripts/test, and verbs of hyperaware"


def _parse(command: object, words: list[str]) -> None:
    """Follow the verbs and let typer parse the rest, without running anything."""
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if words not in (["--help"], ["--version"]):
        assert not hasattr(command, "commands"), f"no verb in {words}"
        command.make_context("hyperaware", list(words), resilient_parsing=False)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_links_to_files_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / name).parent.joinpath(target.strip()).exists(), f"{name} links to {target}"
