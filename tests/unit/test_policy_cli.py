"""`hyperaware policy`: what it prints, as a table and as a document, and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from hyperaware.cli import policy
from hyperaware.cli.group import Verbs
from hyperaware.records.audit import AuditLog

app = typer.Typer(cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(policy.app, name="policy")

POLICY = """
version = "mine-1"
default_role = "viewer"

[roles.viewer]
action = "redirect"
strength = 0.5
show = "safe"
message = "Showing [safer] results."

[[roles.viewer.queries]]
category = "violence"
above = 0.8
action = "block"
shadow = true

[[roles.viewer.items]]
category = "hate"
above = 0.5
action = "blur"

[roles.researcher]
action = "allow"
show = "all"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, words)], env={"COLUMNS": "200"})


def document(*words: object, code: int = 0) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_check_says_what_each_role_gets(file: Path) -> None:
    result = run("check", file)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in (
        "viewer queries the trigger redirect strength 0.5, Showing [safer] results.",
        "viewer queries violence 0.8 block in shadow",
        "viewer items the limit block",
        "viewer items hate 0.5 blur",
        "researcher queries the trigger allow",
    ):
        assert line in lines
    assert "researcher items the limit block" not in lines
    found = document("check", file)
    assert (found["version"], found["default_role"]) == ("mine-1", "viewer")
    assert found["roles"]["viewer"]["queries"][0]["category"] == "violence"


def test_check_refuses_what_is_misspelled(file: Path) -> None:
    file.write_text(POLICY.replace("above = 0.8", "abov = 0.8"))
    result = run("check", file)
    assert result.exit_code == 2
    assert "Did you mean 'above'?" in " ".join(result.stderr.split())


def test_explain_tells_of_every_rule(file: Path) -> None:
    text = ("explain", file, "--text", "a deadly axe", "--category", "hate=0", "--category", "violence=0.9")
    found = document(*text)
    assert [(rule["action"], rule["hit"]) for rule in found["rules"]] == [("redirect", True), ("block", True)]
    assert found["rules"][1]["why"] == "the probability 0.9000 of violence is above 0.8"
    verdict = found["verdict"]
    assert (verdict["action"], verdict["shadow"], verdict["role"]) == ("redirect", "block", "viewer")
    result = run(*text)
    assert result.exit_code == 0, result.output
    printed = " ".join(result.stdout.split())
    for words in (
        "the probability 0.9000 of violence is above 0.8",
        "The user is told: Showing [safer] results.",
        "The rules in shadow would have done: block",
    ):
        assert words in printed
    assert document(*text, "--role", "researcher")["verdict"]["action"] == "allow"


def test_explain_asks_the_model_for_what_is_not_given(file: Path) -> None:
    rule = '[[roles.viewer.queries]]\ncategory = "arson"\nabove = 0.8\naction = "review"\n'
    file.write_text(POLICY + rule)
    found = document("explain", file, "--text", "a deadly axe")
    own, violence, arson = (rule["why"] for rule in found["rules"])
    assert own.startswith("root distance")
    assert violence.startswith("the probability 0.9")
    assert arson == "arson has no probability, which counts as above 0.8"
    assert found["verdict"]["action"] == "review"


@pytest.mark.parametrize(
    "words",
    [
        ("--role", "viewr"),
        ("--category", "violense=0.5"),
        ("--category", "violence=2"),
        ("--category", "violence=much"),
        ("--category", "violence"),
        ("--model", "world"),
    ],
)
def test_explain_refuses_what_makes_no_sense(file: Path, words: tuple[str, ...]) -> None:
    assert run("explain", file, "--text", "an axe", *words).exit_code == 2


def decision(**changes: Any) -> dict[str, Any]:
    return {
        "request_id": "r-1",
        "modality": "text",
        "content_sha256": "0" * 64,
        "item_id": None,
        "score": 0.6,
        "bound": 0.5,
        "probability": None,
        "categories": {},
        "role": "viewer",
        "action": "block",
        "shadow": None,
        "reason": "above the bound",
        "message": None,
        "policy_version": "old",
        "model_fingerprint": "m",
        "automated": True,
        **changes,
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path)
    audit.append("policy_changed", policy_version="old", previous=None)
    for fields in (decision(), decision(score=0.1, action="allow"), decision(action="redirect")):
        audit.append("decision", **fields)
    audit.close()
    return path


def test_replay_counts_and_names_what_would_change(file: Path, log: Path) -> None:
    found = document("replay", file, "--log", log)
    assert (found["decisions"], found["before"]) == (3, {"block": 1, "allow": 1, "redirect": 1})
    assert found["after"] == {"redirect": 2, "allow": 1}
    (change,) = found["changes"]
    assert (change["seq"], change["before"], change["after"]) == (2, "block", "redirect")
    result = run("replay", file, "--log", log)
    assert result.exit_code == 0, result.output
    assert "1 of 3 decisions would change." in result.stdout


def test_replay_of_roles_that_are_gone_ends_with_3(file: Path, log: Path) -> None:
    file.write_text(POLICY.replace("viewer", "visitor"))
    assert document("replay", file, "--log", log, code=3)["after"] == {"refused": 3}


def test_replay_refuses_a_log_that_was_tampered_with_or_is_not_there(file: Path, log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"block"', b'"allow"'))
    assert run("replay", file, "--log", log).exit_code == 1
    assert run("replay", file, "--log", log.with_name("none.jsonl")).exit_code == 1
