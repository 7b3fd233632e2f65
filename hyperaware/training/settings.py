"""How long, how fast and how often: what every run has, whatever its method."""

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
    """Quadruplets a step: twice as many pictures and twice as many texts."""
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
    evaluate_every: int = 100
    """Steps between two measurements on the validation rows, each followed by a checkpoint."""
    patience: int | None = None
    """Measurements without a better recall sum before the run stops; none: it never stops early."""
    keep: Literal["best", "last"] = "last"
    """Which weights the run ends with: those of the best recall sum, or the last."""
    log_every: int = 10
    """Steps between two lines of log.jsonl."""
    seed: int = 0
    """Seed of the order of the rows, of dropout and of freshly drawn weights."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 1.")
        if self.batch_size < 2:
            raise ConfigError("batch_size=1: a contrastive loss needs negatives; expected at least 2.")
