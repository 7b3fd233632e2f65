"""Which layers get adapters is a setting of every method that has adapters."""

import dataclasses
from typing import Any

import pytest
from model_samples import random_points, tiny_model

from hyperaware.errors import ConfigError
from hyperaware.methods import METHODS, method_class
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.options import override

ADAPTED = [name for name in METHODS if hasattr(method_class(name)(), "lora_rank")]


def adapted_layers(method: Any) -> set[str]:
    """The last words of the names of all layers that got an adapter."""
    model = tiny_model()
    method.prepare(model, features=random_points(6, model.dim))
    names = [
        name for name, parameter in model.named_parameters() if "lora_A" in name and parameter.requires_grad
    ]
    return {name.split(".lora_A")[0].rpartition(".")[2] for name in names}


@pytest.mark.parametrize("name", ADAPTED)
def test_targets_are_the_published_ones_by_default_and_a_setting(name: str) -> None:
    method = method_class(name)()
    assert adapted_layers(method) == set(PUBLISHED_TARGETS)
    chosen = override(method, {"lora_targets": "q_proj,self_attn.v_proj", "lora_rank": "3"})
    assert adapted_layers(chosen) == {"q_proj", "v_proj"}


def test_every_method_but_clip_has_adapters() -> None:
    assert set(ADAPTED) == METHODS.keys() - {"clip"}


@pytest.mark.parametrize("targets", [("q_proj", "v_porj"), ("proj",)])
def test_a_target_that_is_no_layer_is_refused(targets: tuple[str, ...]) -> None:
    """Peft would adapt the others and say nothing."""
    method = dataclasses.replace(method_class("hysac")(), lora_targets=targets)
    with pytest.raises(ConfigError, match=rf"no layer of the towers is called '{targets[-1]}'.*v_proj"):
        adapted_layers(method)
