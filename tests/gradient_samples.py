"""The gradients of one training step of any method, as the loop takes them."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from model_samples import random_points, random_rows, tiny_model
from torch import Tensor

from hyperaware.data.quadruplet import Box, Row
from hyperaware.evaluation.examples import Examples
from hyperaware.methods import METHODS, method_class
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.gradients import Gradients
from hyperaware.training.inputs import Inputs

WHOLE: dict[str, Any] = {"lora_rank": None}
ADAPTED: dict[str, Any] = {"lora_rank": 2, "lora_dropout": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {name: {} if name == "clip" else WHOLE for name in METHODS} | {
    "hysac, adapted": ADAPTED,
    "hysac, ordered": WHOLE | {"radial_order": 0.7},
    "hycoclip, adapted": ADAPTED,
    "safer-clip, pictures": WHOLE | {"branches": "image", "cross_preservation": "cosine"},
    "shield-clip, cosines": WHOLE | {"cosine_only": True},
    "safe-clip, texts": WHOLE | {"trained": "text"},
}
"""Every method, and some that leave a part of the points or of the weights without a gradient."""


def variant(name: str, **more: Any) -> Any:
    """The method of that name in `VARIANTS`, with `more` settings."""
    return method_class(name.partition(",")[0])(**VARIANTS[name] | more)


def rows_with_boxes(folder: Path, count: int) -> list[Row]:
    """Random rows with two boxes in each picture, and every mixture of labels."""
    boxes = (Box("a red ball", 0, 0, 8, 8), Box("an axe", 4, 8, 16, 16))
    return [
        dataclasses.replace(
            row,
            safe_boxes=boxes,
            unsafe_boxes=boxes[::-1],
            unsafe_text_is_unsafe=index % 2 == 0,
            unsafe_image_is_unsafe=index % 3 > 0,
        )
        for index, row in enumerate(random_rows(folder, count))
    ]


def prepared(method: Any, examples: Examples) -> tuple[DualEncoder, Inputs]:
    """A model that the method has made its own, with adapters that do something, and its inputs."""
    model = tiny_model()
    inputs = Inputs(method, model=model, train=examples)
    torch.manual_seed(0)
    method.prepare(model, features=random_points(6, model.dim).map(Tensor.detach))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zeros at the start, by which the other half has no gradient
                parameter.normal_(std=0.3)
    return model.train(), inputs


def gradients_of(
    method: Any,
    examples: Examples,
    rows: Tensor,
    *,
    chunk_size: int | None = None,
    narrow: bool = False,
    prepared_model: tuple[DualEncoder, Inputs] | None = None,
) -> dict[str, Tensor]:
    """The loss and the gradient of every weight that has one, after one step on these rows."""
    model, inputs = prepared(method, examples) if prepared_model is None else prepared_model
    gradients = Gradients(model, chunk_size=chunk_size, narrow=narrow)
    points = gradients.points(examples, rows)
    further = inputs.of(rows, points=gradients.points)
    terms = method.terms(points, space=model.space, logit_scale=model.logit_scale, **further)
    loss = torch.stack([method.weight(name) * term for name, term in terms.items()]).sum()
    gradients.backward(loss)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found | {"loss": loss.detach()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], *, tolerance: float) -> None:
    """No entry of any gradient differs by more than `tolerance`, or that share of its tensor's largest."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        allowed = tolerance * max(float(gradient.abs().max()), 1.0)
        torch.testing.assert_close(
            found[name], gradient, rtol=0, atol=allowed, msg=lambda m, n=name: f"{n}: {m}"
        )
