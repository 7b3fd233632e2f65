"""The commands of docs/training.md: launchers train one model in two processes, and one failure ends all."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from command_line import document
from safetensors.torch import load_file

from hyperaware.training.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
UNEVEN = ("--set", "training.batch_size=5", "--set", "training.chunk_size=2")
"""Three rows for the first process, two for the second."""


def launch(
    launcher: str, place: Path, *more: str, recipe: str = "toy.toml", out: str
) -> subprocess.CompletedProcess[str]:
    """Run the line of the document that begins with `launcher`, with a recipe and `more` of the test."""
    (line,) = re.findall(rf"^\$ ({launcher} .*)$", DOCUMENT.read_text(), re.MULTILINE)
    line = line.replace("torchrun", "torchrun --standalone")  # a port that is free, as tests run side by side
    line = line.replace("accelerate launch", "accelerate launch --main_process_port 0")
    line = line.replace("world-hysac", recipe).replace("runs/two", out)
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*shlex.split(line), "--world", "world", *UNEVEN, *more, "--json"],
        cwd=place,
        env=os.environ | {"PATH": scripts, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=200,
    )


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def check(answer: subprocess.CompletedProcess[str], folder: Path, alone: Path) -> None:
    """One process has spoken, and the model is what one process makes by itself."""
    assert answer.returncode == 0, answer.stderr
    spoken = json.loads(answer.stdout)
    assert (spoken["steps"], spoken["failed"]) == (4, {})
    assert losses(folder) == pytest.approx(losses(alone), rel=1e-5)
    assert {path.name for path in folder.iterdir()} == {path.name for path in alone.iterdir()}
    assert {"bounds.json", "checkpoint.safetensors", "config.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert "random.1.cpu" in load_file(folder / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def alone(workplace: Path) -> Path:
    """The model of one process."""
    made = document(
        "train", workplace / "toy.toml", "--out", workplace / "alone", "--world", workplace / "world", *UNEVEN
    )
    assert (made["steps"], made["failed"]) == (4, {})
    return workplace / "alone"


def test_torchrun(workplace: Path, alone: Path) -> None:
    check(launch("torchrun", workplace, out="one"), workplace / "one", alone)


@pytest.mark.slow
def test_accelerate_launch(workplace: Path, alone: Path) -> None:
    check(launch("accelerate launch", workplace, out="other"), workplace / "other", alone)


FALLING = """
import os
from hyperaware.evaluation import crops
from hyperaware.methods.hysac import HySAC
from hyperaware.training import guard

found = iter([0.8, 0.8, 0.4])
guard._safe_recall = lambda *_: next(found)
decode = crops.decode

def noted(path):
    with open("decoded-" + os.environ["RANK"], "a") as names:
        names.write(path.name + path.parents[1].name + "\\n")
    return decode(path)

crops.decode = noted

class Falling(HySAC):
    pass
"""


def test_a_bad_picture_and_a_broken_floor_are_told_once(workplace: Path) -> None:
    """The second measurement finds half of what the first found; one process alone meets the bad picture."""
    pytest.importorskip("tensorboard")
    shutil.copytree(workplace / "world", workplace / "damaged")
    bad = next((workplace / "damaged").glob("train-*")) / "images"
    bad = sorted(bad.rglob("*.png"))[5]
    bad.write_bytes(b"no picture")
    (workplace / "falling.py").write_text(FALLING)
    recipe = (workplace / "toy.toml").read_text()
    (workplace / "falling.toml").write_text(recipe.replace('"hysac"', '"falling:Falling"'))
    more = ("--set", "training.min_safe_recall=0.9", "--report-to", "tensorboard", "--world", "damaged")
    answer = launch("torchrun", workplace, *more, recipe="falling.toml", out="fallen")
    assert answer.returncode == 1  # of the launcher, which names that of the command
    assert re.search(r"exitcode *: 5 ", answer.stderr), answer.stderr
    assert answer.stderr.count("Stopped after step 4: utility fell below its floor: safe_recall is 0.4") == 1
    said = json.loads(answer.stdout)
    assert (said["steps"], said["best_step"]) == (4, 2)
    assert [Path(path).name for path in said["failed"]] == [bad.name]
    assert answer.stderr.count(f"{bad.name}: ") == 1
    assert (workplace / "fallen" / "bounds.json").is_file()
    assert len(list((workplace / "fallen" / "tensorboard").glob("events.*"))) == 1
    decoded = [(workplace / f"decoded-{rank}").read_text().split() for rank in range(2)]
    every = [*chain(*decoded)]
    there = []
    for folder in ("train-0-32", "validation-0-60", "calibration-0-60"):
        there += [path.name + folder for path in (workplace / "damaged" / folder / "images").glob("*.png")]
    assert sorted(every) == sorted(there)
    assert abs(len(decoded[0]) - len(decoded[1])) < 10  # each process did its share


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
def test_the_failure_of_one_process_ends_all(workplace: Path) -> None:
    (workplace / "broken.py").write_text(BROKEN)
    recipe = (workplace / "toy.toml").read_text()
    (workplace / "broken.toml").write_text(recipe.replace('"hysac"', '"broken:Broken"'))
    answer = launch("torchrun", workplace, recipe="broken.toml", out="broken")
    assert answer.returncode == 1
    assert "only here" in answer.stderr


def test_settings_of_the_document_exist() -> None:
    text = DOCUMENT.read_text()
    named = set(re.findall(r"training\.([a-z_]+)=", text)) | set(
        re.findall(r"^\| `(\w+)=", text, re.MULTILINE)
    )
    assert {"chunk_size", "batch_size", "precision", "compile", "gradient_checkpointing"} <= named
    assert named <= {field.name for field in dataclasses.fields(Settings)}
