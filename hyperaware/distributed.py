"""Several processes, one batch: the only place that knows of `torch.distributed`."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["gather"]


def gather(x: Tensor) -> Tensor:
    """The rows of all processes in the order of their ranks, on every process; in one process `x` itself.

    Gradients flow back to the process that a row came from, summed over processes. If each computes the
    loss of the whole batch and gradients of the weights are then averaged over processes, as data-parallel
    training does, the result is that of one process on the whole batch. Every process must call it, with
    equally many rows.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return x
    return _Gather.apply(x) if x.requires_grad else torch.cat(_everywhere(x))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.cat(_everywhere(x))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(summed)
        return summed.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]


def _everywhere(x: Tensor) -> list[Tensor]:
    x = x.detach().contiguous()
    parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, x)
    return parts
