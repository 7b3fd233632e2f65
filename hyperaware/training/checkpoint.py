"""Checkpoints without pickle: one safetensors file with weights, optimiser state and random state."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from hyperaware import distributed
from hyperaware.errors import TrainingError
from hyperaware.files import whole
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.random_state import RandomState

__all__ = ["read_checkpoint", "read_state", "refuse_other_run", "write_checkpoint"]

FREE_TO_CHANGE = (
    "steps",
    "patience",
    "min_safe_recall",
    "min_zero_shot",
    "guard_patience",
    "log_every",
    "checkpoint_every",
    "chunk_size",
    "gradient_checkpointing",
    "compile",
)
"""Settings that a resumed run may have changed; any other makes it another run."""


def write_checkpoint(
    path: Path, *, model: DualEncoder, optimizer: Optimizer, best: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Write everything that a run needs to go on to the bit; `state` holds JSON values. Atomic.

    Every process calls it, for the random state of each; the main one writes.

    Raises:
        TrainingError: the disk refuses, on the main process.
    """
    randoms = distributed.each(RandomState.now())
    if not distributed.is_main():
        return
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    for rank, random in enumerate(randoms):
        tensors[_random_name(rank, "cpu")] = random.cpu
        if random.cuda is not None:
            tensors[_random_name(rank, "cuda")] = random.cuda
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    state = {"processes": distributed.processes()} | state
    try:
        with whole(path) as partial:
            save_file(tensors, partial, metadata={"state": json.dumps(state)})
    except SafetensorError as error:
        raise TrainingError(
            f"{path} cannot be written ({error}). Make room; the same command then goes on."
        ) from error


def read_state(path: Path) -> dict[str, Any]:
    """The JSON values of a checkpoint, without its tensors.

    Raises:
        TrainingError: the file is damaged, or was written by another number of processes.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path} is not a readable checkpoint ({error}). Delete it to start afresh."
        ) from error
    before, now = state.get("processes", 1), distributed.processes()
    if before != now:
        raise TrainingError(
            f"{path} was written by {before} processes, and {now} would go on. Start {before}, each of which "
            "has a random state of its own there, or choose another folder to start afresh."
        )
    return state


def refuse_other_run(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare the run that a checkpoint was written by with the one that would go on from it.

    Raises:
        TrainingError: they differ in more than `FREE_TO_CHANGE`.
    """
    free = {f"training.{name}" for name in FREE_TO_CHANGE}
    other = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in sorted({*before, *now} - free)
        if before.get(name) != now.get(name)
    ]
    if other:
        raise TrainingError(
            f"{path} belongs to another run: {'; '.join(other)}. "
            "Choose another --out, or delete this folder to start afresh."
        )


def read_checkpoint(path: Path, *, model: DualEncoder, optimizer: Optimizer) -> dict[str, Tensor]:
    """Restore model, optimiser and this process's random state in place; returns the best weights so far."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    model.load_state_dict(_part(tensors, "model."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    rank = distributed.rank()
    RandomState(tensors[_random_name(rank, "cpu")], tensors.get(_random_name(rank, "cuda"))).restore()
    return _part(tensors, "best.")


def _random_name(rank: int, device: str) -> str:
    return f"random.{device}" if rank == 0 else f"random.{rank}.{device}"


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
