"""What several methods do to a model before its first step: its space, its scales, what is trained."""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Lorentz, Space
from hyperaware.models.adapters import add_lora
from hyperaware.models.dual_encoder import TOWERS, DualEncoder
from hyperaware.options import unknown_name

__all__ = ["Trained", "adapt", "lift_into_lorentz", "require_lorentz", "starting_alphas", "stay_on_sphere"]


def stay_on_sphere(model: DualEncoder, *, logit_scale: float) -> None:
    """Keep the model on the sphere and fix its logit scale: what CLIP's drop-in replacements do.

    Raises:
        ConfigError: the model is not on the sphere.
    """
    if model.space.name != "sphere":
        raise ConfigError(
            f"the model {model.name!r} lies in the space {model.space.name!r}; this method compares by the "
            "cosine and starts from a model on the sphere, such as the base 'world'."
        )
    with torch.no_grad():
        model.log_logit_scale.fill_(math.log(logit_scale))
    model.log_logit_scale.requires_grad_(False)


def lift_into_lorentz(
    model: DualEncoder,
    *,
    features: Quadruplet,
    curv: float,
    learn_curv: bool,
    start_norm: float | None,
    logit_scale: float,
) -> None:
    """Lift the model into Lorentz space with these starting values.

    `start_norm` is the mean tangent norm that the `features` (a sample before the lift) shall have; it sets
    both alphas. None: alpha = dim^-0.5, as in MERU and in HySAC's released code.
    """
    alpha_text, alpha_image = starting_alphas(model, features=features, start_norm=start_norm)
    model.use_lorentz(curv=curv, alpha_image=alpha_image, alpha_text=alpha_text)
    with torch.no_grad():
        model.log_logit_scale.fill_(math.log(logit_scale))
    if model.log_curv is not None:
        model.log_curv.requires_grad_(learn_curv)


def starting_alphas(
    model: DualEncoder, *, features: Quadruplet, start_norm: float | None
) -> tuple[float, float]:
    """The scales before the lift, of texts and of pictures."""
    if start_norm is None:
        return model.dim**-0.5, model.dim**-0.5
    text = start_norm / _mean_norm(features.safe_text, features.unsafe_text)
    return text, start_norm / _mean_norm(features.safe_image, features.unsafe_image)


def require_lorentz(space: Space) -> Lorentz:
    """The space, which has cones.

    Raises:
        ConfigError: it is not hyperbolic.
    """
    if not isinstance(space, Lorentz):
        raise ConfigError(f"this method needs Lorentz space, got {space.name}. Call prepare(model) first.")
    return space


Trained = Literal["both", "text", "image"]
"""Which towers a method trains."""


class Adapters(Protocol):
    """The settings of `adapt`, as each method with adapters has them."""

    @property
    def lora_rank(self) -> int | None: ...
    @property
    def lora_alpha(self) -> int: ...
    @property
    def lora_dropout(self) -> float: ...
    @property
    def lora_targets(self) -> tuple[str, ...]: ...
    @property
    def trained(self) -> Trained: ...


def adapt(model: DualEncoder, method: Adapters) -> None:
    """Freeze the towers and add the method's adapters; without a rank the towers themselves are trained.

    `trained`: "text" or "image" leaves the other tower as it is.

    Raises:
        ConfigError: a target is the name of no layer (peft passes over such a name where others are found),
            or the rank or the dropout is none.
    """
    if method.lora_rank is not None and method.lora_rank < 1:
        raise ConfigError(f"lora_rank={method.lora_rank}: expected at least 1, or none for no adapters.")
    if not 0 <= method.lora_dropout < 1:
        raise ConfigError(f"lora_dropout={method.lora_dropout}: expected at least 0 and less than 1.")
    towers = tuple(TOWERS) if method.trained == "both" else (method.trained,)
    if method.lora_rank is not None:
        _require_layers(model, method.lora_targets)
        add_lora(
            model,
            rank=method.lora_rank,
            alpha=method.lora_alpha,
            dropout=method.lora_dropout,
            targets=method.lora_targets,
            towers=towers,
        )
        return
    for modality in TOWERS.keys() - set(towers):
        for parameter in model.tower(modality):
            parameter.requires_grad_(False)


def _require_layers(model: DualEncoder, targets: tuple[str, ...]) -> None:
    layers = {
        name for name, module in model.clip.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
    }
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in layers):
            raise unknown_name("layer of the towers", target, {name.rpartition(".")[2] for name in layers})


def _mean_norm(*features: Tensor) -> float:
    return float(torch.cat(features).norm(dim=-1).mean())
