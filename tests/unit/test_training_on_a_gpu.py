"""Training on a GPU, as far as a machine without one can tell: nothing is left behind on the CPU."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gradient_samples import VARIANTS, rows_with_boxes, variant
from model_samples import tiny_model
from pretended_gpu import GPU, pretended_gpu
from training_samples import SETTINGS, differing, lines

from hyperaware.data.quadruplet import Row
from hyperaware.evaluation.examples import Examples
from hyperaware.training import loop
from hyperaware.training.loop import Result, fit

STEPS = dataclasses.replace(SETTINGS, steps=3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return rows_with_boxes(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Where accelerate sends models while a test runs."""

    class OnGPU(loop.Accelerator):
        device = GPU

    with monkeypatch.context() as patched, pretended_gpu():
        patched.setattr(loop, "Accelerator", OnGPU)
        yield GPU


def run(rows: list[Row], folder: Path, name: str, **changes: Any) -> Result:
    examples = Examples(rows, model=tiny_model())
    settings = dataclasses.replace(STEPS, **changes)
    return fit(
        tiny_model(), variant(name), train=examples, validation=examples, settings=settings, folder=folder
    )


def test_the_device_is_one_of_its_own() -> None:
    with pretended_gpu() as gpu:
        layer = torch.nn.Linear(3, 2).to(gpu)
        assert layer.weight.device == gpu
        assert layer(torch.ones(1, 3, device=gpu)).cpu().device.type == "cpu"
        with pytest.raises(RuntimeError, match="meet"):
            layer(torch.ones(1, 3))
        with pytest.raises(RuntimeError, match="meet"):
            layer.weight.sum() * torch.ones(3)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_method_trains_there_as_here(name: str, rows: list[Row], tmp_path: Path, request: Any) -> None:
    here = run(rows, tmp_path / "here", name)
    request.getfixturevalue("gpu")
    there = run(rows, tmp_path / "there", name)
    assert differing(tmp_path / "here", tmp_path / "there") == []
    assert lines(tmp_path / "here") == lines(tmp_path / "there")
    assert here == there


@pytest.mark.parametrize(
    "changes", [{"chunk_size": 3}, {"min_safe_recall": 0.01, "min_zero_shot": 0.01}], ids=str
)
def test_chunks_and_floors_work_there(
    changes: dict[str, Any], rows: list[Row], tmp_path: Path, gpu: torch.device
) -> None:
    assert run(rows, tmp_path, "hysac", **changes).step == STEPS.steps
