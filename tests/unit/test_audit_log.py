"""The audit log: what it takes, how it is chained; threads, processes, kills and disks that fail."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from record_samples import append_many, decision, log_of, together

from hyperaware.errors import RecordError
from hyperaware.records.audit import AuditLog
from hyperaware.records.chain import examine, records, verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


# -- what is written -------------------------------------------------------------------------------------


def test_a_line_holds_its_record_and_the_hash_of_the_line_before(path: Path) -> None:
    with AuditLog(path) as log:
        first = log.append("decision", **decision())
        second = log.append("recovered", seconds=2.5)
        assert log.head == f"2:{second.hash}"
    lines = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["fields"] for line in lines] == [decision(), {"seconds": 2.5}]
    before = "0" * 64
    for seq, line in enumerate(lines, 1):
        document = json.loads(line)
        claimed = document.pop("hash")
        signed = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        assert (document["seq"], document["prev"]) == (seq, before)
        assert claimed == hashlib.sha256(signed).hexdigest()
        assert document["time"].endswith("+00:00")
        before = claimed
    assert list(records(path)) == [first, second]
    assert path.stat().st_mode & 0o777 == 0o600


def test_records_of_one_call_stand_side_by_side(path: Path) -> None:
    with AuditLog(path) as log:
        made = log.extend([("decision", decision(request_id=f"req-{n}")) for n in range(3)])
        assert [record.seq for record in made] == [1, 2, 3]
        assert log.extend([]) == []
    assert list(records(path)) == made


def test_it_goes_on_where_it_stopped(path: Path) -> None:
    log_of(path, 2)
    with AuditLog(path) as log:
        assert log.append("recovered").seq == 3
    assert examine(path) == examine(path, expect_head=examine(path).head)
    assert verify(path) == []


# -- segments --------------------------------------------------------------------------------------------


def test_segments_continue_the_chain(path: Path) -> None:
    log_of(path, 9, segment_bytes=2000)
    names = sorted(file.name for file in path.parent.glob("*.jsonl"))
    assert names == ["audit.000002.jsonl", "audit.000003.jsonl", "audit.jsonl"]
    assert [record.seq for record in records(path)] == list(range(1, 10))
    with AuditLog(path, segment_bytes=2000) as log:
        assert log.append("recovered").seq == 10
    assert verify(path) == []


def test_a_segment_that_was_begun_but_not_filled_is_gone_on_with(path: Path) -> None:
    """What a process leaves that is killed between the two."""
    log_of(path, 3)
    (path.parent / "audit.000002.jsonl").touch()
    with AuditLog(path) as log:
        assert log.append("recovered").seq == 4
    assert verify(path) == []
    assert len(path.read_bytes().splitlines()) == 3


# -- an unfinished last line -----------------------------------------------------------------------------

WHOLE = b'{"event":"recovered","fields":{},"hash":"'
TORN = [b"{", WHOLE, WHOLE + b"\0" * 5000, b"\0" * 9, WHOLE + b"\0" * 70000, WHOLE + b"\0\n"]


@pytest.mark.parametrize("torn", TORN, ids=lambda torn: f"{len(torn)}")
@pytest.mark.parametrize("count", [0, 3])
def test_an_unfinished_last_line_is_set_aside_and_told(torn: bytes, count: int, path: Path) -> None:
    log_of(path, count)
    before = list(records(path))
    with path.open("ab") as file:
        file.write(torn)
    if len(torn) < 2**16:
        assert list(records(path)) == before
        [problem] = verify(path)
        assert problem.startswith(f"audit.jsonl:{count + 1}: the last line is unfinished")
    with AuditLog(path) as log:
        assert log.append("recovered").seq == count + 2
    assert verify(path) == []
    *kept, told, _ = records(path)
    assert kept == before
    aside = path.parent / told.fields["file"]
    assert aside.read_bytes() == torn
    assert told.event == "torn_tail"
    assert told.fields["bytes"] == len(torn)
    assert told.fields["sha256"] == hashlib.sha256(torn).hexdigest()


def test_a_write_of_several_records_that_was_cut_anywhere_leaves_whole_ones(path: Path) -> None:
    """A kill or a power cut within the one write of a batch."""
    log_of(path, 2)
    sound = path.read_bytes()
    with AuditLog(path) as log:
        log.extend([("decision", decision(request_id=f"lost-{n}")) for n in range(3)])
    whole = path.read_bytes()
    for cut in range(len(sound), len(whole), 97):
        path.write_bytes(whole[:cut])
        with AuditLog(path) as log:
            log.append("recovered")
        assert verify(path) == []
        found = [record.fields.get("request_id", record.event) for record in records(path)]
        lost = whole[:cut].count(b"\n") - 2
        torn = [] if whole[:cut].endswith(b"\n") else ["torn_tail"]
        assert found == ["req-1", "req-2", *(f"lost-{n}" for n in range(lost)), *torn, "recovered"]
        for aside in path.parent.glob("*.torn.*"):
            aside.unlink()


def test_clearing_up_may_itself_be_killed_after_each_step(path: Path) -> None:
    aside = path.parent / "audit.jsonl.torn.3"
    log_of(path, 2)
    sound = path.read_bytes()
    path.write_bytes(sound + b"half")
    aside.write_bytes(b"half")  # killed after the copy
    AuditLog(path).close()
    assert (aside.read_bytes(), [r.event for r in records(path)][2:]) == (b"half", ["torn_tail"])
    path.write_bytes(sound)  # killed after the cut
    AuditLog(path).close()
    assert [r.event for r in records(path)][2:] == ["torn_tail"]
    path.write_bytes(sound + b'{"event":"torn_t')  # killed while it told
    AuditLog(path).close()
    assert aside.read_bytes() == b'half{"event":"torn_t'
    assert [r.event for r in records(path)][2:] == ["torn_tail"]
    assert verify(path) == []


def test_one_writer_clears_up_behind_another(path: Path) -> None:
    with AuditLog(path) as log:
        log.append("recovered")
        with path.open("ab") as file:
            file.write(b"half of what a killed process wrote")
        assert log.append("recovered").seq == 3
    assert [record.event for record in records(path)] == ["recovered", "torn_tail", "recovered"]


# -- damage ----------------------------------------------------------------------------------------------


def test_a_damaged_log_is_not_continued(path: Path) -> None:
    log_of(path, 3)
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"req-2", b"req-9"))
    with pytest.raises(RecordError, match="record 2 was changed") as caught:
        AuditLog(path)
    assert caught.value.reason == "damaged"
    path.write_bytes(b"".join(sound.splitlines(keepends=True)[1:]))
    with pytest.raises(RecordError, match="record 2 stands where 1 belongs"):
        AuditLog(path)


def test_a_log_without_the_segment_before_its_last_is_not_continued(path: Path) -> None:
    log_of(path, 9, segment_bytes=2000)
    path.with_name("audit.000002.jsonl").unlink()
    with pytest.raises(RecordError, match="it is missing, but a later segment exists"):
        AuditLog(path)
    path.with_name("audit.000002.jsonl").write_bytes(b"nonsense\n")
    with pytest.raises(RecordError, match="at its end the line is no record"):
        AuditLog(path)


@pytest.mark.parametrize("act", ["remove", "replace", "cut", "change"])
def test_whoever_touches_the_file_of_a_running_log_stops_it(act: str, path: Path) -> None:
    with AuditLog(path) as log:
        log.append("recovered")
        log.append("recovered")
        content = path.read_bytes()
        if act == "remove":
            path.unlink()
        elif act == "replace":
            path.rename(path.with_name("elsewhere"))
            path.write_bytes(content)
        elif act == "cut":
            os.truncate(path, len(content) // 2)
        else:
            path.write_bytes(content + content.splitlines(keepends=True)[0])
        with pytest.raises(RecordError) as caught:
            log.append("recovered")
        assert caught.value.reason == "damaged"


# -- disks -----------------------------------------------------------------------------------------------


def test_a_full_disk_takes_back_what_was_half_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AuditLog(path) as log:
        log.append("recovered")
        before, write = path.read_bytes(), os.write

        def full(descriptor: int, data: bytes) -> int:
            if len(data) < 200:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data[:100])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(RecordError, match="No space left") as caught:
            log.append("decision", **decision())
        monkeypatch.undo()
        assert caught.value.reason == "disk"
        assert path.read_bytes() == before
        assert log.append("recovered").seq == 2
    assert verify(path) == []


def test_after_a_failed_fsync_nothing_is_claimed_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with AuditLog(path) as log:
        log.append("recovered")
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(RecordError, match="Input/output error"):
            log.append("recovered")
        monkeypatch.undo()
        with pytest.raises(RecordError, match="Open the log anew"):
            log.append("recovered")
    with AuditLog(path) as log:
        assert log.append("recovered").seq == 2
    assert verify(path) == []


def test_an_interrupted_call_leaves_a_whole_record_or_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AuditLog(path) as log:
        log.append("recovered")
        fsync, put = os.fsync, log._put

        def while_waiting(descriptor: int) -> None:
            fsync(descriptor)
            raise KeyboardInterrupt

        def behind_it(data: bytes) -> None:
            put(data)
            raise KeyboardInterrupt

        for place, name, interrupted in ((os, "fsync", while_waiting), (log, "_put", behind_it)):
            with monkeypatch.context() as patch:
                patch.setattr(place, name, interrupted)
                with pytest.raises(KeyboardInterrupt):
                    log.append("my_own", name=name)
        log.append("recovered")
    assert verify(path) == []
    assert [record.fields.get("name") for record in records(path)] == [None, "_put", None]


def test_a_closed_log_says_so(path: Path) -> None:
    log = AuditLog(path)
    log.close()
    log.close()
    with pytest.raises(RecordError, match="closed"):
        log.append("recovered")


def test_a_log_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="cannot be opened"):
        AuditLog(tmp_path / "file" / "audit.jsonl")


# -- several writers, and killed ones --------------------------------------------------------------------


def test_threads_share_their_fsyncs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, fsync = [], os.fsync

    def counted(descriptor: int) -> None:
        calls.append(descriptor)
        fsync(descriptor)

    found: list[int] = []
    with AuditLog(path) as log:

        def work() -> None:
            found.extend(log.append("decision", **decision()).seq for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(16)]
        monkeypatch.setattr(os, "fsync", counted)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(1, 321))
    assert [record.seq for record in records(path)] == list(range(1, 321))
    assert len(calls) < 160


def test_two_logs_of_one_file_take_turns(path: Path) -> None:
    with AuditLog(path, segment_bytes=1000) as one, AuditLog(path, segment_bytes=1000) as other:
        seqs = [log.append("recovered").seq for _ in range(10) for log in (one, other)]
    assert seqs == list(range(1, 21))
    assert verify(path) == []


def test_processes_take_turns(path: Path) -> None:
    together(append_many, [(path, writer, 60, 20_000) for writer in range(3)])
    found = [record.fields["request_id"] for record in records(path)]
    assert sorted(found) == sorted(f"writer-{writer}-{n}" for writer in range(3) for n in range(60))
    assert verify(path) == []


KILLED = """
import os, sys, threading
from pathlib import Path
from record_samples import decision
from hyperaware.records.audit import AuditLog

