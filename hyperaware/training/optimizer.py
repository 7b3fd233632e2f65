"""AdamW with the right groups, and the learning rate as a function of the step."""

import math

from torch import nn
from torch.optim import AdamW

from hyperaware.errors import ConfigError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.settings import Settings

__all__ = ["adamw", "learning_rate_factor"]


def adamw(
    model: DualEncoder, settings: Settings, *, learning_rate: float, scalar_learning_rate: float | None
) -> AdamW:
    """The optimiser, in three groups: matrices (decayed), the towers' vectors, and the model's scalars.

    Each group carries `peak`, its learning rate after the warm-up. Fused: one pass over each weight, on a CPU
    too, where that takes a fifth of the time or less; weights come out as those of the plain loop to 1e-8.

    Raises:
        ConfigError: a learning rate that is negative or no number.
    """
    for rate in (learning_rate, scalar_learning_rate):
        if rate is not None and not 0 <= rate < math.inf:
            raise ConfigError(f"a learning rate of {rate}: expected a number, 0 or more.")
    scalars = [p for _, p in model.scalars() if p.requires_grad]
    towers = [p for p in model.clip.parameters() if p.requires_grad]
    scalar_rate = learning_rate if scalar_learning_rate is None else scalar_learning_rate
    groups = [
        _group([p for p in towers if p.ndim >= 2], learning_rate, settings.weight_decay),
        _group([p for p in towers if p.ndim < 2], learning_rate, 0.0),
        _group(scalars, scalar_rate, 0.0),
    ]
    betas = (settings.beta1, settings.beta2)
    return AdamW([group for group in groups if group["params"]], betas=betas, fused=True)


def _group(parameters: list[nn.Parameter], rate: float, decay: float) -> dict:
    return {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}


def learning_rate_factor(step: int, settings: Settings) -> float:
    """The share of the peak learning rate at a step: linear warm-up, then constant or half a cosine.

    >>> [round(learning_rate_factor(step, Settings(steps=8, warmup_steps=2)), 2) for step in (0, 1, 2, 7)]
    [0.5, 1.0, 1.0, 1.0]
    >>> round(learning_rate_factor(4, Settings(steps=8, schedule="cosine")), 2)
    0.5
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
