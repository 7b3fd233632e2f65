"""Every decision is recorded before it is told: in the audit log, and for a person where it must."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hyperaware.errors import RecordError
from hyperaware.moderate import Moderation
from hyperaware.moderation.categories import probabilities
from hyperaware.moderation.policy import Verdict
from hyperaware.records.audit import AuditLog
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
        self.problem: str | None = None
        """Why the last attempt to record failed; None if it did not."""

    def record(self, decisions: Sequence[Decision], *, reviewable: bool = True) -> None:
        """Record decisions; when this returns they are on the disk.

        Args:
            reviewable: whether the action "review" opens a case for a person.

        Raises:
            RecordError: they cannot be recorded, so they must not be told either.
        """
        try:
            with self._metrics.stage("record"):
                self._audit.extend(("decision", self._fields(decision)) for decision in decisions)
                for decision in decisions if reviewable else ():
                    if decision.verdict.action == "review":
                        self._open_case(decision)
        except RecordError as error:
            self.problem = str(error)
            raise
        self.problem = None
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
        self._audit.append(event, **fields)

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

    def _open_case(self, decision: Decision) -> None:
        content, copy = decision.content, None
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            copy = self._quarantine.keep(decision.digest, data, decision.modality)
        self._reviews.add(
            request_id=decision.id,
            modality=decision.modality,
            content_sha256=decision.digest,
            action=decision.verdict.action,
            score=decision.verdict.score,
            categories=decision.categories,
            reason=decision.verdict.reason,
            item_id=decision.item_id,
            priority=decision.verdict.score or 0.0,
            content=copy,
        )
