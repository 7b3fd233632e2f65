"""Statements of reasons: all that the log knows about one decision, and nothing that it must not tell."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from record_samples import decision, log_of

from hyperaware.errors import RecordError
from hyperaware.records.audit import AuditLog
from hyperaware.records.reviews import ReviewQueue
from hyperaware.records.statement import statement


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log_of(tmp_path / "audit.jsonl", 3)


@pytest.fixture
def queue(path: Path, tmp_path: Path) -> Iterator[ReviewQueue]:
    """The reviews, with a case of req-2."""
    with AuditLog(path) as log, ReviewQueue(tmp_path / "reviews.sqlite", audit=log) as opened:
        opened.add(
            request_id="req-2",
            modality="text",
            content_sha256="ab" * 32,
            action="redirect",
            score=1.5,
            categories={},
            reason="above the bound",
        )
        yield opened


def test_a_decision_tells_what_on_what_and_why(path: Path) -> None:
    told = statement(path, "req-2")
    assert told.document() == {
        "id": "req-2",
        "state": "in force",
        "decision": {
            "time": told.decision.time,
            "action": "redirect",
            "effect": "the request was answered with safer results",
            "message": None,
            "on_trial": None,
        },
        "subject": {"modality": "text", "content_sha256": "ab" * 32, "item_id": None},
        "facts": {
            "score": 1.5,
            "bound": 1.25,
            "probability": 0.9,
            "categories": {"violence": 0.75, "hate": 0.125},
        },
        "ground": {
            "reason": "root distance 1.5000 is above the bound 1.2500",
            "role": "viewer",
            "policy_version": "2026-1",
        },
        "automated": {
            "detection": True,
            "decision": True,
            "model_fingerprint": "f00d",
            "reviewed_by_a_person": False,
        },
        "later": [],
        "redress": told.redress,
        "not_recorded": told.document()["not_recorded"],
        "evidence": {"record": told.decision.head, "log": told.head},
    }
    assert told.decision.seq == 2
    assert told.head.startswith("3:")
    json.dumps(told.document(), allow_nan=False)
    page = told.markdown()
    for part in (
        "# Statement of reasons: req-2",
        "State: **in force**",
        "Decision: **redirect**: the request was answered with safer results.",
        "Rule: root distance 1.5000 is above the bound 1.2500.",
        "Score (root distance) 1.5000, bound 1.2500.",
        "probability of being unsafe: 90.0%",
        "Categories: violence 0.750, hate 0.125.",
        "Policy version 2026-1, role viewer.",
        "Found and decided automatically, by the model f00d. No person has reviewed it.",
        "## What you can do",
        told.head,
    ):
        assert part in page


def test_it_follows_reviews_and_appeals(path: Path, queue: ReviewQueue) -> None:
    case = queue.get("req-2")
    states = [statement(path, "req-2").state]
    queue.decide(case.id, decision="uphold", reason="A weapon.", reviewer="key-ada")
    states.append(statement(path, "req-2").state)
    queue.appeal("req-2", reason="It is a toy.")
    states.append(statement(path, "req-2").state)
    queue.decide(case.id, decision="overturn", reason="A toy.", reviewer="key-bob")
    told = statement(path, "req-2")
    assert [*states, told.state] == ["in force", "upheld", "under appeal", "overturned"]
    assert [(each["event"], each["reason"]) for each in told.document()["later"]] == [
        ("review", "A weapon."),
        ("appeal", "It is a toy."),
        ("review", "A toy."),
    ]
    assert told.document()["automated"]["reviewed_by_a_person"] is True
    page = told.markdown()
    assert "A person upheld it: “A weapon.”" in page
    assert "Appeal: “It is a toy.”" in page
    for text in (page, json.dumps(told.document())):
        assert "key-ada" not in text
        assert "key-bob" not in text
    assert statement(path, "req-1").later == ()


def test_of_two_records_with_one_revision_the_later_counts(
    path: Path, queue: ReviewQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was killed after the first record and before its case changed."""
    case = queue.get("req-2")
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_turn", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            queue.decide(case.id, decision="overturn", reason="never came about", reviewer="key-ada")
    queue.decide(case.id, decision="uphold", reason="came about", reviewer="key-bob")
    told = statement(path, "req-2")
    assert told.state == "upheld"
    assert [record.fields["reason"] for record in told.later] == ["came about"]


def test_what_people_wrote_makes_no_markup(path: Path, queue: ReviewQueue) -> None:
    queue.appeal("req-2", reason="<script>x</script> [here](http://x)\n\n# Overturned\n| a |")
    page = statement(path, "req-2", redress="Write to *us*.").markdown()
    assert "\\<script\\>x\\</script\\> \\[here\\](http://x) \\# Overturned \\| a \\|" in page
    assert "Write to \\*us\\*." in page


def test_what_people_wrote_steers_no_terminal_and_keeps_its_own_letters(
    path: Path, queue: ReviewQueue
) -> None:
    queue.appeal("req-2", reason="\x1b[2J\x07 \u202eeulb\u2066 می\u200cخواهم\u3000\u2764\ufe0f")
    page = statement(path, "req-2").markdown()
    assert not any(each in page for each in "\x1b\x07\u202e\u2066")
    assert "می\u200cخواهم \u2764\ufe0f" in page


def test_an_unscored_decision_and_an_unknown_action_are_told_as_they_are(path: Path) -> None:
    with AuditLog(path) as log:
        fields = {"score": None, "bound": None, "probability": None, "categories": {}, "action": "demote"}
        log.append("decision", **decision(request_id="req-9", shadow="block", item_id="item-7", **fields))
    page = statement(path, "req-9").markdown()
    assert "It was not scored." in page
    assert "Decision: **demote**." in page
    assert "item item-7" in page
    assert "A policy on trial would have decided: block. Not applied." in page
    assert "Categories" not in page


def test_no_statement_is_made_without_a_sound_log_and_one_decision(path: Path) -> None:
    with pytest.raises(RecordError, match="no decision has the request id 'req-7'") as unknown:
        statement(path, "req-7")
    with AuditLog(path) as log:
        log.append("decision", **decision(request_id="req-1"))
    with pytest.raises(RecordError, match="records 1, 4 are decisions of 'req-1'") as twice:
        statement(path, "req-1")
    path.write_bytes(path.read_bytes().replace(b"req-3", b"req-8"))
    with pytest.raises(RecordError, match="record 3 was changed") as damaged:
        statement(path, "req-2")
    assert [caught.value.reason for caught in (unknown, twice, damaged)] == ["unknown", "conflict", "damaged"]
