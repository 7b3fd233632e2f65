"""Reviews: who gets which case, who may decide it, and that each change stands in the audit log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperaware.errors import ConfigError, RecordError
from hyperaware.records.audit import AuditLog
from hyperaware.records.cases import Case
from hyperaware.records.chain import Record, records
from hyperaware.records.reviews import ReviewQueue


class Clock:
    """A clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    with AuditLog(tmp_path / "audit.jsonl") as opened:
        yield opened


@pytest.fixture
def queue(tmp_path: Path, log: AuditLog, clock: Clock) -> Iterator[ReviewQueue]:
    with ReviewQueue(tmp_path / "reviews.sqlite", audit=log, clock=clock) as opened:
        yield opened


def added(queue: ReviewQueue, request_id: str = "req-1", **changed: Any) -> Case:
    """A case in the queue."""
    fields = {
        "request_id": request_id,
        "modality": "image",
        "content_sha256": "ab" * 32,
        "action": "review",
        "score": 1.5,
        "categories": {"violence": 0.75},
        "reason": "above the bound",
    }
    return queue.add(**{**fields, **changed})


def told(log: AuditLog) -> list[Record]:
    return list(records(log.path))


def conflict(act: Any, *arguments: Any, **named: Any) -> str:
    """The message of an act that comes into conflict with the state of its case."""
    with pytest.raises(RecordError) as caught:
        act(*arguments, **named)
    assert caught.value.reason == "conflict"
    return str(caught.value)


# -- one case, from end to end ---------------------------------------------------------------------------


def test_a_case_is_opened_leased_decided_appealed_and_decided_again(
    queue: ReviewQueue, log: AuditLog
) -> None:
    case = added(queue, item_id="item-7", content="2026/req-1.png", priority=2)
    assert (case.state, case.revision, case.turns, case.content) == ("open", 1, (), "2026/req-1.png")
    leased = queue.next("key-ada")
    assert leased is not None
    assert (leased.id, leased.state, leased.reviewer) == (case.id, "leased", "key-ada")
    decided = queue.decide(case.id, decision="uphold", reason="A weapon.", reviewer="key-ada")
    assert (decided.state, decided.reviewer, decided.lease_until) == ("decided", None, None)
    assert queue.depth() == 0
    reopened = queue.appeal("req-1", reason="It is a toy.")
    assert (reopened.state, queue.depth()) == ("open", 1)
    assert queue.next("key-ada") is None
    assert queue.next("key-bob") is not None
    final = queue.decide(case.id, decision="overturn", reason="A toy.", reviewer="key-bob")
    assert [(turn.kind, turn.decision, turn.reviewer) for turn in final.turns] == [
        ("decision", "uphold", "key-ada"),
        ("appeal", None, None),
        ("decision", "overturn", "key-bob"),
    ]
    assert queue.get(case.id) == queue.get("req-1") == final
    assert [record.event for record in told(log)] == [
        "review_opened",
        "review_leased",
        "review",
        "appeal",
        "review_leased",
        "review",
    ]
    assert [record.fields["revision"] for record in told(log)] == [1, 2, 3, 4, 5, 6]
    assert {record.fields["review_id"] for record in told(log)} == {case.id}
    assert told(log)[2].fields == {
        "review_id": case.id,
        "request_id": "req-1",
        "revision": 3,
        "decision": "uphold",
        "reason": "A weapon.",
        "reviewer": "key-ada",
        "automated": False,
    }


def test_the_case_outlives_its_queue(tmp_path: Path, queue: ReviewQueue, log: AuditLog, clock: Clock) -> None:
    case = added(queue)
    queue.next("key-ada")
    queue.close()
    with ReviewQueue(tmp_path / "reviews.sqlite", audit=log, clock=clock) as again:
        assert again.get(case.id).reviewer == "key-ada"


# -- whose turn it is ------------------------------------------------------------------------------------


