"""The information flow through the weights of a linear layer, and its ratio of unsafe to safe items.

Source: UWM (arXiv 2503.11742, Eq. 8 to 10). For an item whose T counted tokens enter the layer as
z (T x d_in), W (d_out x d_in), i an output, j an input:

    n_j    = ||z_:j||                     norm of an input over the tokens
    s_j    = std(z_:j)                    unbiased, over the same tokens
    o_i    = (|W| n)_i / d_in             flow that arrives at an output
    q_j    = n_j mean_i |W_ij|            flow that leaves an input
    Phi_ij = o_i q_j / s_j                flow through a weight

The score of a weight is Phi of the unsafe over Phi of the safe item, averaged over pairs.

**Closed form (ours).** In that ratio d_in and the column mean of |W| cancel, and what is left has rank one:

    Phi^u_ij / Phi^s_ij = lambda_i beta_j,  lambda_i = o^u_i / o^s_i,  beta_j = (n^u_j/s^u_j) / (n^s_j/s^s_j)

so the sum over the pairs of a batch is Lambda^T B: one product for each layer and batch, instead of a matrix
as large as the weight for each item.
"""

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from hyperaware.errors import DataError

BLOCK = 2**18
"""Activations that are summed up at once: 1 MiB in float32, which stays in the processor's cache."""

__all__ = ["RATIOS", "Channels", "FlowRatio", "MeanOfRatios", "RatioOfMeans", "channels"]


class Channels(NamedTuple):
    """What each input of a layer carries, for every item: (items, d_in)."""

    norm: Tensor
    """n."""
    steadiness: Tensor
    """n / s, which is sqrt((T-1)(1 + mean^2/variance)): how little the input varies from token to token."""

    def halves(self) -> tuple["Channels", "Channels"]:
        """Of the safe items, which come first, and of their unsafe twins."""
        safe, unsafe = (Channels(*parts) for parts in zip(*(part.chunk(2) for part in self), strict=True))
        return safe, unsafe


def channels(
    z: Float[Tensor, "items tokens d_in"],
    counted: Shaped[Tensor, "items tokens"] | None = None,
    *,
    deviation_floor: float = 0.0,
) -> Channels:
    """n and n/s of the inputs of a layer over the counted tokens (None: all), in float32 or more.

    An input that is zero at every token has no n/s; it gets sqrt(T-1), what zero-mean noise has however small
    it is, and so prefers neither side. `deviation_floor` is added to s; the published vision scorer has 1e-8.
    """
    dtype = torch.promote_types(z.dtype, torch.float32)
    weight = torch.ones(z.shape[:2], dtype=dtype, device=z.device) if counted is None else counted.to(dtype)
    tokens = weight.sum(dim=1, keepdim=True)
    at_once = max(1, BLOCK // z[0].numel())
    means, squares = [], []
    for part, own in zip(z.split(at_once), weight.split(at_once), strict=True):
        part, own = part.to(dtype), own.unsqueeze(1)
        mean = torch.bmm(own, part) / own.sum(dim=2, keepdim=True)
        means.append(mean.squeeze(1))
        squares.append(torch.bmm(own, (part - mean).square_()).squeeze(1))
    mean, square = torch.cat(means), torch.cat(squares)
    norm = (square + tokens * mean.square()).sqrt()
    deviation = (square / (tokens - 1)).sqrt()
    deviation = torch.where(deviation <= torch.finfo(dtype).eps * norm, 0.0, deviation)  # rounding, no change
    steadiness = torch.where(norm == 0, (tokens - 1).sqrt(), norm / (deviation + deviation_floor))
    return Channels(norm, steadiness)


class FlowRatio(Protocol):
    """The ratio of unsafe to safe flow through every weight of a layer, gathered batch by batch."""

    def add(self, items: Channels, magnitude: Tensor) -> None:
        """Count n safe items and their n unsafe twins; `magnitude` is |W|."""

    def ratio(self) -> Tensor:
        """The ratio over all that was added, (d_out, d_in)."""


class MeanOfRatios:
    """The mean over pairs of the ratio of each pair: the released code, and the default."""

    def __init__(self, like: Tensor) -> None:
        """`like` is the layer's weight."""
        self._total = _zeros(like)
        self._pairs = 0

    def add(self, items: Channels, magnitude: Float[Tensor, "d_out d_in"]) -> None:
        """Add lambda (outer) beta of every pair.

        Raises:
            DataError: a ratio is not finite.
        """
        safe, unsafe = items.halves()
        rows = (unsafe.norm @ magnitude.T) / (safe.norm @ magnitude.T)
        columns = unsafe.steadiness / safe.steadiness
        _require_finite(rows, columns)
        self._total.addmm_(rows.T, columns)
        self._pairs += len(rows)

    def ratio(self) -> Float[Tensor, "d_out d_in"]:
        return self._total / self._pairs


class RatioOfMeans:
    """The ratio of the mean flows, which needs no pairs: as the authors' poster has it."""

    def __init__(self, like: Tensor) -> None:
        """`like` is the layer's weight."""
        self._safe, self._unsafe = _zeros(like), _zeros(like)

    def add(self, items: Channels, magnitude: Float[Tensor, "d_out d_in"]) -> None:
        """Add o (outer) n/s of every item to the sum of its side.

        Raises:
            DataError: a flow is not finite.
        """
        for total, side in zip((self._safe, self._unsafe), items.halves(), strict=True):
            rows = side.norm @ magnitude.T
            _require_finite(rows, side.steadiness)
            total.addmm_(rows.T, side.steadiness)

    def ratio(self) -> Float[Tensor, "d_out d_in"]:
        return self._unsafe / self._safe


RATIOS: dict[str, type[MeanOfRatios] | type[RatioOfMeans]] = {
    "mean-of-ratios": MeanOfRatios,
    "ratio-of-means": RatioOfMeans,
}


def _zeros(like: Tensor) -> Tensor:
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.zeros(like.shape, dtype=dtype, device=like.device)


def _require_finite(*flows: Tensor) -> None:
    if not all(flow.isfinite().all() for flow in flows):
        raise DataError(
            "a flow or its ratio is not finite: an input of the layer is the same at every token of an item, "
            "or the model's activations are not finite."
        )
