"""What the audit log takes: the fields of each event, and never the content."""

from pathlib import Path
from typing import Any

import pytest
from record_samples import decision

from hyperaware.errors import RecordError
from hyperaware.records.audit import AuditLog
from hyperaware.records.chain import examine, verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def refusal(log: AuditLog, event: str, fields: dict[str, Any]) -> str:
    """The message with which the log refuses an event; nothing was written."""
    before = log.path.read_bytes()
    with pytest.raises(RecordError) as caught:
        log.append(event, **fields)
    assert caught.value.reason == "refused"
    assert log.path.read_bytes() == before
    return str(caught.value)


@pytest.mark.parametrize("name", ["text", "image", "caption", "prompt", "Prompt", "content", "query"])
@pytest.mark.parametrize("event", ["decision", "model_failed", "my_own"])
def test_content_is_refused_by_its_name(event: str, name: str, path: Path) -> None:
    fields = {"decision": decision(), "model_failed": {"reason": "gone"}, "my_own": {}}[event]
    with AuditLog(path) as log:
        assert f"{event}: {name} would hold content" in refusal(log, event, {**fields, name: "secret words"})


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"caption": "secret words"}},
        [{"prompt": ["secret words"]}],
        "data:image/png;base64,AAAA",
        b"secret words",
        "secret words" * 1000,
        {"k" * 201: 1},
        {1: 2},
        [[[[[["deep"]]]]]],
        float("nan"),
        [float("inf")],
        {"a": float("-inf")},
        2**63,
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_event_may_hold_is_refused_and_not_repeated(value: Any, path: Path) -> None:
    with AuditLog(path) as log:
        message = refusal(log, "my_own", {"extra": value})
        assert message.startswith("my_own: extra")
        assert "secret" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_id", "with space"),
        ("request_id", ""),
        ("modality", None),
        ("content_sha256", "AB" * 32),
        ("content_sha256", "the words themselves"),
        ("item_id", 7),
        ("score", "1.5"),
        ("score", True),
        ("score", float("nan")),
        ("bound", float("inf")),
        ("probability", "high"),
        ("categories", {"hate": float("nan")}),
        ("categories", {"hate": "high"}),
        ("categories", [0.5]),
        ("role", ""),
        ("action", "Block it"),
        ("shadow", True),
        ("reason", "  "),
        ("message", ""),
        ("policy_version", None),
        ("model_fingerprint", None),
        ("automated", False),
        ("score", None),
        ("bound", None),
    ],
)
def test_a_decision_with_a_wrong_value_is_refused(name: str, value: Any, path: Path) -> None:
    with AuditLog(path) as log:
        assert name in refusal(log, "decision", decision(**{name: value}))


@pytest.mark.parametrize("name", sorted(decision()))
def test_a_decision_lacks_nothing(name: str, path: Path) -> None:
    fields = decision()
    del fields[name]
    with AuditLog(path) as log:
        assert name in refusal(log, "decision", fields)


def test_a_decision_has_nothing_else(path: Path) -> None:
    with AuditLog(path) as log:
        assert "unknown field 'mood'" in refusal(log, "decision", decision(mood="good"))


def test_what_could_not_be_scored_is_a_decision_too(path: Path) -> None:
    with AuditLog(path) as log:
        log.append("decision", **decision(score=None, bound=None, action="allow"))
        log.append("decision", **decision(categories={"image": 0.5}, message="Anzüglich: nein"))
    assert verify(path) == []


def test_a_record_that_takes_too_much_is_refused(path: Path) -> None:
    with AuditLog(path) as log:
        assert "bytes" in refusal(log, "my_own", {f"n{n}": "x" * 2000 for n in range(40)})


def test_one_wrong_event_refuses_the_whole_call(path: Path) -> None:
    with AuditLog(path) as log, pytest.raises(RecordError, match="automated"):
        log.extend([("decision", decision()), ("decision", decision(automated=False))])
    assert examine(path).records == 0


@pytest.mark.parametrize("event", ["", "Decision", "two words", "x" * 65, "1st"])
def test_an_event_is_a_word(event: str, path: Path) -> None:
    with AuditLog(path) as log:
        assert "is not a word" in refusal(log, event, {})
