"""Choosing weights by mass and by number, by hand and against a slow oracle; ties, zeros, wrong settings."""

import pytest
import torch
from torch import Tensor

from hyperaware.editing.selection import by_count, by_mass
from hyperaware.errors import ConfigError, DataError

VISION = torch.tensor([[0.813452, 1.361166], [0.433057, 0.724643]])
TEXT = torch.tensor([[0.813452, 2.722333], [1.299171, 0.362321]])


@pytest.mark.parametrize(
    ("scores", "tau", "expected"),
    [
        (VISION, 0.5, [[True, True], [False, False]]),
        (TEXT, 0.5, [[False, True], [False, False]]),
        (VISION, 0.8, [[True, True], [False, True]]),
        (TEXT, 0.8, [[True, True], [True, False]]),
    ],
)
def test_the_worked_example(scores: Tensor, tau: float, expected: list[list[bool]]) -> None:
    assert by_mass(scores, tau).tolist() == expected


def slow_selection(scores: Tensor, tau: float) -> list[int]:
    """Sorted upwards, those whose cumulative share exceeds 1 - tau; of equal ones the later are lower."""
    order = sorted(range(len(scores)), key=lambda index: (scores[index].item(), -index))
    share, chosen = 0.0, []
    total = scores.double().sum().item()
    for index in order:
        share += scores[index].double().item() / total
        if share > 1 - tau + 1e-12:
            chosen.append(index)
    return sorted(chosen)


@pytest.mark.parametrize("tau", [0.001, 0.02, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("levels", [4, 1000])
def test_it_is_the_rule_of_the_paper(tau: float, levels: int, generator: torch.Generator) -> None:
    """Scores of few levels: the boundary is nearly always a tie."""
    scores = 1.0 + torch.randint(levels, (211,), generator=generator).float()
    assert by_mass(scores, tau).nonzero().flatten().tolist() == slow_selection(scores, tau)


@pytest.mark.parametrize("tau", [0.02, 0.1, 0.5])
def test_the_chosen_hold_the_mass_and_one_less_does_not(tau: float, generator: torch.Generator) -> None:
    scores = torch.rand(300, 41, generator=generator) ** 3
    mask = by_mass(scores, tau)
    chosen, total = scores[mask].double(), scores.double().sum()
    assert chosen.sum() >= tau * total
    assert chosen.sum() - chosen.min() < tau * total
    assert scores[mask].min() >= scores[~mask].max()
    assert mask.double().mean() < tau


def test_of_equal_scores_the_first_are_chosen() -> None:
    assert by_mass(torch.ones(10), 0.3).nonzero().flatten().tolist() == [0, 1, 2]
    assert by_mass(torch.tensor([1.0, 2.0, 1.0, 1.0]), 0.5).tolist() == [True, True, False, False]


def test_all_of_the_mass_leaves_only_zeros_out() -> None:
    assert by_mass(torch.tensor([0.0, 0.5, 0.0, 0.1]), 1.0).tolist() == [False, True, False, True]


@pytest.mark.parametrize("tau", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(tau: float) -> None:
    with pytest.raises(ConfigError, match="tau="):
        by_mass(torch.ones(3), tau)


@pytest.mark.parametrize(
    ("scores", "message"),
    [([0.0, 0.0], "all scores are zero"), ([1.0, float("nan")], "not finite"), ([1.0, -0.5], "negative")],
)
def test_scores_that_mean_nothing_are_refused(scores: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        by_mass(torch.tensor(scores), 0.5)


def test_by_count() -> None:
    """Of 1000 weights the published share of 0.5 % is 5; ties at the threshold are all left out."""
    scores = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).float()
    assert scores[by_count(scores, 0.005)].sort().values.tolist() == [995, 996, 997, 998, 999]
    assert int(by_count(scores.view(20, 50), 0.035).sum()) == 35
    assert by_count(torch.tensor([1.0, 3.0, 3.0, 3.0]), 0.5).tolist() == [False] * 4


@pytest.mark.parametrize("share", [0.0, 1.0, 0.999])
def test_a_count_that_chooses_all_or_nothing_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="leaves some out"):
        by_count(torch.rand(100), share)
