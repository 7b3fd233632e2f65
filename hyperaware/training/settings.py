"""How long, how fast and how often: what every run has, whatever its method."""

import math
from dataclasses import dataclass
from typing import Literal

from hyperaware.errors import ConfigError

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of the loop. Learning rates belong to the method: each paper has its own."""

    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 64
    """Quadruplets a step, all processes together: twice as many pictures and twice as many texts."""
    chunk_size: int | None = None
    """Quadruplets that a process holds activations of at once (gradient caching); none: all of its share."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: constant as in HySAC's released code, or a half cosine down to zero."""
    warmup_steps: int = 0
    """Steps of linear rise from zero."""
    weight_decay: float = 0.2
    """AdamW's decay of matrices; biases, norms, embeddings of one dimension and scalars have none."""
    beta1: float = 0.9
    """AdamW's first moment."""
    beta2: float = 0.98
    """AdamW's second moment (CLIP, HySAC)."""
    max_grad_norm: float | None = 1.0
    """Clipping of the gradient's norm; none: no clipping."""
    precision: Literal["no", "bf16"] = "no"
    """Autocast of the towers; the geometry stays in float32."""
    gradient_checkpointing: bool = False
    """Keep only the inputs of layers, and compute each once more on the way back: less memory, more time."""
    compile: bool = False
    """Compile the towers by torch.compile; it needs a C++ compiler, and the first steps take long."""
    evaluate_every: int = 100
    """Steps between two measurements on the validation rows."""
    checkpoint_every: int | None = None
    """Steps between two checkpoints; none: one after each measurement."""
    patience: int | None = None
    """Measurements without a better recall sum before the run stops; none: it never stops early."""
    keep: Literal["best", "last"] = "last"
    """Which weights the run ends with: those of the best recall sum, or the last."""
    min_safe_recall: float | None = None
    """Floor of R@1 of safe texts and pictures, as a share of the starting model's; none: not watched."""
    min_zero_shot: float | None = None
    """The same of zero-shot accuracy; the validation rows must have boxes."""
    guard_patience: int = 1
    """Measurements in a row below a floor after which the run stops (`training.guard`)."""
    log_every: int = 10
    """Steps between two lines of log.jsonl."""
    seed: int = 0
    """Seed of the order of the rows, of dropout and of freshly drawn weights."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "log_every", "guard_patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 1.")
        for name in ("chunk_size", "checkpoint_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}: expected at least 1, or none.")
        if self.batch_size < 2:
            raise ConfigError("batch_size=1: a contrastive loss needs negatives; expected at least 2.")
        if self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps={self.warmup_steps}: expected 0 or more.")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed={self.seed}: expected 0 or more, and less than 2^31.")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"weight_decay={self.weight_decay}: expected a number, 0 or more.")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 0 and less than 1.")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ConfigError(f"max_grad_norm={self.max_grad_norm}: expected more than 0, or none.")
        for name in ("min_safe_recall", "min_zero_shot"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise ConfigError(
                    f"{name}={share}: expected a share of what the starting model has, above 0 and at most 1."
                )
