"""Folders of transformers, local or of the Hub, as models with a name and a provenance."""

from pathlib import Path
from typing import Any

from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.hub import HubName
from hyperaware.models.huggingface import read_transformers
from hyperaware.models.licences import licence_of
from hyperaware.models.obtain import base_of
from hyperaware.models.tokenizer_files import has_tokenizer

__all__ = ["load_transformers", "origin", "read_hub_folder"]


def load_transformers(folder: Path, *, tokenizer: Path | None = None) -> DualEncoder:
    """The model of a local transformers folder; its licence is what its card says."""
    model = read_transformers(folder, tokenizer=tokenizer)
    model.name = folder.resolve().name
    model.provenance = origin(model.name, licence_of(model.name, folder))
    return model


def origin(source: str, licence: str, **more: Any) -> dict[str, Any]:
    """The provenance of a model that was not trained here."""
    return {"source": source, "license": licence, **more}


def read_hub_folder(name: HubName, folder: Path) -> DualEncoder:
    """The model of a Hub repository in the layout of transformers."""
    tokenizer = None if has_tokenizer(folder) else base_of(name)
    model = read_transformers(folder, tokenizer=tokenizer)
    model.name = name.repo
    model.provenance = origin(str(name), licence_of(name.repo, folder), commit=folder.name)
    return model
