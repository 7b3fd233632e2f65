"""The state of torch's random generators, so that dropout can be replayed."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["RandomState"]


@dataclass(frozen=True)
class RandomState:
    """Of the CPU and, where there is one, of this process's GPU."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls) -> "RandomState":
        """The state of this moment."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        return cls(torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Go back to this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.cuda)
