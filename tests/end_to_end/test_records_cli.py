"""`hyperaware audit` and `hyperaware keys` from outside."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import typer
from record_samples import log_of
from typer.testing import CliRunner, Result

from hyperaware.cli import audit, keys
from hyperaware.cli.group import Verbs
from hyperaware.records.audit import AuditLog
from hyperaware.records.chain import examine
from hyperaware.records.keys import KeyRing

app = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")


def run(*words: object, code: int = 0) -> Result:
    """What the verb prints; it answers with `code`."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = log_of(tmp_path / "audit.jsonl", 3)
    with AuditLog(path) as opened:
        opened.append("model_failed", reason="killed")
    return path


# -- audit -----------------------------------------------------------------------------------------------


def test_verify_prints_the_head_that_it_later_expects(log: Path) -> None:
    head = examine(log).head
    assert run("audit", "verify", log).stdout == f"4 records, 0 problems\nhead {head}\n"
    assert json.loads(run("audit", "verify", log, "--expect-head", head, "--json").stdout) == {
        "path": str(log),
        "records": 4,
        "head": head,
        "problems": [],
    }
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    run("audit", "verify", log)
    assert "the end was cut off" in run("audit", "verify", log, "--expect-head", head, code=1).stdout
    assert "no head" in run("audit", "verify", log, "--expect-head", "4", code=1).stderr


def test_verify_fails_where_it_finds_something(log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b"req-2", b"req-9"))
    found = run("audit", "verify", log, code=1).stdout
    assert "audit.jsonl:2: record 2 was changed" in found
    assert "no audit log here" in run("audit", "verify", log.parent / "other", code=1).stderr


def test_show_chooses_by_event_and_from_the_end(log: Path) -> None:
    def seqs(*words: object) -> list[int]:
        return [
            each["seq"] for each in json.loads(run("audit", "show", log, *words, "--json").stdout)["records"]
        ]

    assert seqs() == [1, 2, 3, 4]
    assert seqs("--tail", 2) == [3, 4]
    assert seqs("--event", "decision", "--tail", 2) == [2, 3]
    assert seqs("--event", "appeal") == []
    shown = run("audit", "show", log, "--event", "model_failed").stdout
    assert "reason killed" in shown


def test_show_lets_nothing_that_was_written_steer_the_terminal(log: Path) -> None:
    with AuditLog(log) as opened:
        opened.append("appeal", review_id="case-1", request_id="req-1", revision=1, reason="\x1b[2Jhi\u202e")
    shown = run("audit", "show", log, "--event", "appeal").stdout
    assert "hi" in shown
    assert not any(each in shown for each in "\x1b\u202e")


def test_export_tells_a_decision_as_json_and_as_markdown(log: Path) -> None:
    document = json.loads(run("audit", "export", log, "--request-id", "req-2").stdout)
    assert (document["id"], document["state"]) == ("req-2", "in force")
    words = ("audit", "export", log, "--request-id", "req-2", "--redress", "Call 42.", "--format", "markdown")
    page = run(*words).stdout
    assert page.startswith("# Statement of reasons: req-2\n")
    assert "Call 42." in page
    assert "no decision has" in run("audit", "export", log, "--request-id", "req-7", code=1).stderr


# -- keys ------------------------------------------------------------------------------------------------


def test_a_key_is_added_listed_and_revoked_and_its_token_shown_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    added = run("keys", "add", path, "--role", "viewer", "--name", "web shop")
    token = added.stdout.strip()
    key = KeyRing.read(path).authenticate(token)
    assert key is not None
    assert key.id in added.stderr
    shown = run("keys", "list", path).stdout
    assert "web shop" in shown
    assert token not in shown + path.read_text()
    assert "revoked" in run("keys", "revoke", path, key.id).stdout
    assert KeyRing.read(path).authenticate(token) is None
    [row] = json.loads(run("keys", "list", path, "--json").stdout)["keys"]
    assert row["state"] == f"revoked {datetime.now(timezone.utc).date()}"
    assert key.digest not in json.dumps(row)


def test_scopes_and_days_are_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    words = ("--role", "reviewer", "--name", "Ada", "--scope", "review", "--scope", "search", "--days", 90)
    row = json.loads(run("keys", "add", path, *words, "--json").stdout)
    assert row["scopes"] == ["search", "review"]
    assert row["token"].startswith("hya_")
    left = datetime.fromisoformat(row["expires"]) - datetime.now(timezone.utc)
    assert timedelta(days=89.9) < left <= timedelta(days=90)
    assert "valid until" in run("keys", "list", path).stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["list", "keys.json"], 1, "no such file of keys"),
        (["revoke", "keys.json", "key-0"], 1, "no such file of keys"),
        (
            ["add", "keys.json", "--role", "viewer", "--name", "x", "--scope", "serach"],
            2,
            "Did you mean 'search'",
        ),
        (["add", "keys.json", "--role", "viewer", "--name", " "], 1, "the name is"),
        (["add", "keys.json", "--role", "viewer", "--name", "x", "--days", "0"], 2, "days"),
        (["add", "keys.json", "--role", "viewer"], 2, "--name"),
    ],
)
def test_wrong_keys_are_one_line_on_stderr(
    words: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in run("keys", *words, code=code).stderr
    assert not (tmp_path / "keys.json").exists()
