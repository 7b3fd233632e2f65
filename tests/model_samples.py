"""A model that is small enough to be trained inside a test, and rows of random pictures for it."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.towers import Towers

CLASSES = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
TINY = Towers(
    image_size=16,
    patch_size=8,
    vision_width=16,
    vision_layers=1,
    vision_heads=2,
    text_width=16,
    text_layers=1,
    text_heads=2,
    projection=8,
    vocab_size=160,
    context_length=12,
)
CAPTIONS = (
    "a rabbit in the snow",
    "a red ball on the beach",
    "two children fly a kite",
    "a man with a gun",
    "a bloody axe lies in the street",
    "someone sells pills at night",
)


def tiny_model(*, seed: int = 0, lorentz: bool = False, towers: Towers = TINY) -> DualEncoder:
    """A model with random weights, in eval mode; on the sphere unless `lorentz`."""
    model = towers.build(CAPTIONS, seed=seed)
    if lorentz:
        model.use_lorentz(curv=0.7, alpha_image=0.6, alpha_text=0.3)
    return model.eval()


def random_picture(seed: int, *, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """RGB noise, (width, height)."""
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1]))


def random_rows(folder: Path, count: int, *, split: str = "train") -> list[Row]:
    """Rows whose pictures are noise and whose captions are short, distinct sentences; written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        images = {part: folder / f"{index}-{part}.png" for part in ("safe", "unsafe")}
        for shift, path in enumerate(images.values()):
            random_picture(2 * index + shift).save(path)
        rows.append(
            Row(
                id=f"{split}-{index}",
                split=split,
                safe_text=f"a red ball {index}",
                safe_image=images["safe"],
                unsafe_text=f"a bloody axe {index}",
                unsafe_image=images["unsafe"],
            )
        )
    return rows


def random_points(
    count: int, dim: int, *, scale: float = 0.5, names: Sequence[str] = CLASSES, seed: int = 0
) -> Quadruplet:
    """Leaves with gradients in the four parts, normal with deviation `scale`."""
    generator = torch.Generator().manual_seed(seed)
    parts = {name: scale * torch.randn(count, dim, generator=generator) for name in names}
    return Quadruplet(**{name: part.requires_grad_() for name, part in parts.items()})
