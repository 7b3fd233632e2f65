"""A small training run, interrupted at will, and what it leaves behind."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from model_samples import tiny_model
from safetensors.torch import load_file
from torch import Tensor

from hyperaware.evaluation.examples import Examples
from hyperaware.methods.hysac import HySAC
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings

SETTINGS = Settings(steps=6, batch_size=4, evaluate_every=2, log_every=1, schedule="cosine", warmup_steps=2)
FULL = HySAC(lora_rank=None, start_norm=0.5, learning_rate=1e-2)
ADAPTED = dataclasses.replace(FULL, lora_rank=2, lora_dropout=0.5)
Train = Callable[..., Result]


def trainer(examples: Examples, folder: Path) -> Train:
    """`fit` of a fresh tiny model, into `folder / name`."""

    def run(name: str = "run", *, method: Any = FULL, settings: Settings = SETTINGS, **more: Any) -> Result:
        given = {"train": examples, "validation": examples, "folder": folder / name} | more
        return fit(tiny_model(), method, settings=settings, **given)

    return run


def lines(folder: Path) -> list[dict[str, Any]]:
    """The log without its clock."""
    read = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def differing(first: Path, second: Path) -> list[str]:
    """The names of the weights in which two model folders differ."""
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def interrupted(function: Callable[..., Any], *, call: int) -> Callable[..., Any]:
    """`function` until its n-th call, which ends in a KeyboardInterrupt after its work is done."""
    calls = iter(range(1, call + 1))

    def until(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if next(calls, call) == call:
            raise KeyboardInterrupt
        return result

    return until
