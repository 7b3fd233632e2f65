"""Batching, and the process behind it: who waits, who shares, and what happens when it dies."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hyperaware.server.batching import Batch, Batcher, Job, QueueFull
from hyperaware.server.supervisor import Supervisor, WorkerDown
from hyperaware.server.wire import Message

Workers = Callable[..., Supervisor]


class Unsent(Supervisor):
    """A supervisor whose line keeps what it is sent, so that a test can look at it and answer it."""

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.arrived = threading.Semaphore(0)

    def line(self) -> "Unsent":  # type: ignore[override]
        return self

    def send(self, work: Batch) -> None:
        self.sent.append(work)
        self.arrived.release()


def points_of(batch: Batch) -> None:
    """Answer each input by its place in the batch."""
    count = sum(map(len, batch.jobs))
    rows = np.stack([np.arange(count), np.zeros(count)], axis=1).astype("<f4")
    batch.answered(Message({"shape": [count, 2]}, rows.tobytes()))


def test_concurrent_requests_share_a_batch_and_each_gets_its_own_points() -> None:
    supervisor = Unsent()
    batcher = Batcher(supervisor, size=5, wait=30, limit=100)  # goes when it is full, not before
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(batcher.answer, "text", ["x"] * n, seconds=60) for n in (1, 2, 2)]
        supervisor.arrived.acquire()
        (batch,) = supervisor.sent
        assert sorted(map(len, batch.jobs)) == [1, 2, 2]
        points_of(batch)
        places = [future.result().points[:, 0].tolist() for future in asked]
    assert sorted(place for each in places for place in each) == [0, 1, 2, 3, 4]
    assert all(np.diff(each).tolist() == [1.0] * (len(each) - 1) for each in places)
    batcher.close()


def test_a_batch_that_is_not_full_goes_after_the_wait() -> None:
    supervisor = Unsent()
    batcher = Batcher(supervisor, size=100, wait=0.05, limit=100)
    with ThreadPoolExecutor(1) as pool:
        start = time.monotonic()
        asked = pool.submit(batcher.answer, "text", ["x"], seconds=60)
        supervisor.arrived.acquire()
        assert time.monotonic() - start >= 0.05
        points_of(supervisor.sent[0])
        assert asked.result().points.shape == (1, 2)
    batcher.close()


def test_texts_and_pictures_go_in_batches_of_their_own_and_long_requests_in_several() -> None:
    supervisor = Unsent()
    batcher = Batcher(supervisor, size=4, wait=0.0, limit=100)
    crop = np.zeros((2, 2, 3), dtype=np.uint8)
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(batcher.answer, *each, seconds=60)
            for each in (("text", ["x"] * 9), ("image", [crop]))
        ]
        for _ in range(4):  # 9 texts make three batches
            supervisor.arrived.acquire()
        for batch in supervisor.sent:
            points_of(batch)
        assert [len(future.result().points) for future in asked] == [9, 1]
    assert [each.message()[0]["do"] for each in supervisor.sent].count("text") == 3
    assert max(sum(map(len, batch.jobs)) for batch in supervisor.sent) == 4
    batcher.close()


def test_what_does_not_fit_into_the_queue_is_refused_at_once() -> None:
    supervisor = Unsent()
    batcher = Batcher(supervisor, size=100, wait=30, limit=3)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(batcher.answer, "text", ["x"] * 3, seconds=60)
        while batcher.depth < 3:
            time.sleep(0.001)
        with pytest.raises(QueueFull, match="3 inputs wait for the model; at most 3 may"):
            batcher.answer("text", ["y"], seconds=60)
        batcher.close()
        with pytest.raises(WorkerDown, match="stopping"):
            asked.result()
    with pytest.raises(WorkerDown, match="stopping"):
        batcher.answer("text", ["z"], seconds=60)


def test_nobody_waits_longer_than_they_said() -> None:
    batcher = Batcher(Unsent(), size=100, wait=30, limit=3)
    with pytest.raises(WorkerDown, match=r"no answer within 0.05 s"):
        batcher.answer("text", ["x"], seconds=0.05)
    batcher.close()


@pytest.mark.parametrize(
    "message",
    [
        Message({"error": "cannot"}, b""),
        Message({"shape": [1, 2]}, np.zeros(2, "<f4").tobytes()),
        Message({"shape": [2, 2]}, np.array([0, 0, 0, np.nan], "<f4").tobytes()),
        Message({"shape": [2, 2]}, b"123"),
    ],
)
def test_an_answer_that_is_no_finite_point_for_each_input_is_none(message: Message) -> None:
    jobs = [Job("text", ["a"]), Job("text", ["b"])]
    Batch(jobs).answered(message)
    for job in jobs:
        with pytest.raises(WorkerDown):
            job.answer.result(timeout=0)


def test_texts_that_do_not_fit_have_no_point_and_the_others_keep_theirs() -> None:
    jobs = [Job("fitting", ["a", "long"]), Job("fitting", ["long"]), Job("fitting", ["b", "c"])]
    points = np.arange(6, dtype="<f4").reshape(3, 2)
    Batch(jobs).answered(Message({"shape": [3, 2], "fit": [1, 0, 0, 1, 1]}, points.tobytes()))
    answers = [job.answer.result(timeout=0) for job in jobs]
    assert [each.fit for each in answers] == [[True, False], [False], [True, True]]
    assert [each.points.tolist() for each in answers] == [[[0, 1]], [], [[2, 3], [4, 5]]]


@pytest.mark.parametrize("told", [{}, {"fit": [1]}, {"fit": [1, 0]}])
def test_an_answer_that_does_not_say_what_fits_is_none(told: dict[str, list[int]]) -> None:
    job = Job("fitting", ["a", "b"])
    Batch([job]).answered(Message({"shape": [2, 2], **told}, np.zeros(4, "<f4").tobytes()))
    with pytest.raises(WorkerDown):
        job.answer.result(timeout=0)


def test_points_come_from_the_process_of_the_model(fake_workers: Workers) -> None:
    supervisor = fake_workers(spare=False)
    batcher = Batcher(supervisor, size=8, wait=0.0, limit=100)
    assert batcher.answer("text", ["four", "x"], seconds=60).points.tolist() == [[4, 0], [1, 0]]
    crops = [np.full((3, 3, 3), value, dtype=np.uint8) for value in (7, 9)]
    assert batcher.answer("image", crops, seconds=60).points.tolist() == [[7, 1], [9, 1]]
    for word in ("fail", "nan"):
        with pytest.raises(WorkerDown):
            batcher.answer("text", [word], seconds=60)
    assert batcher.answer("text", ["well"], seconds=60).points.tolist() == [[4, 0]]
    batcher.close()


def test_a_killed_process_fails_what_it_had_and_is_replaced(fake_workers: Workers) -> None:
    told: list[str] = []
    supervisor = fake_workers(spare=True, on_change=lambda event, sentence: told.append(event))
    batcher = Batcher(supervisor, size=8, wait=0.0, limit=100)
    first = supervisor.pid
    with pytest.raises(WorkerDown, match="has died"):
        batcher.answer("text", ["die"], seconds=60)
    assert answers_again(batcher) == [[2.0, 0.0]]
    assert supervisor.pid != first
    second = supervisor.pid
    assert second is not None
    os.kill(second, signal.SIGKILL)  # while nobody asks it anything
    wait_until(lambda: supervisor.pid not in (second, None))
    assert answers_again(batcher) == [[2.0, 0.0]]
    assert supervisor.restarts == 2
    wait_until(lambda: told == ["model_failed", "recovered"] * 2)
    batcher.close()


def test_a_process_that_hangs_is_killed(fake_workers: Workers) -> None:
    supervisor = fake_workers(spare=False, seconds=0.2)
    batcher = Batcher(supervisor, size=8, wait=0.0, limit=100)
    with pytest.raises(WorkerDown, match="has died"):
        batcher.answer("text", ["hang"], seconds=60)
    assert answers_again(batcher) == [[2.0, 0.0]]
    batcher.close()


def test_a_model_that_cannot_be_loaded_is_a_reason_and_not_the_end(fake_workers: Workers) -> None:
    supervisor = fake_workers("broken", wait=False, spare=False)
    wait_until(lambda: "cannot be loaded: it is broken" in supervisor.reason)
    with pytest.raises(WorkerDown, match="it is broken"):
        supervisor.line()


def test_a_device_that_is_not_there_is_a_reason() -> None:
    """By the process that loads the real model."""
    supervisor = Supervisor("world", device="gpu", spare=False)
    supervisor.start()
    try:
        wait_until(lambda: "got the device 'gpu', expected auto" in supervisor.reason)
    finally:
        supervisor.stop()


def test_another_model_in_the_same_folder_is_not_taken(fake_workers: Workers) -> None:
    supervisor = fake_workers("fake-1", spare=False)
    supervisor._model = "fake-2"  # what the folder holds has changed
    pid = supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "another model" in supervisor.reason)
    with pytest.raises(WorkerDown, match="another model"):
        supervisor.line()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.01)


def answers_again(batcher: Batcher) -> list[list[float]]:
    deadline = time.monotonic() + 60
    while True:
        try:
            return batcher.answer("text", ["ok"], seconds=60).points.tolist()
        except WorkerDown:
            assert time.monotonic() < deadline, "the model did not come back within a minute"
            time.sleep(0.01)
