"""Where a model computes: what is asked for, or an error; and nothing is left behind."""

from pathlib import Path

import pytest
import torch
from pretended_gpu import GPU, pretended_gpu

import hyperaware as ha
from hyperaware.calibrate import calibrate
from hyperaware.errors import ConfigError
from hyperaware.evaluation.runs import measurement
from hyperaware.explain import explain_text
from hyperaware.models.devices import device_of
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderate import Moderator
from hyperaware.world import export

TEXTS = ["a rabbit in the snow", "a rabbit with an axe in the snow"]


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a pretended GPU")


def test_a_gpu_is_taken_where_there_is_one(one_gpu: None) -> None:
    assert device_of("auto") == torch.device("cuda")
    assert device_of("cuda:0") == GPU
    assert device_of("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="cuda:1 was asked for; this torch can use 1 GPUs"):
        device_of("cuda:1")


def test_without_a_gpu_it_is_the_cpu_and_none_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="can use 0 GPUs"):
        ha.load("world", device="cuda")


@pytest.mark.parametrize("name", ["", "gpu", "meta", "cuda:x"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"got the device '{name}', expected auto"):
        device_of(name)


def test_points_lie_on_the_cpu_wherever_the_model_is(one_gpu: None) -> None:
    here = ha.load("world-hysac-ordered")
    expected = here.encode_text(TEXTS)
    with pretended_gpu():
        there = ha.load("world-hysac-ordered", device="cuda")
        assert there.device == GPU
        points = there.encode_text(TEXTS)
        assert torch.equal(points, expected)
        assert torch.equal(there.space.root_distance(points), here.space.root_distance(expected))
        assert torch.equal(there.space.similarity(points, points), here.space.similarity(expected, expected))
        assert there.fingerprint == here.fingerprint


def test_measuring_and_judging_there_is_as_here(one_gpu: None, tmp_path: Path) -> None:
    rows = export(tmp_path, count=24, split="calibration")

    def all_of(model: DualEncoder) -> list:
        moderator = Moderator.of(model)
        return [
            measurement(model, rows, data=tmp_path, bounds=moderator.bounds, calibration=rows).run.figures,
            calibrate(model, rows, false_positive_rate=0.2, miss_rate=0.2),
            moderator.moderate(TEXTS, [rows[0].unsafe_image]),
            explain_text(moderator, TEXTS[1]),
        ]

    here = all_of(ha.load("world-hysac-ordered"))
    with pretended_gpu():
        there = all_of(ha.load("world-hysac-ordered", device="cuda"))
    assert here == there
