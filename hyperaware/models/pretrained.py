"""Models on disk: folders of config.json, model.safetensors, tokenizer.json; and by name those of others.

No pickle is written; those of published checkpoints are read as tensors only (`checkpoint_file`).
"""

import hashlib
import json
import os
import textwrap
import warnings
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file

from hyperaware.errors import ConfigError, ModelError
from hyperaware.models.adapters import merged
from hyperaware.models.architectures import PART, architecture_of, bare, fill
from hyperaware.models.card import card
from hyperaware.models.checkpoint_file import write_weights
from hyperaware.models.devices import device_of
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.hub import HubName, parse, store
from hyperaware.models.huggingface import is_transformers_folder
from hyperaware.models.hysac_checkpoint import read_hysac, remarks_on_curv
from hyperaware.models.licences import licence_of
from hyperaware.models.obtain import base_of, find
from hyperaware.models.published import load_transformers, origin, read_hub_folder
from hyperaware.models.single_file import SUFFIX, unpack
from hyperaware.models.squash import preprocess_from_config
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.moderation.published_bounds import read_published_bounds, remarks_on_bounds
from hyperaware.options import unknown_name

__all__ = [
    "DEFAULT",
    "SHIPPED",
    "import_hysac",
    "load",
    "load_folder",
    "load_tokenizer",
    "save",
    "shipped_folder",
]

FORMAT = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
HYSAC = "hysac_model.pth"
SHIPPED = ("world", "world-hysac", "world-hysac-ordered")
"""Small models inside the package. They know the embedded world and nothing else."""
DEFAULT = "world-hysac-ordered"
"""The shipped model that is taken where none is named."""


def load(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    download: bool = False,
    accept_license: str | None = None,
    device: str | torch.device = "cpu",
) -> DualEncoder:
    """A model, ready for use: one of `SHIPPED`, a folder (ours or transformers'), `hf:ORG/NAME[@REVISION]`.

    Or a file of `hyperaware export --format safetensors`, which is unpacked into the store at its first use.
    Nothing is fetched unless `download` is set: a Hub model must be on this machine (`hyperaware download`).

    Args:
        revision: of a Hub model: branch, tag or commit. [default: what the machine has of `main`]
        download: fetch a Hub model, and the base that it needs, before loading it.
        accept_license: the name of a non-commercial licence, which is needed once for such a Hub model.
        device: where it computes (`devices.device_of`). The points that it gives lie on the CPU.

    Raises:
        ConfigError: no such model, folder or device; not on this machine; a licence that was not accepted.
        ModelError: the folder is incomplete, damaged or of another format.
    """
    place = device_of(device)
    model = _load(str(name), revision=revision, download=download, accepted=accept_license)
    return model.to(place)


def _load(name: str, *, revision: str | None, download: bool, accepted: str | None) -> DualEncoder:
    if name in SHIPPED and revision is None:
        folder = shipped_folder(name)
        verify_checksums(folder)
        return load_folder(folder)
    hub_name = parse(name, revision=revision)
    if hub_name is not None:
        return _load_from_hub(hub_name, download=download, accepted=accepted)
    if revision is not None:
        raise ConfigError(f"got the revision {revision!r} of {name!r}, but only hf:ORG/NAME has revisions.")
    folder = Path(name)
    if folder.suffix == SUFFIX and folder.is_file():
        return load_folder(unpack(folder))
    if not folder.is_dir():
        raise unknown_name("model (shipped, a folder, or hf:ORG/NAME)", name, SHIPPED)
    return load_transformers(folder) if is_transformers_folder(folder) else load_folder(folder)


def _load_from_hub(name: HubName, *, download: bool, accepted: str | None) -> DualEncoder:
    found = find(name, download=download, accepted=accepted)
    if not (found / HYSAC).is_file():
        return read_hub_folder(name, found) if is_transformers_folder(found) else load_folder(found)
    converted = store() / f"{name.repo.replace('/', '--')}-{found.name}"
    if not (converted / "bounds.json").is_file():  # written last
        import_hysac(
            weights=found / HYSAC,
            bounds=found / "hysac_bounds.json",
            backbone=base_of(name),
            out=converted,
            provenance=origin(str(name), licence_of(name.repo, found), commit=found.name),
            name=name.repo,
        )
    model = load_folder(converted)
    for remark in model.provenance.get("remarks", ()):
        warnings.warn(f"{name}: {remark}", stacklevel=4)
    return model


