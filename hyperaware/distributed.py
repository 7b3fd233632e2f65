"""Several processes, one batch: the only place that knows of `torch.distributed`.

A launcher (`accelerate launch`, `torchrun`) starts the same command several times and tells each its rank.
Without one everything here does nothing. Every process must call the same functions in the same order.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from hyperaware.errors import HyperawareError

__all__ = [
    "any_process",
    "average",
    "by_main",
    "each",
    "from_main",
    "gather",
    "is_main",
    "join",
    "leave",
    "main_first",
    "neighbours",
    "processes",
    "rank",
    "same",
    "share",
    "shares",
    "wait",
]

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=6)
"""How long processes wait for the main one, which draws pictures or measures bounds alone."""
BUCKET = 2**24
"""Gradients that are sent at once: 64 MiB in float32."""


# -- the group ---------------------------------------------------------------------------------------------


def join() -> None:
    """Meet the other processes, where a launcher has started several.

    Accelerate picks the device and the backend: nccl between GPUs, gloo between CPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def leave() -> None:
    """Part from the other processes, at the very end."""
    if processes() > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()


def processes() -> int:
    """How many processes work on a batch together."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return torch.distributed.get_rank() if processes() > 1 else 0


def neighbours() -> int:
    """How many of the processes share this machine, as the launcher says; one that does not say: 1."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes files and speaks."""
    return rank() == 0


def wait() -> None:
    """Wait until every process is here."""
    if processes() > 1:
        torch.distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """The block runs in the main process, and then in the others: they find what it has written.

    Where it fails in the main process, the others come to the same error by themselves.
    """
    if not is_main():
        wait()
    try:
        yield
    except Exception:
        if is_main():
            wait()
        raise
    if is_main():
        wait()


# -- rows --------------------------------------------------------------------------------------------------


def shares(rows: int) -> list[int]:
    """How many of the rows each process has, in the order of their ranks; no two differ by more than one.

    >>> shares(5)
    [5]
    """
    count = processes()
    return [rows // count + (index < rows % count) for index in range(count)]


def share(items: Sequence[T]) -> Sequence[T]:
    """Those of the items that are this process's; all of them in the order of ranks are the whole."""
    sizes = shares(len(items))
    start = sum(sizes[: rank()])
    return items[start : start + sizes[rank()]]


def gather(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes in the order of their ranks, on every process; in one process `x` itself.

    `sizes`: how many rows each has, as of `shares`. Gradients flow back to the process that a row came from,
    times the number of processes. So if each computes the same loss of all rows, and gradients of the weights
    are then averaged over processes, the result is that of one process with all rows.
    """
    if processes() == 1:
        return x
    longest = max(sizes)
    padded = torch.cat([x, x.new_zeros(longest - len(x), *x.shape[1:])]) if len(x) < longest else x
    every = _Gather.apply(padded) if x.requires_grad else _everywhere(padded)
    parts = [part[:size] for part, size in zip(every.split(longest), sizes, strict=True)]
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _everywhere(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return processes() * gradients[0].chunk(processes())[rank()]


def _everywhere(x: Tensor) -> Tensor:
    x = x.detach().contiguous()
    parts = [torch.empty_like(x) for _ in range(processes())]
    torch.distributed.all_gather(parts, x)
    return torch.cat(parts)


# -- weights -----------------------------------------------------------------------------------------------


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over processes; a few large messages instead of many small ones."""
    if processes() == 1:
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        torch.distributed.all_reduce(flat)
        flat /= processes()
        for tensor, mean in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(t.numel() for t in bucket) + tensor.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def same(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by that of the main process."""
    if processes() > 1:
        for tensor in tensors:
            torch.distributed.broadcast(tensor.detach(), 0)


# -- decisions ---------------------------------------------------------------------------------------------


def from_main(value: T) -> T:
    """The main process's value, on every process."""
    if processes() == 1:
        return value
    values = [value]
    torch.distributed.broadcast_object_list(values, 0)
    return values[0]


def by_main(work: Callable[[], T]) -> T:
    """What the main process alone makes, on every process; errors of it and of the disk are raised on all."""
    value: Any = None
    error: Exception | None = None
    if is_main():
        try:
            value = work()
        except (HyperawareError, OSError) as caught:
            error = caught
    value, error = from_main((value, error))
    if error is not None:
        raise error
    return value


def each(value: T) -> list[T]:
    """The values of all processes in the order of their ranks, on every process."""
    if processes() == 1:
        return [value]
    values: list[Any] = [None] * processes()
    torch.distributed.all_gather_object(values, value)
    return values


def any_process(condition: Tensor) -> bool:
    """Whether the condition, one truth value, holds in any process: so that all of them stop together."""
    if processes() == 1:
        return bool(condition)
    flag = condition.float()
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag)
