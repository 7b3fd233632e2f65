"""A model written for another program: files, card, and what was found when they were opened again."""

import copy
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from hyperaware.errors import ConfigError, ModelError
from hyperaware.evaluation.runs import Run
from hyperaware.export.described import described, note
from hyperaware.export.formats import FORMATS
from hyperaware.models.adapters import merged
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.options import resolve, unknown_name

__all__ = ["CARD", "Written", "export", "new_folder"]

CARD = "README.md"


@dataclass(frozen=True)
class Written:
    """An export: where it lies, and how far its files are from the model."""

    folder: Path
    format: str
    files: Mapping[str, int]
    """Their sizes in bytes."""
    differences: Mapping[str, float]
    """By modality, the largest one found when the files were opened again; empty where none can be."""
    note: str | None
    """What the files are not."""


def export(
    model: DualEncoder,
    *,
    format: str,
    out: str | Path,
    runs: Sequence[Run] = (),
    license: str | None = None,
    published: str | None = None,
) -> Written:
    """Write the model in one of `FORMATS` to a new folder, with its card. Adapters are merged.

    Args:
        runs: figures for the card; see `described.recorded_runs`.
        license, published: for the card; see `described.described`.

    Raises:
        ConfigError: an unknown format; a folder that is not empty; a package is missing.
        ModelError: the format cannot express the model, or the files do not give what the model gives.
        SafetyError: bounds or calibration beside the model are damaged, or not its own.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    out = Path(out)
    _require_free(out)
    plain = _plain(model)
    text = described(plain, format, runs=runs, license=license, published=published)
    with new_folder(out) as partial:
        differences = resolve("format", format, FORMATS)(plain, partial)
        (partial / CARD).write_text(text, encoding="utf-8")
        for path in partial.iterdir():  # transformers makes weights that nobody else may read
            path.chmod((partial / CARD).stat().st_mode)
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return Written(folder=out, format=format, files=files, differences=differences, note=note(plain, format))


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when the block ends well; if it raises, nothing is left.

    Raises:
        ConfigError: `out` is there and not empty.
        ModelError: weights cannot be written; the disk is full, say.
    """
    _require_free(out)
    final = out.resolve()
    partial = final.with_name(f".{final.name}.{os.getpid()}.part")
    partial.mkdir(parents=True)
    try:
        try:
            yield partial
        except SafetensorError as error:
            raise ModelError(f"{out} could not be written ({error}). Nothing was kept.") from error
        if final.exists():  # and is kept: somebody may be in it
            for path in partial.iterdir():
                path.rename(final / path.name)
        else:
            partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there and not empty. Name a new folder.")


def _plain(model: DualEncoder) -> DualEncoder:
    """The model without adapters, in float32 and on the CPU, in eval mode: itself if it is like that."""
    plain = merged(model)
    if any(each.dtype != torch.float32 or each.device.type != "cpu" for each in plain.parameters()):
        plain = copy.deepcopy(plain).float().cpu()
    return plain if not plain.training else copy.deepcopy(plain).eval()
