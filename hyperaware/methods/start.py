"""What several methods do to a model before its first step: its space, its scales, what is trained."""

import math

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Lorentz, Space
from hyperaware.models.adapters import add_lora
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["adapt", "lift_into_lorentz", "require_lorentz", "starting_alphas", "stay_on_sphere"]


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


def adapt(model: DualEncoder, *, rank: int | None, alpha: int, dropout: float) -> None:
    """Freeze the towers and add adapters of `rank`; none: the towers themselves are trained."""
    if rank is not None:
        add_lora(model, rank=rank, alpha=alpha, dropout=dropout)


def _mean_norm(*features: Tensor) -> float:
    return float(torch.cat(features).norm(dim=-1).mean())
