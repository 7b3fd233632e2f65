"""Rows, weights and decisions of several processes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from process_samples import PROCESSES, in_two_processes
from torch import Tensor

from hyperaware import distributed
from hyperaware.errors import DataError

SIZES = [3, 2]
ROWS = torch.arange(10.0).reshape(5, 2) / 10


def loss_of(rows: Tensor) -> Tensor:
    """Something in which all rows meet."""
    return (rows @ rows.T).sigmoid().sum()


ERRORS = [DataError("no room"), FileNotFoundError(2, "No such file or directory", "/nowhere")]


def raised(error: Exception) -> None:
    raise error


def error_of(action: Callable[[], Any]) -> str:
    with pytest.raises((DataError, OSError)) as caught:
        action()
    return f"{type(caught.value).__name__}: {caught.value}"


def work(rank: int, folder: Path) -> None:
    """What one process finds."""
    own = ROWS.split(SIZES)[rank].clone().requires_grad_()
    whole = distributed.gather(own, SIZES)
    loss_of(whole).backward()
    assert own.grad is not None
    labels = distributed.gather(torch.tensor([True, False, True, True, False]).split(SIZES)[rank], SIZES)

    distributed.BUCKET = 7  # two messages: the first two tensors, and the third
    averaged = [torch.full((2, 3), float(rank)), torch.tensor(10.0 * rank), torch.full((4,), 2.0)]
    distributed.average(averaged)
    shared = [torch.full((2,), float(rank + 5)), torch.tensor(rank)]
    distributed.same(shared)
    with distributed.main_first():
        seen = (folder / "written").is_file()
        (folder / "written").touch()
    with pytest.raises(DataError, match="no rows"), distributed.main_first():
        raise DataError("no rows")
    made: list[int] = []
    by_main = distributed.by_main(lambda: made.append(rank) or {"made by": rank})
    errors = [error_of(partial(distributed.by_main, partial(raised, error))) for error in ERRORS]
    found: dict[str, Any] = {
        "rows": whole.detach(),
        "gradient": own.grad,
        "labels": labels,
        "shares": distributed.shares(5),
        "who": (distributed.rank(), distributed.processes(), distributed.is_main()),
        "averaged": averaged,
        "same": shared,
        "seen": seen,
        "by_main": (by_main, made),
        "errors": errors,
        "share": [list(distributed.share(items)) for items in (range(5), [7])],
        "neighbours": distributed.neighbours(),
        "from_main": distributed.from_main({"step": rank}),
        "each": distributed.each(10 * rank),
        "any": [distributed.any_process(torch.tensor(rank == which)) for which in range(3)],
    }
    torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of each process."""
    folder = tmp_path_factory.mktemp("processes")
    in_two_processes(work, folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def test_rows_of_all_are_on_every_process_in_the_order_of_ranks(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert torch.equal(each["rows"], ROWS)
        assert each["labels"].tolist() == [True, False, True, True, False]
        assert each["shares"] == SIZES


def test_gradients_flow_back_to_the_process_that_a_row_came_from(found: list[dict[str, Any]]) -> None:
    """Times two: so that the mean over processes of what they lead to is that of the whole."""
    rows = ROWS.clone().requires_grad_()
    loss_of(rows).backward()
    assert rows.grad is not None
    together = torch.cat([each["gradient"] for each in found])
    torch.testing.assert_close(together, PROCESSES * rows.grad)
    assert float(rows.grad.abs().min()) > 0


def test_weights_are_averaged_and_made_the_same(found: list[dict[str, Any]]) -> None:
    for each in found:
        first, second, third = each["averaged"]
        assert torch.equal(first, torch.full((2, 3), 0.5))
        assert torch.equal(second, torch.tensor(5.0))
        assert torch.equal(third, torch.full((4,), 2.0))
        assert [tensor.tolist() for tensor in each["same"]] == [[5.0, 5.0], 0]


def test_gradients_are_sent_in_large_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "BUCKET", 7)
    sizes = [6, 1, 2, 9, 4]
    buckets = distributed._buckets(torch.empty(size) for size in sizes)
    assert [[tensor.numel() for tensor in bucket] for bucket in buckets] == [[6, 1], [2], [9], [4]]


def test_decisions_are_taken_together(found: list[dict[str, Any]]) -> None:
    assert [each["who"] for each in found] == [(0, 2, True), (1, 2, False)]
    for each in found:
        assert each["from_main"] == {"step": 0}
        assert each["each"] == [0, 10]
        assert each["any"] == [True, True, False]


def test_what_the_main_process_makes_is_made_once(found: list[dict[str, Any]]) -> None:
    assert [each["by_main"] for each in found] == [({"made by": 0}, [0]), ({"made by": 0}, [])]


def test_an_error_of_the_main_process_is_one_of_all(found: list[dict[str, Any]]) -> None:
    message = "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'"
    for each in found:
        assert each["errors"] == ["DataError: no room", message]


def test_items_are_shared_out_in_order(found: list[dict[str, Any]]) -> None:
    assert [each["share"] for each in found] == [[[0, 1, 2], [7]], [[3, 4], []]]
    assert [each["neighbours"] for each in found] == [PROCESSES, PROCESSES]


def test_the_main_process_goes_first(found: list[dict[str, Any]]) -> None:
    assert [each["seen"] for each in found] == [False, True]


def test_in_one_process_nothing_happens() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather(x, [3]) is x
    weights = [torch.tensor([1.0, 2.0])]
    distributed.average(weights)
    distributed.same(weights)
    assert weights[0].tolist() == [1.0, 2.0]
    assert (distributed.rank(), distributed.processes(), distributed.is_main()) == (0, 1, True)
    assert (distributed.from_main(3), distributed.each(3)) == (3, [3])
    assert distributed.any_process(torch.tensor(True))
    assert not distributed.any_process(torch.tensor(False))
    with distributed.main_first():
        distributed.wait()
    assert distributed.by_main(lambda: 3) == 3
    assert distributed.share([1, 2]) == [1, 2]
    assert distributed.neighbours() == 1
