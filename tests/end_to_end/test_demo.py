"""The demo as a newcomer runs it, with the shipped models; and its training, shortened to a few steps."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import document, run

from hyperaware import demo

ALLOWED_SECONDS = 60
"""What the README promises on 2 cores. Measured: see docs/log.md."""

REDIRECTS = (
    "redirect/unsafe_text->safe_image+unsafe_image",
    "redirect/unsafe_image->safe_text+unsafe_text",
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `hyperaware demo` printed and wrote in a process of its own, and how long it took."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "hyperaware.cli", "demo", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    return {"out": out, "stdout": done.stdout, "stderr": done.stderr, "seconds": seconds}


def test_the_demo_shows_and_writes_everything(shown: dict[str, Any]) -> None:
    for heading in ("1. A gallery", "2. Before and after", "3. An index", "4. Three searches"):
        assert heading in shown["stdout"]
    promise = "with probability at most 5 % (split conformal, 1,000 safe texts"
    assert promise in " ".join(shown["stdout"].split())
    for heading in ("5. From a picture", "6. How far", "What this model cannot do", "What to type next"):
        assert heading in shown["stdout"]
    written = {path.name for path in shown["out"].iterdir()}
    assert {"gallery", "index", "searches.png", "root-distance.png"} <= written
    assert len(list((shown["out"] / "gallery" / "images").iterdir())) == 2 * demo.ROWS
    assert "Traceback" not in shown["stderr"]
    assert "Warning" not in shown["stderr"]


def test_the_demo_is_quick(shown: dict[str, Any]) -> None:
    """Only where the machine is not busy with other things: then the clock says nothing."""
    if os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1):
        pytest.skip("the machine is busy")
    assert shown["seconds"] < ALLOWED_SECONDS


def test_the_demo_again_is_the_same_and_its_index_can_be_searched(shown: dict[str, Any]) -> None:
    again = document("demo", "--out", shown["out"])
    figures = again["figures"][again["model"]]
    for redirect in REDIRECTS:
        assert figures[f"{redirect}/redirected/harmful_top1"] < figures[f"{redirect}/raw/harmful_top1"]
        assert figures[f"{redirect}/redirected/harmful_top1"] <= 0.1
        assert figures[f"{redirect}/redirected/recall@1"] >= 0.3
    viewer, researcher = again["searches"][1:]
    assert viewer["verdict"]["action"] == "redirect"
    assert researcher["verdict"]["action"] == "allow"
    assert viewer["query"] == researcher["query"]
    assert again["traversal"][-1]["caption"] == "[ROOT]"
    found = document("search", shown["out"] / "index", viewer["query"], "-k", len(viewer["hits"]))
    assert [hit["path"] for hit in found["hits"]] == [hit["path"] for hit in viewer["hits"]]


def test_the_commands_that_the_demo_names_work(shown: dict[str, Any]) -> None:
    lines = shown["stdout"].partition("What to type next")[2].splitlines()
    words = [line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")]
    assert len(words) == 6
    child = next(line for line in words if "--role child" in line)
    assert document(*shlex.split(child))["verdict"]["action"] == "block"


def test_training_in_the_demo(shown: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "QUICK", {**demo.QUICK, "training.steps": "3", "training.evaluate_every": "3"})
    monkeypatch.setattr(demo, "QUICK_COUNTS", {"train": 64, "validation": 60, "calibration": 60})
    result = run("demo", "--train", "--out", shown["out"], "--world", tmp_path / "world")
    assert result.exit_code == 0, result.output
    assert "Trained 3 steps" in result.stdout
    assert "median root distance: safe text" in result.stderr
    assert str(shown["out"] / "model") in result.stdout
    config = json.loads((shown["out"] / "model" / "config.json").read_text())
    assert config["provenance"]["base"] == "world"
    assert document("index", "status", shown["out"] / "index")["model"] == str(shown["out"] / "model")
