"""A statement of reasons: one decision, told to the person whom it concerns, from the audit log alone.

It follows article 17(3) of Regulation (EU) 2022/2065 (DSA): (a) what was decided, (b) the facts, (c) the
automated means, (d, e) the ground, (f) redress. What the log does not know is named, for the operator to add.
It is no legal advice. Left out: the content (the log has its hash), and who the reviewers are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperaware.errors import RecordError
from hyperaware.records.chain import Record, records

__all__ = ["REDRESS", "Statement", "printable", "statement"]

REDRESS = (
    "Ask whoever runs this service for a review by a person, and name the id of the decision; an appeal is "
    "decided by somebody who has not decided it before. Where Regulation (EU) 2022/2065 applies: internal "
    "complaint (article 20), out-of-court dispute settlement (article 21), and the courts."
)
NOT_RECORDED = (
    "where and for how long the decision holds, if not everywhere and for good",
    "the law, if the content is held to be illegal, and not only against the policy",
    "the notice that led to the decision, if there was one",
)
EFFECTS = {
    "allow": "nothing was restricted",
    "blur": "it is shown blurred, until somebody reveals it on purpose",
    "redirect": "the request was answered with safer results",
    "review": "it was held back for a person to decide",
    "block": "it was refused",
}
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing."""
OUTCOMES = {"uphold": "upheld", "overturn": "overturned"}


@dataclass(frozen=True)
class Statement:
    """One decision, with the reviews and appeals that came after it."""

    decision: Record
    later: tuple[Record, ...]
    """`review` and `appeal` records, oldest first."""
    redress: str
    head: str
    """`SEQ:HASH` of the log when it was read: every record up to there was checked."""

    @property
    def state(self) -> str:
        """Where the decision stands: in force, under appeal, upheld or overturned."""
        if not self.later:
            return "in force"
        last = self.later[-1]
        return "under appeal" if last.event == "appeal" else OUTCOMES[last.fields["decision"]]

    def document(self) -> dict[str, Any]:
        """The statement as a JSON document."""
        fields = self.decision.fields
        return {
            "id": fields["request_id"],
            "state": self.state,
            "decision": {
                "time": self.decision.time,
                "action": fields["action"],
                "effect": EFFECTS.get(fields["action"]),
                "message": fields["message"],
                "on_trial": fields["shadow"],
            },
            "subject": {name: fields[name] for name in ("modality", "content_sha256", "item_id")},
            "facts": {name: fields[name] for name in ("score", "bound", "probability", "categories")},
            "ground": {name: fields[name] for name in ("reason", "role", "policy_version")},
            "automated": {
                "detection": True,
                "decision": fields["automated"],
                "model_fingerprint": fields["model_fingerprint"],
                "reviewed_by_a_person": any(record.event == "review" for record in self.later),
            },
            "later": [_event(record) for record in self.later],
            "redress": self.redress,
            "not_recorded": list(NOT_RECORDED),
            "evidence": {"record": self.decision.head, "log": self.head},
        }

    def markdown(self) -> str:
        """The statement as a Markdown page; what people wrote cannot turn into links or markup."""
        document, fields = self.document(), self.decision.fields
        effect = document["decision"]["effect"]
        person = document["automated"]["reviewed_by_a_person"]
        lines = [
            f"# Statement of reasons: {_plain(fields['request_id'])}",
            "",
            f"State: **{self.state}**. Decided at {self.decision.time}.",
            "",
            "## What was decided, on what",
            "",
            f"- Decision: **{_plain(fields['action'])}**{f': {effect}' if effect else ''}.",
            f"- Subject: {fields['modality']}, SHA-256 `{fields['content_sha256']}`"
            + (f", item {_plain(fields['item_id'])}." if fields["item_id"] is not None else "."),
        ]
        if fields["message"] is not None:
            lines.append(f"- What was said: “{_plain(fields['message'])}”")
        if fields["shadow"] is not None:
            lines.append(f"- A policy on trial would have decided: {_plain(fields['shadow'])}. Not applied.")
        lines += ["", "## Why", "", f"- Rule: {_plain(fields['reason'])}.", *_figures(fields)]
        lines += [
            f"- Policy version {_plain(fields['policy_version'])}, role {_plain(fields['role'])}.",
            "",
            "## By whom",
            "",
            f"Found and decided automatically, by the model {_plain(fields['model_fingerprint'])}. "
            + ("A person has reviewed it." if person else "No person has reviewed it."),
        ]
        if self.later:
            lines += ["", "## What came after", "", *(_told(record) for record in self.later)]
        lines += ["", "## What you can do", "", _plain(self.redress)]
        lines += ["", "## What the log does not say", "", *(f"- {each}" for each in NOT_RECORDED)]
        lines += ["", f"Record `{self.decision.head}`, log checked up to `{self.head}`."]
        return "\n".join(lines) + "\n"


