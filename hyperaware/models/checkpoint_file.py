"""State dicts of published checkpoints: safetensors, or pickles that may hold nothing but tensors."""

import json
import pickle
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hyperaware.errors import ModelError

__all__ = ["fold_patch_bias", "read_folder_weights", "read_weights", "require_fit"]

WRAPPERS = ("model", "state_dict")
"""Under these keys training code keeps the weights beside its optimiser's state."""
WHOLE = ("model.safetensors", "pytorch_model.bin")
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of one file by name, on the CPU; `module.` of data-parallel training is taken off.

    A pickle is read with `weights_only=True`: code in it is refused, not run.

    Raises:
        ModelError: the file is missing, damaged, holds code, or holds no tensors.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing. Give the file of the checkpoint's weights.")
    try:
        if path.suffix == ".safetensors":
            document: Any = load_file(path)
        else:
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=_can_be_mapped(path))
    except SafetensorError as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}).") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise ModelError(
            f"{path} cannot be read as a file of tensors only ({reason}). It is damaged, a TorchScript "
            "archive, or holds code, which is never run here. Ask for a state dict or safetensors."
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(document, Mapping) and isinstance(document.get(wrapper), Mapping):
            document = document[wrapper]
    tensors = {name: value for name, value in _items(document) if isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"{path} holds no tensors by name: it is no state dict.")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _items(document: Any) -> list[tuple[str, Any]]:
    return list(document.items()) if isinstance(document, Mapping) else []


def _can_be_mapped(path: Path) -> bool:
    """Files before torch 1.6 are no zip archives and must be read whole."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def read_folder_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a transformers folder, in one file or in shards; safetensors are preferred.

    Raises:
        ModelError: there are none, or a shard is missing or damaged.
    """
    for whole, index in zip(WHOLE, SHARDED, strict=True):
        if (folder / whole).is_file():
            return read_weights(folder / whole)
        if (folder / index).is_file():
            try:
                shards = sorted(set(json.loads((folder / index).read_text())["weight_map"].values()))
            except (ValueError, KeyError, AttributeError) as error:
                raise ModelError(f"{folder / index} is damaged ({error!r}).") from error
            return {name: t for shard in shards for name, t in read_weights(folder / shard).items()}
    raise ModelError(f"{folder} has no weights: expected one of {', '.join((*WHOLE, *SHARDED))}.")


def require_fit(weights: Mapping[str, Tensor], towers: torch.nn.Module, what: str) -> None:
    """Refuses weights that are not exactly those of `towers`, names and shapes (`ModelError`)."""
    expected = {name: tensor.shape for name, tensor in towers.state_dict().items()}
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    other = sorted(n for n in expected.keys() & weights.keys() if expected[n] != weights[n].shape)
    if not (missing or unknown or other):
        return
    parts = [
        f"{len(names)} {label} (such as {names[0]})"
        for label, names in (("missing", missing), ("unknown", unknown), ("of another shape", other))
        if names
    ]
    raise ModelError(f"{what} does not fit its architecture: of its tensors {', '.join(parts)}.")


def fold_patch_bias(weights: dict[str, Tensor]) -> None:
    """Move a bias of the patch embedding, which CLIP does not have, into the patches' positions, in place.

    Exact: position embeddings are added to what the patch embedding gives. The class token, position 0, has
    no patch.
    """
    bias = weights.pop("vision_model.embeddings.patch_embedding.bias", None)
    if bias is not None:
        positions = weights["vision_model.embeddings.position_embedding.weight"].clone()
        positions[1:] += bias
        weights["vision_model.embeddings.position_embedding.weight"] = positions
