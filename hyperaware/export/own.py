"""A model in hyperaware's own forms: a folder, or one safetensors file; its bounds go with it."""

import tempfile
from pathlib import Path

from hyperaware.export.facts import judged
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import save
from hyperaware.models.single_file import SUFFIX, pack

__all__ = ["write_file", "write_folder"]


def write_folder(model: DualEncoder, out: Path) -> dict[str, float]:
    """Write the model's folder, with its bounds and calibration. Nothing is rounded: no differences."""
    save(model, out)
    for part in judged(model):
        if part is not None:
            part.save(out)
    return {}


def write_file(model: DualEncoder, out: Path) -> dict[str, float]:
    """Write `NAME.safetensors`, which `load` opens, and of which `safetensors` sees the weights."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        write_folder(model, Path(folder))
        pack(Path(folder), out / f"{model.name.replace('/', '--')}{SUFFIX}")
    return {}
