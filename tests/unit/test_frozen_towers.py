"""Training one tower: the other stays as it is, and its features are made once, to the same losses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_samples import tiny_model
from torch import nn

from hyperaware.evaluation.examples import Examples
from hyperaware.methods.hysac import HySAC
from hyperaware.models.dual_encoder import TOWERS, DualEncoder
from hyperaware.training import loop
from hyperaware.training.frozen import Known, is_frozen, with_known_features
from hyperaware.training.settings import Settings

SETTINGS = Settings(steps=6, batch_size=4, evaluate_every=6, log_every=1)
OTHER = {"text": "image", "image": "text"}


def method(trained: str, rank: int | None = 2) -> HySAC:
    return HySAC(lora_rank=rank, lora_dropout=0.0, start_norm=0.5, learning_rate=1e-2, trained=trained)  # type: ignore[arg-type]


def prepared(trained: str, examples: Examples, rank: int | None = 2) -> DualEncoder:
    model = tiny_model()
    batch = examples.batch(torch.arange(4))
    with torch.no_grad():
        features = batch.quadruplet(
            model.features_of_tokens(batch.ids), model.features_of_pixels(batch.pixels)
        )
    method(trained, rank).prepare(model, features=features)
    return model


def trained(model: DualEncoder, modality: str) -> int:
    return sum(parameter.numel() for parameter in model.tower(modality) if parameter.requires_grad)


# -- which tower is trained ----------------------------------------------------------------------------------


def test_a_tower_is_its_layers_its_projection_and_its_adapters(examples: Examples) -> None:
    for model in (tiny_model(), prepared("both", examples)):
        towers = {modality: list(model.tower(modality)) for modality in TOWERS}
        parameters = dict(model.clip.named_parameters())
        assert sum(map(len, towers.values())) == len(parameters)
        for modality, word in (("text", "text_"), ("image", "vis")):
            assert len(towers[modality]) == sum(word in name for name in parameters)


@pytest.mark.parametrize("rank", [2, None], ids=["adapted", "full"])
def test_one_tower_can_be_left_as_it_is(rank: int | None, examples: Examples) -> None:
    both = prepared("both", examples, rank)
    for modality, other in OTHER.items():
        model = prepared(modality, examples, rank)
        assert trained(model, modality) == trained(both, modality) > 0
        assert trained(model, other) == 0
        assert is_frozen(model, other)
        assert not is_frozen(model, modality)
    assert not any(is_frozen(both, modality) for modality in TOWERS)


def test_a_tower_with_dropout_is_not_frozen(examples: Examples) -> None:
    model = prepared("text", examples)
    model.config.vision_config.attention_dropout = 0.1
    assert not is_frozen(model, "image")
    assert with_known_features(model, examples, narrow=False) is examples


# -- features at hand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", TOWERS)
def test_batches_have_the_features_of_the_frozen_tower(modality: str, examples: Examples) -> None:
    model = prepared(OTHER[modality], examples)
    source = with_known_features(model, examples, narrow=False)
    assert isinstance(source, Known)
    indices = torch.tensor([7, 2, 4])
    batch, plain = source.batch(indices), examples.batch(indices)
    assert batch.known.keys() == {modality}
    assert torch.equal(batch.ids, plain.ids)
    assert len(batch.pixels) == (0 if modality == "image" else 6)
    points = model(plain.ids, plain.mask, plain.pixels)
    known = model(batch.ids, batch.mask, batch.pixels, known=batch.known)
    for found, expected in zip(known, points, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_features_of_narrow_towers_are_made_by_narrow_towers(examples: Examples) -> None:
    """As a step has them: else a run with them would be another one."""
    model = prepared("text", examples)
    wide, narrow = (with_known_features(model, examples, narrow=each) for each in (False, True))
    assert isinstance(wide, Known)
    assert isinstance(narrow, Known)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        step = model.features_of_pixels(examples.batch(torch.arange(10)).pixels).float()
    assert torch.equal(narrow.features["image"].flatten(0, 1), step)
    assert not torch.allclose(wide.features["image"].flatten(0, 1), step, rtol=1e-4)


def test_nothing_is_kept_where_both_towers_are_trained(examples: Examples) -> None:
    model = prepared("both", examples).train()
    assert with_known_features(model, examples, narrow=False) is examples
    assert model.training
    frozen = prepared("text", examples).train()
    with_known_features(frozen, examples, narrow=False)
    assert frozen.training


# -- in the loop ---------------------------------------------------------------------------------------------


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def run(modality: str, examples: Examples, folder: Path) -> list[float]:
    loop.fit(
        tiny_model(), method(modality), train=examples, validation=examples, settings=SETTINGS, folder=folder
    )
    return losses(folder)


@pytest.mark.parametrize("modality", TOWERS)
def test_the_losses_are_those_without_features_at_hand(
    modality: str, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(modality, examples, tmp_path / "known")
    monkeypatch.setattr(loop, "with_known_features", lambda model, examples, narrow: examples)
    expected = run(modality, examples, tmp_path / "anew")
    assert len(found) == SETTINGS.steps
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[0] > found[-1]


@pytest.mark.parametrize(("modality", "calls"), [("text", 0), ("both", SETTINGS.steps)])
def test_a_frozen_tower_is_not_called_in_a_step(
    modality: str, calls: int, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The convolution of the patches is called once for each forward pass of the pictures' tower."""
    counted = 0
    step: Callable[[loop._Run], None] = loop._Run._step

    def watched(self: loop._Run) -> None:
        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        convolution = next(m for m in self.model.clip.modules() if isinstance(m, nn.Conv2d))
        hook = convolution.register_forward_hook(count)
        step(self)
        hook.remove()

    monkeypatch.setattr(loop._Run, "_step", watched)
    run(modality, examples, tmp_path)
    assert counted == calls


@pytest.mark.parametrize("modality", TOWERS)
def test_an_interrupted_run_ends_as_one_that_was_not(
    modality: str, examples: Examples, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, evaluate_every=3)

    def fit(folder: Path, steps: int) -> dict[str, torch.Tensor]:
        model = tiny_model()
        chosen = replace(settings, steps=steps)
        loop.fit(model, method(modality), train=examples, validation=examples, settings=chosen, folder=folder)
        return model.state_dict()

    expected = fit(tmp_path / "whole", 6)
    fit(tmp_path / "parts", 3)
    found = fit(tmp_path / "parts", 6)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
