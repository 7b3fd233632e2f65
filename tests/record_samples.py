"""What the tests of the records write: one sound decision, a log of some, and work for several processes."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperaware.records.audit import AuditLog
from hyperaware.records.keys import KeyRing
from hyperaware.records.reviews import ReviewQueue

DECISION: dict[str, Any] = {
    "request_id": "req-1",
    "modality": "text",
    "content_sha256": "ab" * 32,
    "item_id": None,
    "score": 1.5,
    "bound": 1.25,
    "probability": 0.9,
    "categories": {"violence": 0.75, "hate": 0.125},
    "role": "viewer",
    "action": "redirect",
    "shadow": None,
    "reason": "root distance 1.5000 is above the bound 1.2500",
    "message": None,
    "policy_version": "2026-1",
    "model_fingerprint": "f00d",
    "automated": True,
}


def decision(**changed: Any) -> dict[str, Any]:
    """The fields of a sound decision, some of them changed."""
    return {**DECISION, **changed}


def log_of(path: Path, count: int, *, segment_bytes: int = 2**24) -> Path:
    """A closed log of `count` decisions, `req-1` to `req-COUNT`."""
    with AuditLog(path, segment_bytes=segment_bytes) as log:
        for number in range(1, count + 1):
            log.append("decision", **decision(request_id=f"req-{number}"))
    return path


def together(work: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Run `work` once for each tuple of arguments, in processes at the same time; each must end well."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=each) for each in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def append_many(path: Path, writer: int, count: int, segment_bytes: int) -> None:
    """Append `count` decisions of one writer, in a process of its own."""
    with AuditLog(path, segment_bytes=segment_bytes) as log:
        for number in range(count):
            log.append("decision", **decision(request_id=f"writer-{writer}-{number}"))


def review_many(folder: Path, reviewer: str) -> None:
    """Decide cases until none is left, in a process of its own."""
    with AuditLog(folder / "audit.jsonl") as log, ReviewQueue(folder / "reviews.sqlite", audit=log) as queue:
        while (case := queue.next(reviewer)) is not None:
            queue.decide(case.id, decision="uphold", reason="seen", reviewer=reviewer)


def create_many(path: Path, writer: int, count: int) -> None:
    """Create keys, in a process of its own."""
    ring = KeyRing.read(path, create=True)
    for number in range(count):
        ring.create("viewer", f"{writer}-{number}")
