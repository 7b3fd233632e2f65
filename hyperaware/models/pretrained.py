"""Models on disk: folders of config.json, model.safetensors, tokenizer.json. No pickle is written or read."""

import hashlib
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from hyperaware.errors import ModelError
from hyperaware.models.adapters import merged
from hyperaware.models.card import card
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.options import unknown_name

__all__ = ["DEFAULT", "SHIPPED", "load", "load_folder", "save", "shipped_folder"]

FORMAT = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
SHIPPED = ("world", "world-hysac", "world-hysac-ordered")
"""Small models inside the package. They know the embedded world and nothing else."""
DEFAULT = "world-hysac-ordered"
"""The shipped model that is taken where none is named."""


def load(name: str | os.PathLike[str]) -> DualEncoder:
    """The model called `name` (one of `SHIPPED`) or in the folder `name`, ready for use.

    Raises:
        ConfigError: no such model or folder.
        ModelError: the folder is incomplete, damaged or of another format.
    """
    if str(name) in SHIPPED:
        folder = shipped_folder(str(name))
        verify_checksums(folder)
        return load_folder(folder)
    folder = Path(name)
    if not folder.is_dir():
        raise unknown_name("model (shipped, or a folder)", str(name), SHIPPED)
    return load_folder(folder)


def shipped_folder(name: str) -> Path:
    """Where a shipped model lies inside the package."""
    return Path(__file__).parent.parent / "shipped" / name


def verify_checksums(folder: Path) -> None:
    """Compare the files of a shipped model with its SHA256SUMS.

    Raises:
        ModelError: a file is missing or differs.
    """
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise ModelError(f"{sums} is missing: the package is incomplete. Install hyperaware again.")
    for expected, name in (line.split("  ") for line in sums.read_text().splitlines()):
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ModelError(f"{path} is missing or damaged: its checksum differs. Install hyperaware again.")


def save(model: DualEncoder, folder: str | os.PathLike[str], *, dtype: torch.dtype = torch.float32) -> None:
    """Write the model to `folder`: adapters merged, weights in `dtype` (scalars always in float32)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = merged(model)
    scalars = {name for name, _ in plain.scalars()}
    weights = {
        name: tensor.detach().cpu().to(torch.float32 if name in scalars else dtype).contiguous()
        for name, tensor in plain.state_dict().items()
    }
    temporary = folder / (WEIGHTS + ".part")
    temporary.touch()
    mode = temporary.stat().st_mode
    save_file(weights, temporary, metadata={"format": "pt"})
    temporary.chmod(mode)  # safetensors makes files that nobody else may read, not even a package's users
    os.replace(temporary, folder / WEIGHTS)
    model.tokenizer.save_pretrained(folder)
    (folder / CONFIG).write_text(json.dumps(_config(plain), indent=2) + "\n")
    (folder / "README.md").write_text(card(plain))


def _config(model: DualEncoder) -> dict[str, Any]:
    clip = model.config.to_dict()
    for derived in ("transformers_version", "_name_or_path"):
        clip.pop(derived, None)
    return {
        "format": FORMAT,
        "name": model.name,
        "architecture": "clip",
        "space": model.space.name,
        "preprocess": model.preprocess.config(),
        "provenance": model.provenance,
        "clip": clip,
    }


def load_folder(folder: str | os.PathLike[str]) -> DualEncoder:
    """The model of a folder that `save` wrote, in eval mode, float32.

    Raises:
        ModelError: the folder is incomplete, damaged or of another format.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        model = _from_config(config, folder)
    except (KeyError, TypeError, ValueError, StrictDataclassError) as error:
        raise ModelError(
            f"{folder / CONFIG} is incomplete or damaged ({error!r}). Save the model again."
        ) from error
    _load_weights(model, folder / WEIGHTS)
    return model.eval()


def _from_config(config: dict[str, Any], folder: Path) -> DualEncoder:
    """The model without its weights."""
    clip_config = CLIPConfig(**config["clip"])
    text: Any = clip_config.text_config
    tokenizer = Tokenizer.from_pretrained(
        folder,
        context_length=text.max_position_embeddings,
        eos_id=text.eos_token_id,
        pad_id=text.pad_token_id,
    )
    model = DualEncoder(
        CLIPModel(clip_config),
        tokenizer=tokenizer,
        preprocess=Preprocess.from_config(config["preprocess"]),
    )
    if config["space"] not in ("sphere", "euclid", "lorentz"):
        raise ValueError(f"unknown space {config['space']!r}")
    if config["space"] == "lorentz":
        model.use_lorentz(alpha_image=1.0, alpha_text=1.0)  # the values follow from the file
    if config["space"] == "euclid":
        model.use_euclid(alpha_image=1.0, alpha_text=1.0)
    model.name, model.folder, model.provenance = config["name"], folder, config["provenance"]
    return model


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise ModelError(f"{folder} has no config.json: it is not a model folder of hyperaware.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}). Save the model again.") from error
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise ModelError(
            f"{path} has format {found!r}, this version reads {FORMAT}. "
            "Save the model again with this version of hyperaware."
        )
    return config


def _load_weights(model: DualEncoder, path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is missing: the model folder is incomplete.")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}).") from error
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 300)
        raise ModelError(f"{path} does not fit its {CONFIG}: {reason} Save the model again.") from error