def test_the_highest_priority_comes_first_and_then_the_oldest(queue: ReviewQueue) -> None:
    for name, priority in (("low", 0), ("old", 5), ("new", 5), ("high", 9.5)):
        added(queue, name, priority=priority)
    order = [case.request_id for reviewer in "abcd" if (case := queue.next(reviewer))]
    assert order == ["high", "old", "new", "low"]
    assert queue.next("e") is None


def test_a_lease_ends_and_the_case_goes_to_somebody_else(queue: ReviewQueue, clock: Clock) -> None:
    case = added(queue)
    assert queue.next("key-ada", lease_seconds=60) is not None
    assert queue.next("key-bob") is None
    message = conflict(queue.decide, case.id, decision="uphold", reason="x", reviewer="key-bob")
    assert message == f"case {case.id} is leased to another reviewer."
    clock.now += 61
    assert queue.get(case.id).state == "open"
    taken = queue.next("key-bob")
    assert taken is not None
    assert taken.reviewer == "key-bob"
    conflict(queue.decide, case.id, decision="uphold", reason="x", reviewer="key-ada")


def test_a_reviewer_gets_their_own_case_again_with_the_lease_renewed(
    queue: ReviewQueue, clock: Clock, log: AuditLog
) -> None:
    first = added(queue)
    added(queue, "req-2", priority=9)
    queue.decide(queue.get("req-2").id, decision="uphold", reason="x", reviewer="key-bob")
    queue.next("key-ada", lease_seconds=60)
    added(queue, "req-3", priority=9)
    clock.now += 50
    again = queue.next("key-ada", lease_seconds=60)
    assert again is not None
    assert again.id == first.id
    assert again.lease_until == pytest.approx(clock.now + 60, abs=0.1)
    assert [record.event for record in told(log)].count("review_leased") == 1


def test_an_ended_lease_still_lets_its_holder_decide_if_nobody_took_the_case(
    queue: ReviewQueue, clock: Clock
) -> None:
    case = added(queue)
    queue.next("key-ada", lease_seconds=1)
    clock.now += 100
    assert queue.decide(case.id, decision="uphold", reason="x", reviewer="key-ada").state == "decided"


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_lease_takes_time(seconds: float, queue: ReviewQueue) -> None:
    with pytest.raises(RecordError, match="lease_seconds"):
        queue.next("key-ada", lease_seconds=seconds)


# -- what is refused -------------------------------------------------------------------------------------


def test_a_case_is_decided_once(queue: ReviewQueue) -> None:
    case = added(queue)
    queue.decide(case.id, decision="uphold", reason="x", reviewer="key-ada")
    for reviewer in ("key-ada", "key-bob"):
        assert "decided already" in conflict(
            queue.decide, case.id, decision="overturn", reason="x", reviewer=reviewer
        )


def test_an_appeal_is_decided_by_somebody_who_never_decided_it(queue: ReviewQueue) -> None:
    case = added(queue)
    for reviewer in ("key-ada", "key-bob"):
        queue.decide(case.id, decision="uphold", reason="x", reviewer=reviewer)
        queue.appeal(case.id, reason="Please look again.")
    for reviewer in ("key-ada", "key-bob"):
        assert queue.next(reviewer) is None
        assert "by the same reviewer" in conflict(
            queue.decide, case.id, decision="overturn", reason="x", reviewer=reviewer
        )
    assert queue.decide(case.id, decision="overturn", reason="x", reviewer="key-eve").state == "decided"


def test_an_appeal_waits_for_its_decision(queue: ReviewQueue) -> None:
    case = added(queue)
    assert queue.appeal(case.id, reason="Before anybody looked.").state == "open"
    assert "waits for its decision" in conflict(queue.appeal, case.id, reason="Again.")


