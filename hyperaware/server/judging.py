"""From the moderator's findings to what routes tell: in their order, and nothing without a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from hyperaware.moderate import Failure, Moderation, Moderator
from hyperaware.moderation.policy import Verdict
from hyperaware.server.inputs import Input
from hyperaware.server.problems import RETRY_SECONDS, Problem

__all__ = ["Judged", "judged", "with_verdict"]

OURS_TO_MEND = ("unjudged", "not_finite")
"""Failures that are not the input's fault."""


@dataclass(frozen=True)
class Judged:
    """One input with its verdict."""

    moderation: Moderation
    verdict: Verdict
    probabilities: dict[str, float]
    """The calibrated categories."""


def judged(moderator: Moderator, inputs: Sequence[Input], *, role: str) -> list[Judged]:
    """Each input with its verdict.

    Raises:
        Problem: one of them has none. The others are not told either: half an answer looks like a whole one.
    """
    texts = [each.content for each in inputs if isinstance(each.content, str)]
    crops = [each.crop for each in inputs if each.crop is not None]
    found = moderator.moderate(texts, crops, role=role)
    by_modality = {"text": iter(found[: len(texts)]), "image": iter(found[len(texts) :])}
    answers = []
    for index, each in enumerate(inputs):
        answers.append(with_verdict(next(by_modality[each.modality]), f"input[{index}]"))
    return answers


def with_verdict(moderation: Moderation, param: str) -> Judged:
    """A moderation that has a verdict.

    Raises:
        Problem: it has none.
    """
    if moderation.failure is not None or moderation.verdict is None:
        raise _problem(moderation.failure, param)
    found = moderation.categories.items()
    probabilities = {name: each.probability for name, each in found if each.probability is not None}
    return Judged(moderation, moderation.verdict, probabilities)


def _problem(failure: Failure | None, param: str) -> Problem:
    if failure is None or failure.reason in OURS_TO_MEND:
        message = f"{param} cannot be judged now."
        return Problem(503, message, code="unjudged", param=param, retry_after=RETRY_SECONDS)
    return Problem(400, f"{param}: {failure.message}", code=failure.reason, param=param)
