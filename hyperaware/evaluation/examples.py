"""Rows as batches of ids and pixels: captions tokenised and pictures decoded once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.errors import DataError
from hyperaware.evaluation.crops import IN_MEMORY, Crops, Seen
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["Batch", "Examples"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Batch:
    """n quadruplets, safe half first: ids and mask (2n, longest), pixels (2n, 3, size, size)."""

    ids: Tensor
    mask: Tensor
    pixels: Tensor
    unsafe_text_is_unsafe: Tensor
    unsafe_image_is_unsafe: Tensor
    known: Mapping[str, Tensor] = field(default_factory=dict)
    """Features by modality, (2n, dim), that are at hand; with those of pictures there are no pixels."""

    def quadruplet(self, texts: Tensor, images: Tensor) -> Quadruplet:
        """Points (or features) of the batch, cut into the four parts."""
        n = len(texts) // 2
        return Quadruplet(
            safe_text=texts[:n],
            safe_image=images[:n],
            unsafe_text=texts[n:],
            unsafe_image=images[n:],
            unsafe_text_is_unsafe=self.unsafe_text_is_unsafe,
            unsafe_image_is_unsafe=self.unsafe_image_is_unsafe,
        )


class Examples:
    """The rows that a run trains on. A row with a bad picture is left out and named in `failed`."""

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        model: DualEncoder,
        progress: Progress | None = None,
        cache: Path | None = None,
        in_memory_limit: int = IN_MEMORY,
        together: bool = False,
    ) -> None:
        """Tokenise and decode all rows; `progress(done, total)` is told of pictures.

        With a folder as `cache`, crops of more than `in_memory_limit` bytes go to a file in it, which another
        run finds again. `together`: all processes of a launcher read the same rows, and each decodes a share
        of the pictures (`evaluation.crops`). The batches are the same.

        Raises:
            DataError: no row is left.
        """
        pictures = [Seen(path) for row in rows for path in (row.safe_image, row.unsafe_image)]
        self.crops = Crops(
            pictures,
            preprocess=model.preprocess,
            cache=cache,
            in_memory_limit=in_memory_limit,
            progress=progress,
            together=together,
        )
        self.failed = [(str(path), reason) for path, reason in self.crops.failed.items()]
        places = self.crops.places.view(-1, 2)
        good = (places >= 0).all(dim=1)
        if not good.any():
            raise DataError(f"none of {len(rows)} rows can be used. First failures: {self.failed[:3]}.")
        self.device = torch.device("cpu")
        """Where pixels are made from crops: on a GPU it is faster, and a quarter of the bytes go there."""
        self.rows = [row for row, is_good in zip(rows, good.tolist(), strict=True) if is_good]
        self._places = places[good].flatten()
        ids, mask = model.tokenizer([text for row in self.rows for text in (row.safe_text, row.unsafe_text)])
        self.ids, self.mask = ids, mask

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Tensor, *, known: Mapping[str, Tensor] | None = None) -> Batch:
        """The quadruplets at `indices`, texts cut to the longest of the batch.

        `known`: features that go with the batch. With those of pictures, no picture is read.
        """
        known = known or {}
        both = torch.cat([2 * indices, 2 * indices + 1])
        mask = self.mask[both]
        longest = int(mask.sum(dim=1).max())
        rows = [self.rows[i] for i in indices.tolist()]
        return Batch(
            ids=self.ids[both, :longest],
            mask=mask[:, :longest],
            pixels=self._pixels(both[:0] if "image" in known else both),
            unsafe_text_is_unsafe=torch.tensor([row.unsafe_text_is_unsafe for row in rows]),
            unsafe_image_is_unsafe=torch.tensor([row.unsafe_image_is_unsafe for row in rows]),
            known=known,
        )

    def _pixels(self, items: Tensor) -> Tensor:
        return self.crops.preprocess.normalise(self.crops.take(self._places[items]).to(self.device))

    def indices_at_step(
        self, step: int, *, batch_size: int, seed: int, first_epoch: Tensor | None = None
    ) -> Tensor:
        """The rows of a step's batch, a function of (seed, step) alone: so a resumed run sees the same rows.

        Each epoch has its own order; the last, incomplete batch of an epoch is dropped. With `first_epoch`
        (n,) a row takes part from that epoch on, counted from 0; an epoch is as long as the rows that take
        part in it.
        """
        size = min(batch_size, len(self))
        epoch, place = _epoch_of(step, size=size, rows=len(self), first_epoch=first_epoch)
        # Mixed by numpy: torch's generator takes the lower 32 bits of a seed and drops the others.
        mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(mixed))
        if first_epoch is not None:
            order = order[first_epoch[order] <= epoch]
        return order[place * size : (place + 1) * size]


def _epoch_of(step: int, *, size: int, rows: int, first_epoch: Tensor | None) -> tuple[int, int]:
    """The epoch of a step, and the step's place in it. An epoch with less than one batch has no step."""
    growing = 0
    if first_epoch is not None:
        growing = int(first_epoch.max())
        for epoch in range(growing):
            batches = int((first_epoch <= epoch).sum()) // size
            if step < batches:
                return epoch, step
            step -= batches
    epoch, place = divmod(step, rows // size)
    return growing + epoch, place