def test_a_request_has_one_case(queue: ReviewQueue) -> None:
    case = added(queue)
    assert case.id in conflict(added, queue)
    assert queue.depth() == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"request_id": ""},
        {"content_sha256": "the words themselves"},
        {"score": float("nan")},
        {"categories": {"hate": float("inf")}},
        {"reason": ""},
        {"priority": float("inf")},
        {"action": "Hold it"},
        {"content": "../keys.json"},
        {"content": "/etc/passwd"},
        {"content": "a/../../b"},
        {"content": "C:\\keys.json"},
        {"content": ""},
        {"content": "a\0b"},
    ],
    ids=str,
)
def test_a_wrong_case_is_refused_and_leaves_nothing(
    changed: dict[str, Any], queue: ReviewQueue, log: AuditLog
) -> None:
    with pytest.raises(RecordError) as caught:
        added(queue, **changed)
    assert caught.value.reason == "refused"
    assert (queue.list(), told(log)) == ([], [])


@pytest.mark.parametrize(
    "changed", [{"reason": ""}, {"reason": "  "}, {"decision": "delete"}, {"reviewer": ""}], ids=str
)
def test_a_decision_needs_a_reason_a_verdict_and_a_reviewer(
    changed: dict[str, Any], queue: ReviewQueue
) -> None:
    case = added(queue)
    named = {"decision": "uphold", "reason": "x", "reviewer": "key-ada", **changed}
    with pytest.raises(RecordError) as caught:
        queue.decide(case.id, **named)
    assert caught.value.reason == "refused"
    assert queue.get(case.id) == case


def test_what_is_not_there_is_unknown(queue: ReviewQueue) -> None:
    for act in (
        lambda: queue.get("case-0"),
        lambda: queue.appeal("case-0", reason="x"),
        lambda: queue.decide("case-0", decision="uphold", reason="x", reviewer="key-ada"),
    ):
        with pytest.raises(RecordError, match="no case and no request") as caught:
            act()
        assert caught.value.reason == "unknown"


def test_a_request_that_is_named_like_a_case_does_not_stand_for_it(queue: ReviewQueue) -> None:
    case = added(queue)
    other = added(queue, case.id)
    assert queue.get(case.id).id == case.id
    assert queue.get(other.id).id == other.id


# -- listing ---------------------------------------------------------------------------------------------


def test_cases_are_listed_by_state_and_page(queue: ReviewQueue, clock: Clock) -> None:
    for number in range(6):
        added(queue, f"req-{number}")
    queue.next("key-ada", lease_seconds=60)
    queue.decide(queue.get("req-5").id, decision="uphold", reason="x", reviewer="key-bob")

    def names(*state: Any, **page: Any) -> list[str]:
        return [case.request_id[-1] for case in queue.list(*state, **page)]

    assert names() == ["0", "1", "2", "3", "4", "5"]
    assert names("leased") == ["0"]
    assert names("open") == ["1", "2", "3", "4"]
    assert names("decided") == ["5"]
    assert names("open", offset=1, limit=2) == ["2", "3"]
    assert names(limit=0) == []
    clock.now += 61
    assert names("open") == ["0", "1", "2", "3", "4"]
    with pytest.raises(ConfigError, match="Did you mean 'open'"):
        queue.list("opened")  # type: ignore[arg-type]


# -- the audit log ---------------------------------------------------------------------------------------


def test_without_its_record_nothing_changes(queue: ReviewQueue, log: AuditLog) -> None:
    case = added(queue)
    log.close()
    for act in (
        lambda: added(queue, "req-2"),
        lambda: queue.next("key-ada"),
        lambda: queue.decide(case.id, decision="uphold", reason="x", reviewer="key-ada"),
        lambda: queue.appeal(case.id, reason="x"),
    ):
        with pytest.raises(RecordError, match="closed"):
            act()
    assert queue.list() == [case]


def test_killed_between_log_and_queue_a_record_stands_twice_with_one_revision(
    queue: ReviewQueue, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = added(queue)
    with monkeypatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(queue, "_turn", killed)
        with pytest.raises(KeyboardInterrupt):
            queue.decide(case.id, decision="overturn", reason="never came about", reviewer="key-ada")
    assert queue.get(case.id) == case
    queue.decide(case.id, decision="uphold", reason="came about", reviewer="key-bob")
    found = [(r.fields["revision"], r.fields["decision"]) for r in told(log) if r.event == "review"]
    assert found == [(2, "overturn"), (2, "uphold")]
