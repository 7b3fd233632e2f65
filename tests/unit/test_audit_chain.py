"""The chain: whatever is done to the bytes of a log is found."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_samples import decision, log_of

from hyperaware.errors import RecordError
from hyperaware.records.audit import AuditLog
from hyperaware.records.chain import (
    Entry,
    Record,
    canonical,
    decision_of,
    examine,
    made,
    record_of,
    records,
    verify,
)

RECORDS = 9


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of nine records in three segments. Copied by each test that changes it."""
    path = log_of(tmp_path_factory.mktemp("sound") / "audit.jsonl", RECORDS, segment_bytes=2000)
    assert len(segments(path)) == 3
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound.parent, tmp_path / "copy")
    return tmp_path / "copy" / sound.name


def segments(path: Path) -> list[Path]:
    """The segments in order."""
    return [path, *sorted(path.parent.glob("audit.0*.jsonl"))]


def rewritten(path: Path, change: Callable[[list[bytes]], list[bytes]], segment: int = 0) -> list[str]:
    """What is found after the lines of a segment were changed."""
    file = segments(path)[segment]
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    return verify(path)


def test_a_sound_log_has_no_problems(path: Path) -> None:
    found = examine(path)
    assert (found.problems, found.records) == ([], RECORDS)
    assert found.head is not None
    assert found.head.startswith("9:")
    assert verify(path, expect_head=found.head) == []


# -- any change ------------------------------------------------------------------------------------------

lenient = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@lenient
@given(data=st.data())
def test_any_byte_that_is_changed_removed_or_added_is_found(data: st.DataObject, path: Path) -> None:
    file = data.draw(st.sampled_from(segments(path)))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = bytes([data.draw(st.integers(0, 255).filter(lambda value: value != content[at]))])
    kind = data.draw(st.sampled_from(["change", "remove", "add"]))
    changed = {
        "change": content[:at] + byte + content[at + 1 :],
        "remove": content[:at] + content[at + 1 :],
        "add": content[:at] + byte + content[at:],
    }[kind]
    file.write_bytes(changed)
    try:
        assert verify(path) != []
        if not (file == segments(path)[-1] and b"\n" not in changed[at:-1]):  # else it looks unfinished
            with pytest.raises(RecordError):
                list(records(path))
    finally:
        file.write_bytes(content)


@lenient
@given(data=st.data())
def test_any_other_order_of_the_lines_is_found(data: st.DataObject, path: Path) -> None:
    whole = b"".join(file.read_bytes() for file in segments(path)).splitlines(keepends=True)
    order = data.draw(st.permutations(range(RECORDS)))
    for file in segments(path)[1:]:
        file.unlink(missing_ok=True)
    path.write_bytes(b"".join(whole[at] for at in order))
    try:
        assert (verify(path) == []) == (order == list(range(RECORDS)))
    finally:
        path.write_bytes(b"".join(whole))


def test_the_same_value_in_another_spelling_is_found(path: Path) -> None:
    """JSON reads each of these as the same record; the bytes are not what was written."""
    line = path.read_bytes().splitlines(keepends=True)[0]
    for spelled in (
        line.replace(b'"score":1.5', b'"score":1.50'),
        line.replace(b'"seq":1', b'"seq": 1'),
        line.replace(b'"viewer"', b'"\\u0076iewer"'),
        line.replace(b'"seq":1', b'"seq":1,"seq":1'),
        line.replace(b"\n", b"\r\n"),
    ):
        assert spelled != line
        assert json.loads(spelled) == json.loads(line)
        assert rewritten(path, lambda lines, other=spelled: [other, *lines[1:]])


# -- each kind of change, and how it is told -------------------------------------------------------------


def test_each_kind_of_change_is_told_once(path: Path) -> None:
    content = path.read_bytes()
    cases: list[tuple[Callable[[list[bytes]], list[bytes]], str]] = [
        (lambda lines: [lines[0].replace(b"req-1", b"req-7"), *lines[1:]], "1: record 1 was changed"),
        (lambda lines: [b"x" + lines[0], *lines[1:]], "1: the line is no record"),
        (lambda lines: [lines[0], *lines[2:]], "2: record 3 stands where 2 belongs: 1 missing"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "2: record 1 stands where 2 belongs"),
    ]
    for change, told in cases:
        found = rewritten(path, change)
        path.write_bytes(content)
        assert found[0].startswith(f"audit.jsonl:{told}")
        assert len(found) <= 2


def test_a_record_put_in_with_a_fitting_hash_is_found(path: Path) -> None:
    """Somebody who can compute hashes, but leaves the later records as they are."""

    def forged(lines: list[bytes]) -> list[bytes]:
        first = json.loads(lines[0])
        mine = made(Entry.of("recovered", {}), seq=2, time=first["time"], prev=first["hash"])
        return [lines[0], mine[1], *lines[2:]]

    [problem] = rewritten(path, forged)
    assert problem.startswith("audit.jsonl:3: record 3 does not continue the record before it")


def test_a_cut_end_shows_against_a_head_that_was_kept(path: Path) -> None:
    head = examine(path).head
    last = segments(path)[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-1]))
    assert verify(path) == []
    assert verify(path, expect_head=head) == [
        "audit.jsonl: record 9 of the expected head is not there: the end was cut off."
    ]
    last.unlink()
    assert verify(path) == []
    assert verify(path, expect_head=head) != []


