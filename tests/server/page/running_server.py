"""A small gallery, and what a browser saw of it."""

from dataclasses import dataclass, field
from pathlib import Path

from hyperaware.catalogue import start_store
from hyperaware.index.ingest import ingest
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import DEFAULT, load
from hyperaware.world import export

WITHIN = 60.0
"""Seconds that a slow machine may take for what takes a quick one no time."""
ROWS = 13


@dataclass
class Gallery:
    """Pictures, their index, and the model of both."""

    folder: Path
    index: Path
    model: DualEncoder

    @classmethod
    def drawn(cls, folder: Path) -> "Gallery":
        """A new gallery: each row is a safe scene and its unsafe twin."""
        export(folder / "gallery", count=ROWS, split="test")
        model = load(DEFAULT)
        store = start_store(folder / "index", model)
        ingest(store, model, folder / "gallery")
        store.close()
        return cls(folder / "gallery", folder / "index", model)

    @property
    def unsafe_picture(self) -> Path:
        return min(self.folder.glob("images/*-unsafe.*"))


@dataclass
class Seen:
    """What a browser has complained about, and asked for."""

    complaints: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
