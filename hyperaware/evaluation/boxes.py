"""One thing of every picture, cut out, with the phrase that names it: what compositional methods train on."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError
from hyperaware.evaluation.crops import IN_MEMORY, Crops, Seen
from hyperaware.evaluation.examples import Batch
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["Boxes"]


class Boxes:
    """A box of each picture of the rows, chosen by the row's id alone: every run sees the same."""

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        model: DualEncoder,
        cache: Path | None = None,
        in_memory_limit: int = IN_MEMORY,
        together: bool = False,
    ) -> None:
        """Cut the boxes out and tokenise their phrases; `cache`, limit, `together`: as of `Examples`.

        Raises:
            DataError: a picture of a row has no box, or one that reaches outside of it, or cannot be decoded.
        """
        self.chosen = [_chosen(row, part) for row in rows for part in ("safe", "unsafe")]
        pictures = [path for row in rows for path in (row.safe_image, row.unsafe_image)]
        self.crops = Crops(
            [Seen(path, box[1:]) for path, box in zip(pictures, self.chosen, strict=True)],
            preprocess=model.preprocess,
            cache=cache,
            in_memory_limit=in_memory_limit,
            together=together,
        )
        for path, reason in self.crops.failed.items():
            raise DataError(f"{path}: {reason}")
        self.ids, self.mask = model.tokenizer([box.phrase for box in self.chosen])
        self.text_labels = torch.tensor([row.unsafe_text_is_unsafe for row in rows])
        self.image_labels = torch.tensor([row.unsafe_image_is_unsafe for row in rows])

    @property
    def fingerprint(self) -> str:
        """Names the boxes that were chosen."""
        return hashlib.sha256(repr([tuple(box) for box in self.chosen]).encode()).hexdigest()[:16]

    def batch(self, indices: Tensor) -> Batch:
        """The boxes of these rows as quadruplets: phrases are the texts, cut-outs the pictures.

        The labels are those of the wholes.
        """
        both = torch.cat([2 * indices, 2 * indices + 1])
        mask = self.mask[both]
        longest = int(mask.sum(dim=1).max())
        return Batch(
            ids=self.ids[both, :longest],
            mask=mask[:, :longest],
            pixels=self.crops.preprocess.normalise(self.crops.take(self.crops.places[both])),
            unsafe_text_is_unsafe=self.text_labels[indices],
            unsafe_image_is_unsafe=self.image_labels[indices],
        )


def _chosen(row: Row, part: str) -> Box:
    boxes = row.safe_boxes if part == "safe" else row.unsafe_boxes
    if not boxes:
        raise DataError(
            f"the {part} picture of row {row.id!r} has no box, and this method needs one of every picture. "
            "Give captions.jsonl the key 'boxes', or leave the row out."
        )
    return random.Random(f"{row.id} {part}").choice(boxes)
