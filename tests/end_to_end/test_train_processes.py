"""The commands of docs/training.md: launchers train one model in two processes, and one failure ends all."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import document
from safetensors.torch import load_file

from hyperaware.training.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
RECIPE = """
method = "hysac"

[settings]
lora_rank = "none"
start_norm = 0.5

[training]
steps = 3
batch_size = 5
chunk_size = 2
evaluate_every = 2
log_every = 1

[towers]
image_size = 16
vision_width = 16
vision_layers = 1
vision_heads = 2
text_width = 16
text_layers = 1
text_heads = 2
projection = 8
vocab_size = 300

[data.train]
split = "train"
count = 10

[data.validation]
split = "validation"
count = 5

[data.calibration]
split = "calibration"
count = 50
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe."""
    place = tmp_path_factory.mktemp("launched")
    (place / "recipe.toml").write_text(RECIPE)
    return place


def launch(
    launcher: str, place: Path, *, recipe: str = "recipe.toml", out: str
) -> subprocess.CompletedProcess[str]:
    """Run the line of the document that begins with `launcher`, with a recipe of the test."""
    (line,) = re.findall(rf"^\$ ({launcher} .*)$", DOCUMENT.read_text(), re.MULTILINE)
    line = line.replace("torchrun", "torchrun --standalone")  # a port that is free, as tests run side by side
    line = line.replace("accelerate launch", "accelerate launch --main_process_port 0")
    line = line.replace("world-hysac", recipe).replace("runs/two", out)
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*shlex.split(line), "--world", "world", "--json"],
        cwd=place,
        env=os.environ | {"PATH": scripts, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=200,
    )


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def check(answer: subprocess.CompletedProcess[str], folder: Path, place: Path) -> None:
    """One process has spoken, and the model is what one process makes by itself."""
    assert answer.returncode == 0, answer.stderr
    spoken = json.loads(answer.stdout)
    alone = document("train", place / "recipe.toml", "--out", place / "alone", "--world", place / "world")
    assert (spoken["steps"], spoken["failed"]) == (alone["steps"], {}) == (3, {})
    assert losses(folder) == pytest.approx(losses(place / "alone"), rel=1e-5)
    assert {path.name for path in folder.iterdir()} == {path.name for path in (place / "alone").iterdir()}
    assert {"bounds.json", "checkpoint.safetensors", "config.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert "random.1.cpu" in load_file(folder / "checkpoint.safetensors")


def test_torchrun(place: Path) -> None:
    check(launch("torchrun", place, out="one"), place / "one", place)


@pytest.mark.slow
def test_accelerate_launch(place: Path) -> None:
    check(launch("accelerate launch", place, out="other"), place / "other", place)


BROKEN = """
from hyperaware import distributed
from hyperaware.methods.hysac import HySAC

class Broken(HySAC):
    def terms(self, points, **rest):
        if distributed.rank() == 1:
            raise RuntimeError("only here")
        return super().terms(points, **rest)
"""


@pytest.mark.slow
def test_the_failure_of_one_process_ends_all(place: Path) -> None:
    (place / "broken.py").write_text(BROKEN)
    (place / "broken.toml").write_text(RECIPE.replace('"hysac"', '"broken:Broken"'))
    answer = launch("torchrun", place, recipe="broken.toml", out="broken")
    assert answer.returncode == 1
    assert "only here" in answer.stderr


def test_settings_of_the_document_exist() -> None:
    text = DOCUMENT.read_text()
    named = set(re.findall(r"training\.([a-z_]+)=", text)) | set(
        re.findall(r"^\| `(\w+)=", text, re.MULTILINE)
    )
    assert {"chunk_size", "batch_size", "precision", "compile", "gradient_checkpointing"} <= named
    assert named <= {field.name for field in dataclasses.fields(Settings)}
