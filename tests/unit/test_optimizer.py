"""What decays, what does not, and the learning rate at each step."""

import pytest
import torch
from model_samples import tiny_model

from hyperaware.models.adapters import add_lora
from hyperaware.training.optimizer import adamw, learning_rate_factor
from hyperaware.training.settings import Settings

SETTINGS = Settings(weight_decay=0.3, beta1=0.8, beta2=0.95)


def optimiser(*, scalar_learning_rate: float | None = None, lora: bool = False) -> tuple:
    model = tiny_model(lorentz=True)
    if lora:
        add_lora(model, rank=2)
    optimizer = adamw(model, SETTINGS, learning_rate=1e-3, scalar_learning_rate=scalar_learning_rate)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [[names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]
    return model, optimizer, groups


def test_matrices_decay_and_nothing_else() -> None:
    model, optimizer, groups = optimiser()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0, 0.0]
    matrices, vectors, scalars = groups
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    assert {shapes[name] for name in matrices} == {2, 4}  # 4: the patch embedding's convolution
    assert {shapes[name] for name in vectors} == {1}
    assert any(name.endswith("layer_norm1.weight") for name in vectors)
    assert any(name.endswith("k_proj.bias") for name in vectors)
    assert any(name.endswith("class_embedding") for name in vectors)
    assert sorted(scalars) == ["log_alpha_image", "log_alpha_text", "log_curv", "log_logit_scale"]
    assert sorted(matrices + vectors + scalars) == sorted(shapes)


def test_frozen_parameters_are_in_no_group() -> None:
    model, _, groups = optimiser(lora=True)
    matrices, scalars = groups  # adapters have no vectors
    assert all("lora_" in name for name in matrices)
    assert len(matrices) == sum("lora_" in name for name, _ in model.named_parameters())
    assert len(scalars) == 4


@pytest.mark.parametrize(("given", "rate"), [(None, 1e-3), (5e-2, 5e-2), (0.0, 0.0)])
def test_scalars_have_a_learning_rate_of_their_own(given: float | None, rate: float) -> None:
    _, optimizer, _ = optimiser(scalar_learning_rate=given)
    assert [group["peak"] for group in optimizer.param_groups] == [1e-3, 1e-3, rate]
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3, rate]


def test_the_moments_are_those_of_the_settings() -> None:
    _, optimizer, _ = optimiser()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.95)}


@pytest.mark.parametrize(
    ("step", "constant", "cosine"),
    [
        (0, 0.25, 0.25),
        (3, 1.0, 1.0),
        (4, 1.0, 1.0),  # the first step after the warm-up
        (8, 1.0, 0.5 * (1 + 2**-0.5)),  # a quarter of the way: 1/2 (1 + cos 45 degrees)
        (12, 1.0, 0.5),
        (20, 1.0, 0.0),
        (30, 1.0, 0.0),  # past the end: it stays down
    ],
)
def test_the_schedule(step: int, constant: float, cosine: float) -> None:
    for schedule, factor in (("constant", constant), ("cosine", cosine)):
        settings = Settings(steps=20, warmup_steps=4, schedule=schedule)  # type: ignore[arg-type]
        assert learning_rate_factor(step, settings) == pytest.approx(factor, abs=1e-12)


def test_without_a_warm_up_the_first_step_is_at_the_peak() -> None:
    assert learning_rate_factor(0, Settings(steps=10)) == 1.0
    assert learning_rate_factor(0, Settings(steps=10, schedule="cosine")) == 1.0


def test_a_warm_up_as_long_as_the_run_never_divides_by_zero() -> None:
    settings = Settings(steps=5, warmup_steps=5, schedule="cosine")
    assert [learning_rate_factor(step, settings) for step in range(5)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1]
    )