def import_hysac(
    *,
    weights: Path,
    bounds: Path,
    backbone: Path,
    out: Path,
    provenance: dict[str, Any],
    name: str = "hysac",
    tokenizer: Path | None = None,
) -> list[str]:
    """Write published HySAC weights and bounds as a model folder; what is to be said of them, if anything.

    The remarks are kept in the model's provenance too.

    Raises:
        ModelError: the weights are of another kind, or do not fit the backbone.
        SafetyError: the bounds are incomplete.
    """
    model = read_hysac(weights, backbone=backbone, tokenizer=tokenizer)
    converted = read_published_bounds(bounds, model_fingerprint=model.fingerprint)
    remarks = [*remarks_on_curv(model.space.config()["curv"]), *remarks_on_bounds(converted)]
    model.name, model.provenance = name, provenance | ({"remarks": remarks} if remarks else {})
    save(model, out)
    converted.save(out)
    return remarks


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
    write_weights(weights, folder / WEIGHTS, metadata={"format": "pt"})
    model.tokenizer.save_pretrained(folder)
    (folder / CONFIG).write_text(json.dumps(_config(plain), indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(plain), encoding="utf-8")


def _config(model: DualEncoder) -> dict[str, Any]:
    towers = model.config.to_dict()
    for derived in ("transformers_version", "_name_or_path"):
        towers.pop(derived, None)
    architecture = architecture_of(model.clip)
    return {
        "format": FORMAT,
        "name": model.name,
        "architecture": architecture,
        "space": model.space.name,
        "preprocess": model.preprocess.config(),
        "provenance": model.provenance,
        PART[architecture]: towers,
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
    except (KeyError, TypeError, ValueError, RuntimeError, StrictDataclassError) as error:
        raise _damaged(folder, error) from error
    _load_weights(model, folder / WEIGHTS)
    return model.eval()


def _from_config(config: dict[str, Any], folder: Path) -> DualEncoder:
    """The model without its weights."""
    towers = _towers(config)
    model = DualEncoder(
        towers,
        tokenizer=_tokenizer(towers.config, folder),
        preprocess=preprocess_from_config(config["preprocess"]),
    )
    if config["space"] not in ("sphere", "euclid", "lorentz"):
        raise ValueError(f"unknown space {config['space']!r}")
    if config["space"] == "lorentz":
        model.use_lorentz(alpha_image=1.0, alpha_text=1.0)  # the values follow from the file
    if config["space"] == "euclid":
        model.use_euclid(alpha_image=1.0, alpha_text=1.0)
    if not isinstance(config["name"], str) or not isinstance(config["provenance"], dict):
        raise TypeError(f"name {config['name']!r} and provenance {config['provenance']!r}")
    model.name, model.folder, model.provenance = config["name"], folder, config["provenance"]
    return model


def _towers(config: dict[str, Any]) -> Any:
    architecture = config["architecture"]
    return bare(architecture, config[PART[architecture]])


def load_tokenizer(folder: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a model's folder, without its model.

    Raises:
        ModelError: the folder is incomplete, damaged or of another format.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        return _tokenizer(_towers(config).config, folder)
    except (KeyError, TypeError, ValueError, StrictDataclassError) as error:
        raise _damaged(folder, error) from error


def _tokenizer(towers_config: Any, folder: Path) -> Tokenizer:
    text = towers_config.text_config
    if not isinstance(text.eos_token_id, int) or not isinstance(text.pad_token_id, int):
        raise TypeError(f"eos_token_id {text.eos_token_id!r} and pad_token_id {text.pad_token_id!r}")
    return Tokenizer.from_pretrained(
        folder,
        context_length=text.max_position_embeddings,
        eos_id=text.eos_token_id,
        pad_id=text.pad_token_id,
    )


def _damaged(folder: Path, error: Exception) -> ModelError:
    return ModelError(f"{folder / CONFIG} is incomplete or damaged ({error!r}). Save the model again.")


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
        fill(model, weights)
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 300)
        raise ModelError(f"{path} does not fit its {CONFIG}: {reason} Save the model again.") from error
