"""A training that is killed goes on as if nothing had been, whatever it was doing."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from model_samples import random_rows, tiny_model
from safetensors.torch import load_file

from hyperaware.evaluation.examples import Examples
from hyperaware.methods.hysac import HySAC
from hyperaware.training.loop import fit
from hyperaware.training.settings import Settings

METHOD = HySAC(lora_rank=2, lora_dropout=0.5, start_norm=0.5, learning_rate=1e-2)
SETTINGS = Settings(steps=60, batch_size=4, evaluate_every=20, checkpoint_every=7, log_every=1)


def train(data: Path, folder: Path) -> None:
    examples = Examples(random_rows(data, 10), model=tiny_model())
    fit(tiny_model(), METHOD, train=examples, validation=examples, settings=SETTINGS, folder=folder)


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_a_killed_run_ends_as_one_that_was_not(number: signal.Signals, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=train, args=(tmp_path / "rows", tmp_path / "killed")
    )
    process.start()
    log = tmp_path / "killed" / "log.jsonl"
    deadline = time.monotonic() + 120
    while process.is_alive() and time.monotonic() < deadline and not (log.is_file() and _count(log) > 25):
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == -number  # it was at work, not done
    assert 25 < len(log.read_text().splitlines()) < SETTINGS.steps
    assert not (tmp_path / "killed" / "model.safetensors").exists()

    train(tmp_path / "rows", tmp_path / "killed")
    train(tmp_path / "rows", tmp_path / "whole")
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all((whole[name] == killed[name]).all() for name in whole)
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")
    assert [step for step, _ in losses(tmp_path / "killed")] == list(range(SETTINGS.steps))


def _count(log: Path) -> int:
    return log.read_bytes().count(b"\n")
