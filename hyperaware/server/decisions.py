"""Every decision is recorded before it is told: in the audit log, and for a person where it must."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from hyperaware.errors import RecordError
from hyperaware.moderate import Moderation
from hyperaware.moderation.categories import probabilities
from hyperaware.moderation.policy import Verdict
from hyperaware.records.audit import AuditLog
from hyperaware.records.chain import decision_of
from hyperaware.records.reviews import ReviewQueue
from hyperaware.server.metrics import Metrics
from hyperaware.server.quarantine import Quarantine

__all__ = ["Decision", "Ledger", "sha256"]


def sha256(content: str | bytes) -> str:
    """The hash by which content is recorded."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One verdict on one text or picture."""

    id: str
    verdict: Verdict
    modality: Literal["text", "image"]
    content: str | bytes | None = field(repr=False)
    """Never recorded: its hash is. None for an item of the index, of which only the hash is known."""
    content_hash: str | None = None
    """Of an item; by default that of `content`."""
    probability: float | None = None
    categories: Mapping[str, float] = field(default_factory=dict)
    """Probabilities by category."""
    item_id: str | None = None

    @classmethod
    def of(cls, id: str, moderation: Moderation, content: str | bytes) -> "Decision":
        """The decision on an input that has a verdict."""
        assert moderation.verdict is not None, "an input without a verdict is refused, and nothing decided"
        return cls(
            id=id,
            verdict=moderation.verdict,
            modality=moderation.modality,
            content=content,
            probability=moderation.probability,
            categories=probabilities(moderation.categories),
        )

    @property
    def digest(self) -> str:
        """The hash by which the content is recorded."""
        if self.content_hash is not None:
            return self.content_hash
        assert self.content is not None, "a decision has a content, or its hash"
        return sha256(self.content)


class Ledger:
    """Where decisions go."""

    def __init__(
        self,
        audit: AuditLog,
        reviews: ReviewQueue,
        quarantine: Quarantine,
        metrics: Metrics,
        *,
        model_fingerprint: str,
    ) -> None:
        self._audit, self._reviews, self._quarantine, self._metrics = audit, reviews, quarantine, metrics
        self._model_fingerprint = model_fingerprint
        self._lookup = threading.Lock()
        """One look through the log at a time: it may be long, and any key may appeal."""
        self.problem: str | None = None
        """Why the last attempt to record failed; None if it did not."""

    def record(self, decisions: Sequence[Decision], *, reviewable: bool = True) -> None:
        """Record decisions; when this returns they are on the disk.

        Args:
            reviewable: whether the action "review" opens a case for a person.

        Raises:
            RecordError: they cannot be recorded, so they must not be told either.
        """
        with self._metrics.stage("record"), self._noticed():
            self._audit.extend(("decision", self._fields(decision)) for decision in decisions)
            for decision in decisions if reviewable else ():
                if decision.verdict.action == "review":
                    self._add_case(self._fields(decision), decision.content)
        for decision in decisions:
            verdict = decision.verdict
            self._metrics.judged(
                action=verdict.action,
                category=verdict.category,
                modality=decision.modality,
                policy=verdict.policy_version,
                score=verdict.score,
            )

    def note(self, event: str, **fields: object) -> None:
        """Record something else that happened; errors as in `record`."""
        with self._noticed():
            self._audit.append(event, **fields)

    def open_appealed(self, id: str, content: str | bytes | None) -> None:
        """Open the case of a decision that had none, because somebody appeals.

        Args:
            content: what was decided on, for the reviewer. Of what was not under review the hash is kept.

        Raises:
            RecordError: "unknown": no such decision. "refused": another content than was decided on.
        """
        with self._lookup:
            record = decision_of(self._audit.path, id)
        if record is None:
            raise RecordError(f"no decision has the id {id!r:.210}.", reason="unknown")
        fields = record.fields
        if content is not None and sha256(content) != fields["content_sha256"]:
            raise RecordError("this is not what the decision was on, to the last byte.", reason="refused")
        with self._noticed():
            self._add_case(fields, content)

    def is_recording(self) -> bool:
        """Whether decisions can be recorded. After a failure it is tried: a server that is not ready is asked
        for no decision, and would never find out that it is well again."""
        if self.problem is not None:
            with suppress(RecordError):
                self.note("recovered", reason=self.problem)
        return self.problem is None

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """Remember whether what is recorded inside was recorded."""
        try:
            yield
        except RecordError as error:
            if error.reason != "conflict":  # two appeals at once, say: the second one is refused, and well
                self.problem = str(error)
            raise
        self.problem = None

    def _fields(self, decision: Decision) -> dict[str, object]:
        verdict = decision.verdict
        return {
            "request_id": decision.id,
            "modality": decision.modality,
            "content_sha256": decision.digest,
            "item_id": decision.item_id,
            "score": verdict.score,
            "bound": verdict.bound,
            "probability": decision.probability,
            "categories": dict(decision.categories),
            "role": verdict.role,
            "action": verdict.action,
            "shadow": verdict.shadow,
            "reason": verdict.reason,
            "message": verdict.message,
            "policy_version": verdict.policy_version,
            "model_fingerprint": self._model_fingerprint,
            "automated": True,
        }

    def _add_case(self, fields: Mapping[str, Any], content: str | bytes | None) -> None:
        """Open the case of a recorded decision, with a copy of its content if there is any."""
        copy = None
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            copy = self._quarantine.keep(fields["content_sha256"], data, fields["modality"])
        names = (
            "request_id",
            "modality",
            "content_sha256",
            "action",
            "score",
            "categories",
            "reason",
            "item_id",
        )
        chosen = {name: fields[name] for name in names}
        self._reviews.add(**chosen, priority=fields["score"] or 0.0, content=copy)
