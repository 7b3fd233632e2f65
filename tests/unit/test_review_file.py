"""The file of the reviews: whose it is, and threads and processes that work on it at once."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from record_samples import review_many, together

from hyperaware.errors import RecordError
from hyperaware.records.audit import AuditLog
from hyperaware.records.cases import Case
from hyperaware.records.chain import records, verify
from hyperaware.records.reviews import ReviewQueue


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    with AuditLog(tmp_path / "audit.jsonl") as opened:
        yield opened


@pytest.fixture
def queue(tmp_path: Path, log: AuditLog) -> Iterator[ReviewQueue]:
    with ReviewQueue(tmp_path / "reviews.sqlite", audit=log) as opened:
        yield opened


def added(queue: ReviewQueue, request_id: str = "req-1") -> Case:
    """A case in the queue."""
    return queue.add(
        request_id=request_id,
        modality="image",
        content_sha256="ab" * 32,
        action="review",
        score=1.5,
        categories={"violence": 0.75},
        reason="above the bound",
    )


# -- the file --------------------------------------------------------------------------------------------


def test_a_file_of_someone_else_is_refused_and_left_alone(tmp_path: Path, log: AuditLog) -> None:
    file = tmp_path / "theirs.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.commit()
    before = file.read_bytes()
    with pytest.raises(RecordError, match="no reviews that this hyperaware reads"):
        ReviewQueue(file, audit=log)
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, log: AuditLog) -> None:
    (tmp_path / "reviews.sqlite").write_bytes(b"hello" * 1000)
    with pytest.raises(RecordError, match="not a database") as caught:
        ReviewQueue(tmp_path / "reviews.sqlite", audit=log)
    assert caught.value.reason == "damaged"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, log: AuditLog) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="cannot be opened"):
        ReviewQueue(tmp_path / "file" / "reviews.sqlite", audit=log)


def test_a_closed_queue_says_so(queue: ReviewQueue) -> None:
    queue.close()
    with pytest.raises(RecordError) as caught:
        queue.depth()
    assert caught.value.reason == "closed"


def test_nobody_else_may_read_it(tmp_path: Path, queue: ReviewQueue) -> None:
    added(queue)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("reviews.sqlite*")}
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}


# -- several at once -------------------------------------------------------------------------------------


def test_threads_never_get_the_same_case(queue: ReviewQueue) -> None:
    for number in range(12):
        added(queue, f"req-{number}")
    got: list[str] = []

    def work(reviewer: str) -> None:
        while (case := queue.next(reviewer)) is not None:
            queue.decide(case.id, decision="uphold", reason="x", reviewer=reviewer)
            got.append(case.id)

    threads = [threading.Thread(target=work, args=(f"key-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 12


def test_processes_never_decide_the_same_case(tmp_path: Path, queue: ReviewQueue, log: AuditLog) -> None:
    for number in range(15):
        added(queue, f"req-{number}")
    together(review_many, [(tmp_path, f"key-{n}") for n in range(3)])
    decisions = [record.fields for record in records(log.path) if record.event == "review"]
    assert sorted(each["request_id"] for each in decisions) == sorted(f"req-{n}" for n in range(15))
    assert verify(log.path) == []
    assert queue.depth() == 0
    by_reviewer = {case.request_id: case.turns[0].reviewer for case in queue.list("decided")}
    assert by_reviewer == {each["request_id"]: each["reviewer"] for each in decisions}
