"""What a training example is: a row of files and captions, and the same as tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Box", "Quadruplet", "Row"]


class Box(NamedTuple):
    """A thing in a picture: what it is called, and its edges in pixels, right and bottom excluded."""

    phrase: str
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Row:
    """One line of captions.jsonl, its image paths absolute.

    The safe pair is safe by definition; each part of the generated pair has a label of its own, because an
    "unsafe" picture or text may have come out safe.
    """

    id: str
    split: str
    safe_text: str
    safe_image: Path
    unsafe_text: str
    unsafe_image: Path
    unsafe_text_is_unsafe: bool = True
    unsafe_image_is_unsafe: bool = True
    category: str | None = None
    concept: str | None = None
    slice: str | None = None
    safe_boxes: tuple[Box, ...] = ()
    unsafe_boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Quadruplet:
    """Four tensors of one row per example: pixels, features or points. Labels of None: all are unsafe."""

    safe_image: Tensor
    safe_text: Tensor
    unsafe_image: Tensor
    unsafe_text: Tensor
    unsafe_text_is_unsafe: Tensor | None = None
    unsafe_image_is_unsafe: Tensor | None = None
    categories: tuple[str | None, ...] = ()

    def map(self, function: Callable[[Tensor], Tensor]) -> Quadruplet:
        """The same quadruplets with the function applied to each of the four parts; labels are kept."""
        return replace(
            self,
            safe_image=function(self.safe_image),
            safe_text=function(self.safe_text),
            unsafe_image=function(self.unsafe_image),
            unsafe_text=function(self.unsafe_text),
        )

    def take(self, rows: Tensor) -> Quadruplet:
        """The quadruplets at these indices, with their labels and categories."""
        text, image = self.unsafe_text_is_unsafe, self.unsafe_image_is_unsafe
        return replace(
            self.map(lambda part: part[rows]),
            unsafe_text_is_unsafe=None if text is None else text[rows],
            unsafe_image_is_unsafe=None if image is None else image[rows],
            categories=tuple(self.categories[row] for row in rows.tolist()) if self.categories else (),
        )

    def __len__(self) -> int:
        return len(self.safe_image)
