"""A model as one safetensors file: its weights, and in the file's metadata all the other files of its folder.

`safetensors` alone opens it and sees the weights; `pretrained.load` opens it as the model that it is. Values
of the metadata are texts, so each of the folder's JSON files stands there as it is, by its name.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from hyperaware.errors import ModelError
from hyperaware.files import whole
from hyperaware.models.checkpoint_file import write_weights
from hyperaware.models.hub import store

__all__ = ["SUFFIX", "pack", "unpack"]

SUFFIX = ".safetensors"
WEIGHTS = "model.safetensors"
REQUIRED = ("config.json", "tokenizer.json")
OPTIONAL = ("bounds.json", "calibration.json")


def pack(folder: Path, file: Path) -> None:
    """Write the model of a folder that `pretrained.save` wrote as one file, with its bounds if any."""
    texts = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in (*REQUIRED, *OPTIONAL)
        if (folder / name).is_file()
    }
    write_weights(load_file(folder / WEIGHTS), file, metadata={"format": "pt", **texts})


def unpack(file: Path) -> Path:
    """The folder of a packed model, in the store of converted models; made at the first call.

    It is named by the whole file's content, so that another file, or a damaged one, is never taken for it.

    Raises:
        ModelError: the file is damaged, or holds no model of hyperaware.
    """
    texts = _texts(file)
    folder = store() / f"file-{_digest(file)[:32]}"
    if (folder / WEIGHTS).is_file():  # written last
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with whole(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    with whole(folder / WEIGHTS) as partial:
        shutil.copyfile(file, partial)
    return folder


def _texts(file: Path) -> dict[str, str]:
    try:
        with safe_open(file, framework="pt") as weights:
            metadata: dict[str, Any] = weights.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is not a readable safetensors file ({error}).") from error
    missing = [name for name in REQUIRED if name not in metadata]
    if missing:
        raise ModelError(
            f"{file} holds weights alone, without {' and '.join(missing)} in its metadata. Name the model's "
            "folder, or a file that `hyperaware export --format safetensors` wrote."
        )
    return {name: metadata[name] for name in (*REQUIRED, *OPTIONAL) if name in metadata}


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
