"""Golden arrays as tensors, and the quadruplets in them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Sphere

SHORT = {
    "safe_text": "txt_safe",
    "safe_image": "img_safe",
    "unsafe_text": "txt_unsafe",
    "unsafe_image": "img_unsafe",
}
"""Our part of a quadruplet, and its name in the golden files."""


def read_numbers(path: Path) -> dict[str, Tensor]:
    """Every numeric array of an npz file."""
    with np.load(path) as arrays:
        return {
            name: torch.from_numpy(arrays[name]) for name in arrays.files if arrays[name].dtype.kind in "fi"
        }


def leaves_of(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trainable embeddings, not normalised, by our names."""
    return {part: golden[short].clone().requires_grad_() for part, short in SHORT.items()}


def reference_of(golden: dict[str, Tensor]) -> Quadruplet:
    """The frozen embeddings, normalised; parts that the file does not have are NaN."""
    nothing = torch.full_like(golden["ref_txt_safe"], torch.nan)
    parts = {part: golden.get(f"ref_{short}", nothing) for part, short in SHORT.items()}
    return Quadruplet(**parts).map(Sphere().lift)