def test_a_log_written_anew_shows_against_a_head_that_was_kept(path: Path) -> None:
    head = examine(path).head
    for file in segments(path):
        file.unlink()
    log_of(path, RECORDS + 3, segment_bytes=2000)
    assert verify(path) == []
    [problem] = verify(path, expect_head=head)
    assert "record 9 of the expected head now has the hash" in problem


def test_a_log_that_has_grown_still_contains_its_head(path: Path) -> None:
    head = examine(path).head
    with AuditLog(path, segment_bytes=2000) as log:
        log.append("recovered")
    assert verify(path, expect_head=head) == []


@pytest.mark.parametrize("head", ["", "9", "9:abc", "0:" + "a" * 64, "x:" + "a" * 64, "1:" + "A" * 64])
def test_what_is_no_head_is_refused(head: str, path: Path) -> None:
    with pytest.raises(RecordError, match="expected SEQ:HASH"):
        verify(path, expect_head=head)


def test_a_missing_or_exchanged_segment_is_found(path: Path) -> None:
    first, second, third = segments(path)
    content = [file.read_bytes() for file in (first, second, third)]
    second.unlink()
    assert verify(path)[0] == "audit.jsonl: the segment audit.000002.jsonl is missing."
    second.write_bytes(content[2])
    third.write_bytes(content[1])
    assert len(verify(path)) >= 2
    second.write_bytes(content[1])
    third.write_bytes(content[2])
    third.rename(path.parent / "audit.000004.jsonl")
    assert verify(path) == ["audit.jsonl: the segment audit.000003.jsonl is missing."]
    first.unlink()
    assert "audit.jsonl: the segment audit.jsonl is missing." in verify(path)


def test_problems_are_counted_out_at_fifty(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"nonsense\n" * 1000)
    assert len(verify(path)) == 50


@pytest.mark.parametrize(
    "line",
    [
        b"null",
        b"[]",
        b"1",
        b"{}",
        b'"text"',
        b"[" * 60000,
        b'{"event":null,"fields":[],"hash":1,"prev":null,"seq":true,"time":{}}',
        b'{"event":"x","fields":{"a":NaN},"hash":"","prev":"","seq":1,"time":""}',
        b"1" * 5000,
        b"\xff\xfe",
        b"",
    ],
    ids=lambda line: line[:12].decode("latin-1"),
)
def test_a_line_of_any_kind_is_judged_and_never_trusted(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(line + b"\n")
    assert verify(path) == ["audit.jsonl:1: the line is no record as it was written."]
    with pytest.raises(RecordError):
        AuditLog(path)


# -- reading ---------------------------------------------------------------------------------------------


def test_no_log_is_an_error_and_not_an_empty_log(tmp_path: Path) -> None:
    for read in (verify, examine, lambda path: list(records(path))):
        with pytest.raises(RecordError, match="no audit log here") as caught:
            read(tmp_path / "audit.jsonl")
        assert caught.value.reason == "unknown"
    assert list(tmp_path.iterdir()) == []


def test_reading_writes_nothing(path: Path) -> None:
    """An auditor's copy, on a disk that cannot be written."""
    path.with_name("audit.jsonl.lock").unlink()
    before = sorted(os.listdir(path.parent))
    assert verify(path) == []
    assert sorted(os.listdir(path.parent)) == before


plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
nested = st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=5), plain, max_size=3)


@settings(max_examples=40, deadline=None, database=None)
@given(fields=st.dictionaries(st.text(max_size=9), plain | nested, max_size=5))
def test_a_line_gives_back_its_record(fields: dict[str, object]) -> None:
    record, line = made(Entry.of("x", fields), seq=7, time="2026-01-01T00:00:00+00:00", prev="0" * 64)
    assert line == canonical(record.document()) + b"\n"
    assert line.count(b"\n") == 1
    assert line.isascii()
    again = record_of(line)
    assert isinstance(again, Record)
    assert canonical(again.document()) == canonical(record.document())


# -- one decision ----------------------------------------------------------------------------------------


def test_a_decision_is_found_in_any_segment_by_its_whole_id_only(tmp_path: Path) -> None:
    path = log_of(tmp_path / "audit.jsonl", 40, segment_bytes=4000)
    assert len(segments(path)) > 3
    for number in (1, 7, 40):
        found = decision_of(path, f"req-{number}")
        assert found is not None
        assert (found.seq, found.fields["request_id"]) == (number, f"req-{number}")
    for unknown in ("req-41", "req", "eq-1", 'req-4"', "*", ""):
        assert decision_of(path, unknown) is None
    assert decision_of(tmp_path / "none.jsonl", "req-1") is None


def test_no_other_event_nor_half_a_line_is_taken_for_a_decision(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        log.append("appeal", review_id="case-1", request_id="req-9", revision=1, reason="why?")
        log.append("decision", **decision(reason='"request_id":"req-9" is what somebody wrote'))
    assert decision_of(path, "req-9") is None
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])  # as a killed writer leaves it
    assert decision_of(path, "req-1") is None


def test_a_decision_that_was_changed_is_not_told(tmp_path: Path) -> None:
    path = log_of(tmp_path / "audit.jsonl", 2)
    path.write_bytes(path.read_bytes().replace(b'"action":"redirect"', b'"action":"allow"'))
    with pytest.raises(RecordError, match="was changed") as damaged:
        decision_of(path, "req-2")
    assert damaged.value.reason == "damaged"
