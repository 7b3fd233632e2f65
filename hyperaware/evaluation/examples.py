"""Rows as batches of ids and pixels, decoded once and kept as uint8."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.errors import DataError, MediaError
from hyperaware.media.images import decode
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

    def __init__(self, rows: Sequence[Row], *, model: DualEncoder, progress: Progress | None = None) -> None:
        """Tokenise and decode all rows; `progress(done, total)` is told of pictures.

        Raises:
            DataError: no row is left.
        """
        self.preprocess = model.preprocess
        self.failed: list[tuple[str, str]] = []
        crops = self._decode([p for row in rows for p in (row.safe_image, row.unsafe_image)], progress)
        pairs = list(zip(rows, crops[0::2], crops[1::2], strict=True))
        good = [(row, safe, unsafe) for row, safe, unsafe in pairs if safe is not None and unsafe is not None]
        if not good:
            raise DataError(f"none of {len(rows)} rows can be used. First failures: {self.failed[:3]}.")
        self.rows = [row for row, _, _ in good]
        self.crops = torch.from_numpy(np.stack([crop for _, *both in good for crop in both]))
        ids, mask = model.tokenizer([text for row in self.rows for text in (row.safe_text, row.unsafe_text)])
        self.ids, self.mask = ids, mask

    def _decode(self, paths: Sequence, progress: Progress | None) -> list[np.ndarray | None]:
        def crop(path: object) -> np.ndarray | MediaError:
            try:
                return self.preprocess.crop(decode(path))  # type: ignore[arg-type]
            except MediaError as error:
                return error

        crops: list[np.ndarray | None] = []
        with ThreadPoolExecutor(max_workers=2) as pool:
            for path, result in zip(paths, pool.map(crop, paths), strict=True):
                if isinstance(result, MediaError):
                    self.failed.append((str(path), str(result).removeprefix(f"{path}: ")))
                crops.append(None if isinstance(result, MediaError) else result)
                if progress is not None:
                    progress(len(crops), len(paths))
        return crops

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Tensor) -> Batch:
        """The quadruplets at `indices`, texts cut to the longest of the batch."""
        both = torch.cat([2 * indices, 2 * indices + 1])
        mask = self.mask[both]
        longest = int(mask.sum(dim=1).max())
        rows = [self.rows[i] for i in indices.tolist()]
        return Batch(
            ids=self.ids[both, :longest],
            mask=mask[:, :longest],
            pixels=self.preprocess.normalise(self.crops[both]),
            unsafe_text_is_unsafe=torch.tensor([row.unsafe_text_is_unsafe for row in rows]),
            unsafe_image_is_unsafe=torch.tensor([row.unsafe_image_is_unsafe for row in rows]),
        )

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
