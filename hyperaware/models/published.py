"""Checkpoints of others by name or folder: found on this machine, or fetched where the caller says so."""

from pathlib import Path
from typing import Any

from hyperaware.errors import ConfigError, ModelError
from hyperaware.models import hub
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.hub import HubName
from hyperaware.models.huggingface import read_transformers
from hyperaware.models.licences import known, licence_of, remember, require_accepted
from hyperaware.models.tokenizer_files import has_tokenizer

__all__ = ["base_of", "find", "load_transformers", "origin", "read_hub_folder"]


def load_transformers(folder: Path, *, tokenizer: Path | None = None) -> DualEncoder:
    """The model of a local transformers folder; its licence is what its card says."""
    model = read_transformers(folder, tokenizer=tokenizer)
    model.name = folder.resolve().name
    model.provenance = origin(str(folder), licence_of(model.name, folder))
    return model


def origin(source: str, licence: str, **more: Any) -> dict[str, Any]:
    """The provenance of a model that was not trained here."""
    return {"source": source, "license": licence, **more}


def find(name: HubName, *, download: bool, accepted: str | None) -> Path:
    """The folder of a Hub model's files on this machine; fetched first if `download`, and never otherwise.

    Raises:
        ConfigError: it is not here and may not be fetched; its licence was not accepted; it must be imported.
        ModelError: it could not be fetched, or is damaged.
    """
    row = known().get(name.repo)
    if row is not None and not row.loads:
        raise ConfigError(f"{name.repo} is no model of its own but files: {row.what}.")
    record = hub.licences_file()
    if row is not None:  # before anything is asked of the network
        require_accepted(name.repo, row.licence, accepted=accepted, record=record)
    folder = hub.cached(name)
    if download:
        wanted = hub.listing(name)
        require_accepted(name.repo, wanted.licence, accepted=accepted, record=record)
        folder = hub.fetch(wanted)
    if folder is None:
        base = f", and of {row.base}" if row is not None and row.base else ""
        raise ConfigError(
            f"{name} is not on this machine. `hyperaware download {name}` fetches its config, tokenizer and "
            f"weights{base} and says how large they are; so does load(..., download=True)."
        )
    licence = licence_of(name.repo, folder)
    require_accepted(name.repo, licence, accepted=accepted, record=record)
    if accepted is not None:
        remember(name.repo, licence, record=record)
    return folder


def base_of(name: HubName, *, download: bool) -> Path:
    """The folder of the checkpoint that `name` takes its tokenizer from (`ConfigError` where it has none)."""
    row = known().get(name.repo)
    if row is None or row.base is None:
        raise ModelError(f"{name} has no tokenizer. Load its folder, and name another's with --tokenizer.")
    return find(HubName(row.base), download=download, accepted=None)


def read_hub_folder(name: HubName, folder: Path, *, download: bool) -> DualEncoder:
    """The model of a Hub repository in the layout of transformers."""
    tokenizer = None if has_tokenizer(folder) else base_of(name, download=download)
    model = read_transformers(folder, tokenizer=tokenizer)
    model.name = name.repo
    model.provenance = origin(str(name), licence_of(name.repo, folder), commit=folder.name)
    return model
