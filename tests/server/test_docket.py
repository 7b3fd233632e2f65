"""The docket: who is done together, who gets what, and who is refused."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from hyperaware.server.batching import QueueFull
from hyperaware.server.docket import CLERKS, EAGER, Docket
from hyperaware.server.supervisor import WorkerDown

Make = Callable[..., Docket]
T = TypeVar("T")


@pytest.fixture
def make() -> Iterator[Make]:
    made = []

    def one(*, most: int = 4, limit: int = 100, behind: int = 0) -> Docket:
        made.append(Docket(most=most, limit=limit, seconds=60, behind=lambda: behind))
        return made[-1]

    yield one
    for docket in made:
        docket.close()


def in_a_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it gives. In a thread of its own: a browser's loop may be at home in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Held:
    """Work that doubles numbers; until it is let go, every clerk who begins it is held up."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, numbers: list[int]) -> Sequence[int]:
        self.groups.append(numbers)
        self.begun.release()
        assert self.go.wait(60)
        return [2 * number for number in numbers]

    async def occupied(self, docket: Docket) -> list[asyncio.Future[int]]:
        """Requests that keep all clerks busy: one for each."""
        asked: list[asyncio.Future[int]] = []
        for number in range(CLERKS):
            asked.append(asyncio.ensure_future(docket.done(self, -number, weight=docket.most)))
            await asyncio.to_thread(self.begun.acquire)
        return asked


def test_what_waits_is_done_together_and_each_gets_its_own_answer(make: Make) -> None:
    docket, work = make(most=4), Held()

    async def run() -> list[int]:
        busy = await work.occupied(docket)
        asked = [asyncio.ensure_future(docket.done(work, n, weight=w)) for n, w in enumerate((1, 2, 1, 3, 9))]
        await asyncio.sleep(0)
        assert docket.depth == 16
        work.go.set()
        found = [await each for each in asked]
        await asyncio.gather(*busy)
        return found

    assert in_a_loop(run()) == [0, 2, 4, 6, 8]
    assert work.groups[:CLERKS] == [[-number] for number in range(CLERKS)]
    assert sorted(work.groups[CLERKS:]) == [
        [0, 1, 2],
        [3],
        [4],
    ]  # never above 4, but for one that is by itself
    assert docket.depth == 0


def test_while_two_are_busy_the_others_wait_for_a_full_batch(make: Make) -> None:
    docket, work = make(most=4), Held()

    async def run() -> list[int]:
        asked = []
        for number in range(EAGER):
            asked.append(asyncio.ensure_future(docket.done(work, number, weight=1)))
            await asyncio.to_thread(work.begun.acquire)
        asked += [asyncio.ensure_future(docket.done(work, number, weight=1)) for number in (2, 3, 4)]
        await asyncio.sleep(0.05)
        assert (len(work.groups), docket.depth) == (EAGER, 3)
        asked.append(asyncio.ensure_future(docket.done(work, 5, weight=1)))
        await asyncio.to_thread(work.begun.acquire)
        work.go.set()
        return [await each for each in asked]

    assert in_a_loop(run()) == [0, 2, 4, 6, 8, 10]
    assert work.groups == [[0], [1], [2, 3, 4, 5]]


def test_requests_for_other_work_are_not_mixed(make: Make) -> None:
    docket, work = make(), Held()

    def negative(numbers: list[int]) -> list[int]:
        return [-number for number in numbers]

    async def run() -> list[int]:
        busy = await work.occupied(docket)
        asked = [
            asyncio.ensure_future(docket.done(kind, 7, weight=1)) for kind in (work, work, negative, negative)
        ]
        await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*busy)
        return [await each for each in asked]

    assert in_a_loop(run()) == [14, 14, -7, -7]
    assert work.groups[CLERKS:] == [[7, 7]]


def test_an_exception_reaches_whom_it_concerns(make: Make) -> None:
    docket, work = make(), Held()

    def some(numbers: list[int]) -> list[int | Exception]:
        return [ValueError("odd") if number % 2 else number for number in numbers]

    def none(numbers: list[int]) -> list[int]:
        raise KeyError("broken")

    async def run() -> list[object]:
        busy = await work.occupied(docket)
        asked = [docket.done(some, number, weight=1) for number in range(3)]
        asked += [docket.done(none, number, weight=1) for number in range(2)]
        tasks = [asyncio.ensure_future(each) for each in asked]
        await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*busy)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(each) for each in in_a_loop(run())] == [int, ValueError, int, KeyError, KeyError]


def test_what_is_too_much_is_refused_and_what_is_left_at_the_end_is_let_go(make: Make) -> None:
    docket, work = make(limit=7, behind=3), Held()

    async def run() -> None:
        busy = await work.occupied(docket)
        asked = asyncio.ensure_future(docket.done(work, 1, weight=4))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="7 inputs wait for the model; at most 7 may"):
            await docket.done(work, 2, weight=1)
        closing = asyncio.ensure_future(asyncio.to_thread(docket.close))
        with pytest.raises(WorkerDown, match="stopping"):
            await asked
        with pytest.raises(WorkerDown, match="stopping"):
            await docket.done(work, 3, weight=1)
        work.go.set()
        assert await asyncio.gather(*busy) == [
            -2 * number for number in range(CLERKS)
        ]  # what was begun is brought to its end
        await closing

    in_a_loop(run())


def test_what_nobody_came_to_in_time_is_not_begun(make: Make) -> None:
    docket, work = make(), Held()

    async def run() -> None:
        busy = await work.occupied(docket)
        asked = asyncio.ensure_future(docket.done(work, 1, weight=1))
        await asyncio.sleep(0.01)
        docket._seconds = 0.001  # it has waited for longer by now
        work.go.set()
        with pytest.raises(WorkerDown, match=r"within 0.001 s"):
            await asked
        await asyncio.gather(*busy)

    in_a_loop(run())
    assert len(work.groups) == CLERKS


def test_a_client_that_has_gone_keeps_nobody_from_an_answer(make: Make) -> None:
    docket, work = make(), Held()

    async def run() -> None:
        busy = await work.occupied(docket)
        gone, stays = (asyncio.ensure_future(docket.done(work, n, weight=1)) for n in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        work.go.set()
        assert await stays == 4
        await asyncio.gather(*busy)

    in_a_loop(run())
