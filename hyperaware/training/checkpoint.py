"""Checkpoints without pickle: one safetensors file with weights, optimiser state and random state."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from hyperaware.errors import TrainingError
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(
    path: Path, *, model: DualEncoder, optimizer: Optimizer, best: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Write everything that a run needs to go on to the bit; `state` holds JSON values. Atomic."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    tensors["random"] = torch.get_rng_state()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"state": json.dumps(state)})
    os.replace(temporary, path)


def read_checkpoint(
    path: Path, *, model: DualEncoder, optimizer: Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Restore model, optimiser and random state in place; returns `state` and the best weights so far.

    Raises:
        TrainingError: the checkpoint belongs to another model or method.
    """
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    weights = _part(tensors, "model.")
    if weights.keys() != model.state_dict().keys():
        raise TrainingError(
            f"{path} was written by another model or method. Choose another --out, or delete this folder."
        )
    model.load_state_dict(weights)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random"])
    return state, _part(tensors, "best.")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
