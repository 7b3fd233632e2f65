"""Edits of saved models: a model folder with other weights, made on the bytes of the file.

Nothing of `model.safetensors` is touched but the selected numbers, in the format that they are stored in. So
an edit that is reverted gives back the identical file.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyperaware.editing.patch import Patch
from hyperaware.errors import ConfigError, ModelError
from hyperaware.models.card import card
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import CONFIG, WEIGHTS, load_folder
from hyperaware.models.tokenizer import FILE as TOKENIZER

__all__ = ["own_folder", "save_edited", "stored_weights"]

CARD = "README.md"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Formats whose every number float32 holds, in which models are loaded."""


def save_edited(
    model: DualEncoder, patch: Patch, folder: str | os.PathLike[str], *, back: bool = False
) -> DualEncoder:
    """A copy of the saved model `model` with the patch applied, or with `back` reverted, written to `folder`.

    Its config.json tells of the edit. Bounds are not copied: they were measured with other weights.

    Raises:
        ConfigError: `folder` is the model's own, or the model lies in none.
        ModelError: the patch is for another model, or what was written is not the expected model.
    """
    out, source = Path(folder), own_folder(model, folder)
    patch.require(model, back=back)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / (WEIGHTS + ".part")
    shutil.copyfile(source / WEIGHTS, partial)
    with stored_weights(partial) as weights:
        patch.change(weights, back=back)
    os.replace(partial, out / WEIGHTS)
    shutil.copyfile(source / TOKENIZER, out / TOKENIZER)
    config = json.loads((source / CONFIG).read_text())
    config["name"], config["provenance"] = _told(config, patch, back=back)
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    edited = load_folder(out)
    patch.require(edited, back=not back)
    (out / CARD).write_text(card(edited))
    return edited


def own_folder(model: DualEncoder, out: str | os.PathLike[str]) -> Path:
    """Where the model lies, once it is sure that an edited copy in `out` would lie elsewhere.

    Raises:
        ConfigError: it lies in `out`, or nowhere.
    """
    if model.folder is None or Path(out).resolve() == model.folder.resolve():
        raise ConfigError(
            f"the edited model needs a folder of its own, other than the model's, {model.folder}."
        )
    return model.folder


def _told(config: Mapping[str, Any], patch: Patch, *, back: bool) -> tuple[str, dict[str, Any]]:
    """The name and the provenance of the edited model: one edit more in its list, or with `back` one less."""
    name = config["name"]
    provenance = {
        key: value for key, value in config["provenance"].items() if key not in ("shipped", "edits")
    }
    edits = list(config["provenance"].get("edits", []))
    if back:
        name = edits.pop()["name"] if edits else name
    else:
        edits.append({"name": name, "fingerprint": patch.model_before, **patch.made_by})
        name = f"{name}+{patch.made_by['method']}"
    return name, provenance | ({"edits": edits} if edits else {})


@contextmanager
def stored_weights(path: Path) -> Iterator[dict[str, Tensor]]:
    """The tensors of `DTYPES` in a safetensors file by name, as views: writing to them changes the file.

    Raises:
        ModelError: it is no safetensors file.
    """
    memory = np.memmap(path, dtype=np.uint8, mode="r+")
    try:
        length = int.from_bytes(memory[:8].tobytes(), "little")
        header = json.loads(memory[8 : 8 + length].tobytes())
        entries = {name: entry for name, entry in header.items() if entry.get("dtype") in DTYPES}
        weights = {name: _view(memory, 8 + length, entry) for name, entry in entries.items()}
    except (ValueError, AttributeError, KeyError, RuntimeError) as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}).") from error
    yield weights
    memory.flush()


def _view(memory: np.memmap, start: int, entry: Mapping[str, Any]) -> Tensor:
    first, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    flat = torch.frombuffer(memory, dtype=dtype, count=(end - first) // dtype.itemsize, offset=start + first)
    return flat.view(entry["shape"])