log = AuditLog(Path(sys.argv[1]), segment_bytes=20_000)

def work(name):
    for number in range(10**9):
        names = [f"{name}-{number}-{each}" for each in range(1 + number % 3)]
        made = log.extend([("decision", decision(request_id=each)) for each in names])
        told = [f"{record.head} {each}\\n" for record, each in zip(made, names)]
        os.write(1, "".join(told).encode())

for thread in range(4):
    threading.Thread(target=work, args=(f"{os.getpid()}-{thread}",)).start()
"""


def test_what_was_acknowledged_outlives_kill_9(path: Path) -> None:
    """Two processes of four threads are killed in the middle, twice; every head that they told is there."""
    told: list[str] = []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for _ in range(2):
        running = [
            subprocess.Popen(
                [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, env=environment
            )
            for _ in range(2)
        ]
        for process in running:
            assert process.stdout is not None
            told += [process.stdout.readline() for _ in range(40)]
            assert verify(path) == []  # while both write
            process.send_signal(signal.SIGKILL)
            told += process.stdout.read().splitlines(keepends=True)
            assert process.wait() == -signal.SIGKILL
            process.stdout.close()
    with AuditLog(path) as log:
        log.append("recovered")
    assert verify(path) == []
    there = {f"{record.head} {record.fields.get('request_id')}\n" for record in records(path)}
    whole = {line for line in told if line.endswith("\n")}
    assert len(whole) >= 160
    assert whole <= there
