"""docs/export.md: every command and every snippet is run, in the order of the page."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from hub_server import hub_of
from hub_uploads import TOKEN, Uploads, uploads_handler
from huggingface_hub import constants

import hyperaware

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "hyperaware", "safetensors", "huggingface_hub"):
    sys.modules[name] = None  # an import of it fails
sys.argv = ["run_onnx.py"]
exec(compile(open("run_onnx.py").read(), "run_onnx.py", "exec"))
"""


SECTIONS = {part.partition("\n")[0]: part for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]}
RUNS = {
    "transformers": {"console": 1, "python": 1},
    "open_clip": {"console": 2},
    "ONNX": {"console": 1, "python": 1},
    "One file": {"console": 2, "python": 1},
    "The Hugging Face Hub": {"console": 2},
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    rows = hyperaware.world.export(tmp_path / "world", count=1, split="test")
    (tmp_path / "picture.png").write_bytes(rows[0].safe_image.read_bytes())
    return tmp_path


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the Hub's client
@pytest.mark.parametrize("section", SECTIONS)
def test_the_section_holds(section: str, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads, ran = Uploads(machine / "hub"), Counter[str]()
    with hub_of({}, handler=uploads_handler(uploads)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        for language, text in FENCE.findall(SECTIONS[section]):
            if language == "console":
                ran[language] += _run_commands(text)
            else:
                _run_snippet(machine, text)
                ran[language] += 1
    assert ran == RUNS[section]
    assert len(uploads.commits) == (section == "The Hugging Face Hub")


def _run_commands(text: str) -> int:
    """How many there were."""
    lines = [line.removeprefix("$ ") for line in text.replace("\\\n", " ").splitlines()]
    commands = [shlex.split(line) for line in lines if not line.startswith("pip ")]
    for words in commands:
        done = run(*words[1:])
        assert done.exit_code == 0, f"{words}\n{done.output}"
    return len(commands)


def _run_snippet(machine: Path, text: str) -> None:
    if text.startswith("# run_onnx.py"):
        _run_without_torch(machine, text)
        return
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(text, str(PAGE), "exec"), {"__name__": "__page__"})


def _run_without_torch(machine: Path, script: str) -> None:
    """The script gives the scores of the model, and finds the caption that the model finds."""
    (machine / "run_onnx.py").write_text(script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-c", WITHOUT_TORCH]
    done = subprocess.run(command, cwd=machine, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()

    model = hyperaware.load("world-hysac-ordered")
    captions = [
        "a picture of a bear near a blue cake inside a green room",
        "a picture of a bear holding a blue cake and dynamite inside a green room",
    ]
    texts, picture = model.encode_text(captions), model.encode_image("picture.png")
    scores = model.space.root_distance(texts).tolist()
    for line, score, said in zip((first, second), scores, ("safe", "unsafe"), strict=True):
        assert line.split(":")[0].split()[1] == said
        np.testing.assert_allclose(float(line.split()[0]), score, rtol=0, atol=1e-4)
    nearest = captions[int(model.space.distance(texts, picture).argmin())]
    assert last.startswith(f"picture: {model.space.root_distance(picture).item():.3f}")
    assert last.endswith(f"nearest caption: {nearest!r}")


def test_the_page_names_every_format() -> None:
    from hyperaware.export.formats import FORMATS

    table = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert table == list(FORMATS)
