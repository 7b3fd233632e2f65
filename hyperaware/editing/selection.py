"""Which weights of a layer are edited, given a score for each: the highest, by mass or by number."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.errors import ConfigError, DataError

__all__ = ["Scores", "by_count", "by_mass", "require_share"]


@dataclass(frozen=True)
class Scores:
    """A score for every weight that may be edited, and on how many pairs it rests."""

    weights: dict[str, Tensor]
    """Name of the weight in the model -> scores, float32 or more, of its shape."""
    pairs: dict[str, int]
    """Encoder -> pairs."""


def by_mass(scores: Float[Tensor, "*shape"], tau: float) -> Bool[Tensor, "*shape"]:
    """The fewest highest scores that hold the share `tau` of the sum of all (UWM, Eq. 11).

    In the paper's words: sorted upwards, those whose cumulative share exceeds 1 - tau. Of equal scores at the
    boundary those with smaller indices are chosen, so that the choice is the same everywhere.

    >>> by_mass(torch.tensor([0.1, 0.4, 0.2, 0.3]), 0.5)  # 0.4 alone does not reach 0.5
    tensor([False,  True, False,  True])

    Raises:
        ConfigError: tau is not in (0, 1].
        DataError: a score is negative or not finite, or all are zero.
    """
    require_share(tau)
    flat = _checked(scores)
    total = flat.sum(dtype=torch.float64)
    if total == 0:
        raise DataError("all scores are zero: there is nothing to choose by.")
    # The k highest of n scores hold at least the share k/n: no more than tau n (rounded up) are ever needed.
    highest = flat.topk(min(flat.numel(), math.ceil(tau * flat.numel()) + 1)).values
    ahead = highest.double().cumsum(0) - highest
    return _first(flat, int((ahead < tau * total).sum()), highest).view(scores.shape)


def by_count(scores: Float[Tensor, "*shape"], share: float) -> Bool[Tensor, "*shape"]:
    """The scores above the k-th smallest, k = floor((1 - share) n): at most the share `share` of them.

    Fewer are chosen where scores equal to the k-th smallest go on above it.

    >>> by_count(torch.tensor([0.1, 0.4, 0.2, 0.3]), 0.25)
    tensor([False,  True, False, False])

    Raises:
        ConfigError: share is not in (0, 1), or leaves no weight as it is.
        DataError: a score is negative or not finite.
    """
    kept = math.floor(round((1 - share) * scores.numel(), 6))
    if not 0 < share < 1 or kept < 1:
        raise ConfigError(
            f"got share={share} of {scores.numel()} scores, expected a share above 0 that leaves some out."
        )
    flat = _checked(scores)
    return (flat > flat.kthvalue(kept).values).view(scores.shape)


def require_share(tau: float) -> None:
    """Refuse a `tau` that is no share.

    Raises:
        ConfigError: it is not in (0, 1].
    """
    if not 0 < tau <= 1:
        raise ConfigError(f"got tau={tau}, expected a share of the scores' sum, above 0 and at most 1.")


def _checked(scores: Tensor) -> Tensor:
    flat = scores.detach().flatten()
    if not flat.isfinite().all():
        raise DataError("a score is not finite; expected numbers.")
    if (flat < 0).any():
        raise DataError("a score is negative; expected shares of a sum.")
    return flat


def _first(flat: Tensor, count: int, highest: Tensor) -> Tensor:
    """A mask of the `count` highest scores, ties broken by index; `highest` are they and more, downwards."""
    boundary = highest[count - 1]
    mask = flat > boundary
    tied = (flat == boundary).nonzero().flatten()
    mask[tied[: count - int(mask.sum())]] = True
    return mask
