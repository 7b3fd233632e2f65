"""Ranks, recalls and top-1, on matrices that one checks by eye and against a naive oracle."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hyperaware.errors import DataError
from hyperaware.metrics import ranks, recall_at, recalls, top1

ROW = torch.arange(3.0).unsqueeze(1)


def table(*rows: list[float]) -> Callable[[Tensor, Tensor], Tensor]:
    """A similarity that looks its numbers up: query 0 is row 0, and so on."""
    scores = torch.tensor(rows)
    return lambda queries, items: scores[queries[:, 0].long()][:, items[:, 0].long()]


def test_ranks_by_hand() -> None:
    similarity = table([0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.2, 0.8, 0.3])
    assert ranks(ROW, ROW, torch.tensor([0, 1, 2]), similarity).tolist() == [1, 2, 2]
    assert ranks(ROW, ROW, torch.tensor([2, 2, 0]), similarity).tolist() == [3, 3, 3]
    assert top1(ROW, ROW, similarity).tolist() == [0, 0, 1]


def test_of_equal_items_the_first_is_ahead() -> None:
    similarity = table([0.5, 0.5, 0.5], [0.1, 0.7, 0.7], [0.7, 0.1, 0.7])
    for target, expected in ((0, [1, 3, 1]), (1, [2, 1, 3]), (2, [3, 2, 2])):
        assert ranks(ROW, ROW, torch.full((3,), target), similarity).tolist() == expected
    assert top1(ROW, ROW, similarity).tolist() == [0, 1, 0]


def naive_rank(scores: list[float], target: int) -> int:
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return 1 + order.index(target)


@pytest.mark.parametrize("chunk", [1, 3, 20, 64])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_ranks_equal_those_of_a_full_sort(chunk: int, levels: int, generator: torch.Generator) -> None:
    """Scores from few levels: most are ties."""
    scores = torch.randint(levels, (20, 13), generator=generator).double()
    targets = torch.randint(13, (20,), generator=generator)
    queries, items = torch.arange(20.0).unsqueeze(1), torch.arange(13.0).unsqueeze(1)
    found = ranks(queries, items, targets, table(*scores.tolist()), chunk=chunk)
    expected = [
        naive_rank(row, target) for row, target in zip(scores.tolist(), targets.tolist(), strict=True)
    ]
    assert found.dtype == torch.long
    assert found.tolist() == expected
    first = top1(queries, items, table(*scores.tolist()), chunk=chunk)
    assert [naive_rank(row, index) for row, index in zip(scores.tolist(), first.tolist(), strict=True)] == [
        1
    ] * 20


def test_the_whole_matrix_is_never_asked_for() -> None:
    asked = []

    def similarity(queries: Tensor, items: Tensor) -> Tensor:
        asked.append((len(queries), len(items)))
        return queries @ items.T

    queries = torch.randn(10, 2)
    ranks(queries, queries, torch.arange(10), similarity, chunk=4)
    top1(queries, queries, similarity, chunk=5)
    assert asked == [(4, 10), (4, 10), (2, 10), (5, 10), (5, 10)]


def test_no_gradient_is_kept() -> None:
    queries = torch.randn(3, 2, requires_grad=True)
    assert not ranks(queries, queries, torch.arange(3), lambda x, y: x @ y.T).requires_grad


def test_recall_by_hand() -> None:
    found = torch.tensor([1, 2, 5, 6, 21])
    assert recall_at(found, 1) == 0.2
    assert recall_at(found, 5) == 0.6
    assert recalls(found) == {"recall@1": 0.2, "recall@5": 0.6, "recall@10": 0.8, "recall@20": 0.8}
    assert recalls(found, ks=(21,)) == {"recall@21": 1.0}


def test_no_queries_give_no_ranks_and_no_recall() -> None:
    nothing = ranks(torch.empty(0, 2), torch.ones(3, 2), torch.empty(0, dtype=torch.long), torch.matmul)
    assert nothing.shape == (0,)
    assert top1(torch.empty(0, 2), torch.ones(3, 2), torch.matmul).shape == (0,)
    with pytest.raises(DataError, match="no ranks"):
        recall_at(nothing, 1)


def test_nan_is_an_error_and_never_rank_one() -> None:
    similarity = table([0.9, 0.5, 0.1], [0.9, float("nan"), 0.1], [0.2, 0.8, 0.3])
    with pytest.raises(DataError, match="queries 1 to 1 is NaN"):
        ranks(ROW, ROW, torch.tensor([0, 1, 2]), similarity, chunk=1)
    with pytest.raises(DataError, match="queries 0 to 2 is NaN"):
        top1(ROW, ROW, similarity)


@pytest.mark.parametrize("targets", [[0, 1, 3], [-1, 0, 0]])
def test_a_target_that_is_no_item_is_refused(targets: list[int]) -> None:
    with pytest.raises(DataError, match="indices of 3 items"):
        ranks(ROW, ROW, torch.tensor(targets), lambda x, y: x @ y.T)


def test_there_is_no_first_item_among_none() -> None:
    with pytest.raises(DataError, match="no items"):
        top1(ROW, ROW[:0], lambda x, y: x @ y.T)
