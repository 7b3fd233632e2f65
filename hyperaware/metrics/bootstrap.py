"""How sure a mean is: percentile bootstrap over examples (Efron 1979), the same draws for every figure.

Outcomes are numbers per example (success or failure, a distance). Figures over the same examples hang
together, so all of them are drawn together; two methods are compared by the differences of their outcomes,
example by example, which is far sharper than comparing two intervals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Num
from torch import Tensor

from hyperaware.errors import ConfigError, DataError

__all__ = ["Interval", "mean_differences", "mean_intervals"]

Outcomes = Mapping[str, Tensor]
"""Figure -> one outcome per example, (n,), of any real type; row i is the same example in all."""

DRAWN_AT_ONCE = 2**20
"""Examples drawn before they are summed up: 16 MiB of work space, whatever n is."""


@dataclass(frozen=True)
class Interval:
    """A mean, and between which values it lies at the level that was asked for."""

    value: float
    low: float
    high: float


def mean_intervals(
    outcomes: Outcomes, *, generator: torch.Generator, resamples: int = 2000, level: float = 0.95
) -> dict[str, Interval]:
    """Mean of each figure's outcomes, with its percentile interval.

    The ends are the (1-level)/2 and (1+level)/2 quantiles of the means of `resamples` draws, n examples each.

    >>> always = {"found": torch.tensor([True, True, True])}
    >>> mean_intervals(always, generator=torch.Generator().manual_seed(0))
    {'found': Interval(value=1.0, low=1.0, high=1.0)}

    Raises:
        DataError: no examples, another number of them for another figure, or an outcome that is not finite.
        ConfigError: fewer than 2 resamples, or a level outside (0, 1).
    """
    if resamples < 2 or not 0 < level < 1:
        raise ConfigError(
            f"got resamples={resamples}, level={level}; expected at least 2, and a level between 0 and 1."
        )
    values = _columns(outcomes)
    means = torch.cat(list(_resampled_means(values, generator, resamples)))
    ends = means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=means.dtype), dim=0)
    return {
        name: Interval(value=value, low=low, high=high)
        for name, value, low, high in zip(outcomes, values.mean(dim=0).tolist(), *ends.tolist(), strict=True)
    }


def mean_differences(
    outcomes: Outcomes,
    others: Outcomes,
    *,
    generator: torch.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Mean of `outcomes` minus mean of `others` on the same examples, with its paired percentile interval.

    An interval that leaves out 0 says that the two methods differ, at this level and for this one figure.

    Raises:
        DataError: other figures or other numbers of examples in `others`; and see `mean_intervals`.
        ConfigError: see `mean_intervals`.
    """
    if outcomes.keys() != others.keys():
        raise DataError(f"the two differ in their figures: {sorted(outcomes.keys() ^ others.keys())}.")
    for name in outcomes:
        if outcomes[name].shape != others[name].shape:
            raise DataError(
                f"{name} has {len(outcomes[name])} outcomes and the other method {len(others[name])}: a "
                "paired comparison needs the same examples in the same order."
            )
    apart = {name: outcomes[name].double() - others[name].double() for name in outcomes}
    return mean_intervals(apart, generator=generator, resamples=resamples, level=level)


def _columns(outcomes: Outcomes) -> Num[Tensor, "n figures"]:
    """The outcomes side by side, float64, once it is sure that they are of the same examples."""
    sizes = {tuple(column.shape) for column in outcomes.values()}
    if len(sizes) != 1 or len(size := sizes.pop()) != 1 or size[0] == 0:
        shapes = {name: tuple(column.shape) for name, column in outcomes.items()}
        raise DataError(f"got outcomes of shapes {shapes}, expected one number per example, of at least one.")
    values = torch.stack([column.detach().cpu().double() for column in outcomes.values()], dim=1)
    broken = (~values.isfinite()).any(dim=0)
    if broken.any():
        names = [name for name, bad in zip(outcomes, broken.tolist(), strict=True) if bad]
        raise DataError(f"outcomes of {', '.join(names)} are not finite; expected numbers.")
    return values


def _resampled_means(values: Tensor, generator: torch.Generator, resamples: int) -> Iterator[Tensor]:
    """Means over n examples drawn with replacement, (some resamples, figures) at a time.

    How often each example was drawn is counted first: then all figures are one product.
    """
    n = len(values)
    at_once = max(1, DRAWN_AT_ONCE // n)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = torch.randint(n, (rows, n), generator=generator)
        counts = torch.zeros(rows, n, dtype=values.dtype).scatter_add_(
            1, drawn, torch.ones(1, 1, dtype=values.dtype).expand(rows, n)
        )
        yield counts @ values / n
