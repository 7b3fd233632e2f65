"""From rows to points, and from a loss of the points back to the weights.

* Several processes: each embeds its own share of a batch. The points are gathered, so that every process
  computes the terms of the whole batch, whatever the method; then gradients of the weights are averaged. The
  result is that of one process with the whole batch.
* `chunk_size`: gradient caching (GradCache, Gao et al., arXiv 2101.06983). Points are made chunk by chunk
  without a graph; the loss gives a gradient of each point; then each chunk is embedded again, with the random
  state that it had, and its gradients go back to the weights. Only one chunk's activations are held at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor

from hyperaware import distributed
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.evaluation.embed import embed, joined
from hyperaware.evaluation.examples import Batch, Examples
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.random_state import RandomState

__all__ = ["Gradients", "Source", "embed_together"]

PARTS = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")


class Source(Protocol):
    """What has rows: `Examples` or `Boxes`."""

    def batch(self, indices: Tensor) -> Batch: ...


@dataclass(frozen=True)
class _Cached:
    """A chunk that was embedded without a graph: what it was made of, and its points, which are leaves."""

    source: Source
    rows: Tensor
    random: RandomState
    points: Quadruplet


class Gradients:
    """The gradients of one step after the other: `points` as often as needed, then `backward`."""

    def __init__(self, model: DualEncoder, *, chunk_size: int | None, narrow: bool) -> None:
        """`chunk_size`: quadruplets that a process embeds at once; none: its whole share.

        `narrow`: the towers compute in bfloat16 by autocast. Points are float32 in any case.
        """
        self.model, self.chunk_size, self.narrow = model, chunk_size, narrow
        self._cached: list[_Cached] = []

    def points(self, source: Source, rows: Tensor) -> Quadruplet:
        """Points of these rows of `source` on every process, with gradients.

        Raises:
            ConfigError: there are fewer rows than processes.
        """
        sizes = distributed.shares(len(rows))
        if min(sizes) == 0:
            raise ConfigError(
                f"a batch of {len(rows)} on {len(sizes)} processes: expected a row for each. "
                "Set training.batch_size higher or start fewer."
            )
        mine = rows.split(sizes)[distributed.rank()]
        if self.chunk_size is None or self.chunk_size >= len(mine):
            own = self._embed(source.batch(mine))
        else:
            own = self._embed_in_chunks(source, mine.split(self.chunk_size))
        return _of_all(own, sizes, self.model.device)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of the loss to the weights: on every process those of the whole batch."""
        loss.backward()
        if self._cached:
            self._embed_again()
        distributed.average(p.grad for p in self.model.parameters() if p.grad is not None)

    def _embed_again(self) -> None:
        after = RandomState.now()
        for chunk in self._cached:
            chunk.random.restore()
            again = self._embed(chunk.source.batch(chunk.rows))
            parts = [part for part in PARTS if _is_asked(again, chunk.points, part)]
            torch.autograd.backward(
                [getattr(again, part) for part in parts], [getattr(chunk.points, part).grad for part in parts]
            )
        after.restore()
        self._cached.clear()

    def _embed(self, batch: Batch) -> Quadruplet:
        device = self.model.device
        known = {modality: features.to(device) for modality, features in batch.known.items()}
        tensors = (tensor.to(device) for tensor in (batch.ids, batch.mask, batch.pixels))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.narrow):
            texts, images = self.model(*tensors, known=known)
        return batch.quadruplet(texts, images)

    def _embed_in_chunks(self, source: Source, chunks: Sequence[Tensor]) -> Quadruplet:
        made = []
        for rows in chunks:
            random = RandomState.now()
            with torch.no_grad():
                points = self._embed(source.batch(rows))
            made.append(_Cached(source, rows, random, points.map(Tensor.requires_grad_)))
        self._cached += made
        return joined([chunk.points for chunk in made])


def _is_asked(again: Quadruplet, leaves: Quadruplet, part: str) -> bool:
    """Whether a part has weights behind it and a gradient for them: not that of a frozen tower, or unused."""
    return getattr(again, part).requires_grad and getattr(leaves, part).grad is not None


def embed_together(model: DualEncoder, examples: Examples) -> Quadruplet:
    """`evaluation.embed.embed`, each process a share of the rows; every one gets all points."""
    sizes = distributed.shares(len(examples))
    if len(sizes) == 1 or min(sizes) == 0:
        return embed(model, examples)
    own = embed(model, cast(Examples, _Share(examples, sizes)))
    return _of_all(own.map(lambda part: part.to(model.device)), sizes, model.device).map(Tensor.cpu)


class _Share:
    """The rows of this process, as `embed` reads them."""

    def __init__(self, examples: Examples, sizes: Sequence[int]) -> None:
        self.examples = examples
        self.indices = torch.arange(len(examples)).split(list(sizes))[distributed.rank()]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor) -> Batch:
        return self.examples.batch(self.indices[indices])


def _of_all(own: Quadruplet, sizes: Sequence[int], device: torch.device) -> Quadruplet:
    """The rows of all processes, points on their device and labels on the CPU."""
    if len(sizes) == 1:
        return own

    def gathered(labels: str) -> Tensor:
        return distributed.gather(getattr(own, labels).to(device), sizes).cpu()

    return replace(
        own.map(lambda part: distributed.gather(part, sizes)),
        unsafe_text_is_unsafe=gathered("unsafe_text_is_unsafe"),
        unsafe_image_is_unsafe=gathered("unsafe_image_is_unsafe"),
    )
