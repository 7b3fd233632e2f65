"""What a method decides about all training rows once, before the first step."""

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Two numbers a row, made from the reference points of all training rows by `Method.plan`."""

    targets: Tensor
    """Index of the row whose safe pair is the target of this row, (n,)."""
    first_epoch: Tensor
    """The epoch, from 0, in which this row is trained on for the first time, (n,)."""
