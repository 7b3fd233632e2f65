"""The order in which searches rank: that of the similarity, with equal points tied."""

import pytest
import torch

from hyperaware.evaluation.searches import order
from hyperaware.geometry.space import Euclid, Lorentz, Space, Sphere
from hyperaware.metrics.retrieval import ranks, top1

SPACES = pytest.mark.parametrize(
    "space",
    [Sphere(), Euclid(), Lorentz(1.0), Lorentz(torch.tensor(0.1))],
    ids=["sphere", "euclid", "lorentz", "lorentz with a learned curvature"],
)


@SPACES
def test_ranks_are_those_of_the_similarity(space: Space, generator: torch.Generator) -> None:
    queries, items = (space.lift(0.2 * torch.randn(n, 8, generator=generator).double()) for n in (40, 90))
    targets = torch.randint(90, (40,), generator=generator)
    expected = ranks(queries, items, targets, space.similarity)
    assert torch.equal(ranks(queries, items, targets, order(space)), expected)
    assert expected.unique().numel() > 20


@SPACES
@pytest.mark.parametrize("count", [7, 33, 301])
@pytest.mark.parametrize("dim", [5, 128])
def test_equal_items_tie_wherever_they_stand(
    space: Space, count: int, dim: int, generator: torch.Generator
) -> None:
    """A matrix product alone gives the last columns of these other bits than the first."""
    item = space.lift(0.1 * torch.randn(1, dim, generator=generator))
    queries = space.lift(0.1 * torch.randn(20, dim, generator=generator))
    targets = torch.randint(count, (20,), generator=generator)
    items = item.expand(count, dim).contiguous()
    assert torch.equal(ranks(queries, items, targets, order(space)), targets + 1)
    assert top1(queries, items, order(space)).tolist() == [0] * 20