def statement(path: str | Path, request_id: str, *, redress: str = REDRESS) -> Statement:
    """The statement on the decision of a request, from the log at `path`, of which every record is checked.

    Args:
        path: The first segment of the log.
        request_id: The decision.
        redress: What the person can do, in the words of whoever runs the service.

    Raises:
        RecordError: "unknown": no log, or no such decision in it. "conflict": several decisions have this id.
            "damaged": the log is not what was written; no statement is made from it.
    """
    decisions: list[Record] = []
    later: dict[tuple[str, int], Record] = {}
    last: Record | None = None
    for record in records(path):
        last = record
        if record.fields.get("request_id") == request_id:
            if record.event == "decision":
                decisions.append(record)
            elif record.event in ("review", "appeal"):
                # Of two with one revision the first never came about, see records.events.
                later[record.fields["review_id"], record.fields["revision"]] = record
    if last is None or not decisions:
        raise RecordError(f"{path}: no decision has the request id {request_id!r:.210}.", reason="unknown")
    if len(decisions) > 1:
        found = ", ".join(str(record.seq) for record in decisions)
        raise RecordError(
            f"{path}: records {found} are decisions of {request_id!r}; an id is for one.", reason="conflict"
        )
    in_order = tuple(sorted(later.values(), key=lambda record: record.seq))
    return Statement(decisions[0], in_order, redress, last.head)


def _event(record: Record) -> dict[str, Any]:
    told = {"time": record.time, "event": record.event, "reason": record.fields["reason"]}
    if record.event == "review":
        told |= {"decision": record.fields["decision"], "automated": record.fields["automated"]}
    return told


def _told(record: Record) -> str:
    what = "Appeal" if record.event == "appeal" else f"A person {OUTCOMES[record.fields['decision']]} it"
    return f"- {record.time}: {what}: “{_plain(record.fields['reason'])}”"


def _figures(fields: Mapping[str, Any]) -> list[str]:
    """The facts as lines: score and bound, probability, categories from the highest."""
    lines = []
    if fields["score"] is None:
        lines.append("- It was not scored.")
    else:
        lines.append(f"- Score (root distance) {fields['score']:.4f}, bound {fields['bound']:.4f}.")
    if fields["probability"] is not None:
        lines.append(f"- Estimated probability of being unsafe: {fields['probability']:.1%}.")
    if fields["categories"]:
        highest = sorted(fields["categories"].items(), key=lambda pair: (-pair[1], pair[0]))
        lines.append(
            "- Categories: " + ", ".join(f"{_plain(name)} {value:.3f}" for name, value in highest) + "."
        )
    return lines


def _plain(text: str) -> str:
    """A text on one line, of which Markdown, HTML and a terminal make nothing else.

    >>> print(_plain("see [this](http://x)\\n# now"))
    see \\[this\\](http://x) \\# now
    """
    return re.sub(r"([\\`*_\[\]<>#|!&~])", r"\\\1", printable(" ".join(text.split())))


def printable(text: str) -> str:
    """A text without what steers a terminal or turns the direction of writing: an appeal may say anything.

    >>> printable("a \\x1b[31mred\\u202e text")
    'a �[31mred� text'
    """
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)
