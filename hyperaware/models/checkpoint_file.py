"""State dicts: read from safetensors, or from pickles that may hold nothing but tensors; and written."""

import json
import math
import pickle
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.files import whole

__all__ = [
    "fold_patch_bias",
    "logarithm",
    "read_folder_weights",
    "read_weights",
    "require_fit",
    "write_weights",
]

WRAPPERS = ("model", "state_dict")
"""Under these keys training code keeps the weights beside its optimiser's state."""
WHOLE = ("model.safetensors", "pytorch_model.bin")
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
POINTER = b"version https://git-lfs"
"""So begins what git leaves in the place of a large file that was not fetched."""
LARGEST_LOG = 80.0
"""Of what float32 can hold, with room for a product."""
ASKED_FOR = re.compile(r"Unsupported global: GLOBAL (\S+)")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of one file by name, on the CPU; `module.` of data-parallel training is taken off.

    A pickle is read with `weights_only=True`: code in it is refused, not run.

    Raises:
        ModelError: the file is missing, damaged, holds code, or holds no tensors.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing. Give the file of the checkpoint's weights.")
    with path.open("rb") as file:
        head = file.read(len(POINTER))
    if head == POINTER:
        raise ModelError(f"{path} is a pointer of git-lfs, not the file itself: run `git lfs pull` there.")
    try:
        if path.suffix == ".safetensors":
            document: Any = load_file(path)
        else:
            zipped = head.startswith(b"PK")  # files before torch 1.6 are not, and must be read whole
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}).") from error
    except Exception as error:  # whatever torch makes of a file that is none of its own
        raise ModelError(
            f"{path} cannot be read as a file of tensors only ({_reason(error)}). It is damaged, a "
            "TorchScript archive, or holds code, which is never run here. Ask for a state dict or "
            "safetensors."
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(document, Mapping) and isinstance(document.get(wrapper), Mapping):
            document = document[wrapper]
    tensors = {
        name: value for name, value in _items(document) if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ModelError(f"{path} holds no tensors by name: it is no state dict.")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _items(document: Any) -> list[tuple[str, Any]]:
    return list(document.items()) if isinstance(document, Mapping) else []


def _reason(error: Exception) -> str:
    """What torch says, without its advice to read the file unsafely."""
    if not isinstance(error, pickle.UnpicklingError):
        return textwrap.shorten(str(error), 200)
    asked = ASKED_FOR.search(str(error))
    return "it is no pickle of tensors" if asked is None else f"it asks for {asked[1]}"


def write_weights(weights: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all, readable by those who may read what is made beside it.

    Raises:
        ModelError: it cannot be written; the disk is full, say.
    """
    with whole(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode
        try:
            save_file(dict(weights), partial, metadata=dict(metadata))
        except SafetensorError as error:
            raise ModelError(f"{path} could not be written ({error}).") from error
        partial.chmod(mode)  # safetensors makes files that nobody else may read, not even a package's users


def logarithm(weights: Mapping[str, Tensor], name: str, what: object) -> float:
    """The one number of the tensor `name`, of which published files keep the logarithm.

    Raises:
        ModelError: it holds more or fewer numbers, one that is not finite, or no logarithm of a float32.
    """
    tensor = weights[name]
    value = float(tensor) if tensor.numel() == 1 else math.nan
    if not abs(value) <= LARGEST_LOG:
        seen = tensor.flatten()[:3].tolist()
        raise ModelError(f"{name!r} of {what} is {seen}, expected one finite number: a logarithm.")
    return value


def read_folder_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a transformers folder, in one file or in shards; safetensors are preferred.

    Raises:
        ModelError: there are none, or a shard is missing or damaged.
    """
    for name, index in zip(WHOLE, SHARDED, strict=True):
        if (folder / name).is_file():
            return read_weights(folder / name)
        if (folder / index).is_file():
            try:
                shards = sorted(set(json.loads((folder / index).read_text())["weight_map"].values()))
                paths = [folder / shard for shard in shards]
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise ModelError(f"{folder / index} is damaged ({error!r}). Fetch it again.") from error
            return {name: tensor for path in paths for name, tensor in read_weights(path).items()}
    raise ModelError(f"{folder} has no weights: expected one of {', '.join((*WHOLE, *SHARDED))}.")


def require_fit(weights: Mapping[str, Tensor], towers: torch.nn.Module, what: str) -> None:
    """Refuses weights that are not those of `towers`, names and shapes, or are not finite (`ModelError`)."""
    expected = {name: tensor.shape for name, tensor in towers.state_dict().items()}
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    other = sorted(n for n in expected.keys() & weights.keys() if expected[n] != weights[n].shape)
    if not (missing or unknown or other):
        _require_finite(weights, what)
        return
    parts = [
        f"{len(names)} {label} (such as {names[0]})"
        for label, names in (("missing", missing), ("unknown", unknown), ("of another shape", other))
        if names
    ]
    raise ModelError(f"{what} does not fit its architecture: of its tensors {', '.join(parts)}.")


def _require_finite(weights: Mapping[str, Tensor], what: str) -> None:
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            raise ModelError(f"{name} of {what} holds {tensor.dtype}: quantised weights are not read.")
        if not torch.isfinite(tensor.float()).all():
            raise ModelError(f"{name} of {what} holds numbers that are not finite: the file is damaged.")


def fold_patch_bias(weights: dict[str, Tensor]) -> None:
    """Move a bias of the patch embedding, which CLIP does not have, into the patches' positions, in place.

    Exact: position embeddings are added to what the patch embedding gives. The class token, position 0, has
    no patch.

    Raises:
        ModelError: bias and positions do not fit each other.
    """
    bias = weights.pop("vision_model.embeddings.patch_embedding.bias", None)
    if bias is None:
        return
    positions = weights.get("vision_model.embeddings.position_embedding.weight")
    if positions is None or bias.shape != positions.shape[1:]:
        raise ModelError(
            f"the bias of the patch embedding has the shape {tuple(bias.shape)}, the position embeddings "
            f"{None if positions is None else tuple(positions.shape)}: they are of no one vision tower."
        )
    positions = positions.clone()
    positions[1:] += bias
    weights["vision_model.embeddings.position_embedding.weight"] = positions
