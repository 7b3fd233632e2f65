"""From the moderator's findings to what routes tell: in their order, and nothing without a verdict."""

from collections.abc import Sequence
from typing import NamedTuple

from hyperaware.moderate import Failure, Measured, Moderation, Moderator
from hyperaware.moderation.categories import probabilities
from hyperaware.moderation.policy import Verdict
from hyperaware.server.inputs import Input
from hyperaware.server.problems import RETRY_SECONDS, Problem

__all__ = ["Judged", "decided", "judged", "measured", "with_verdict"]

OURS_TO_MEND = ("unjudged", "not_finite")
"""Failures that are not the input's fault."""


class Judged(NamedTuple):
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
    return decided(moderator, measured(moderator, inputs), role=role)


def measured(moderator: Moderator, inputs: Sequence[Input]) -> list[Measured]:
    """What is measured of each input, whatever request it is of; in one pass for each modality."""
    texts = [each.content for each in inputs if isinstance(each.content, str)]
    crops = [each.crop for each in inputs if each.crop is not None]
    found = moderator.measured(texts, crops)
    by_modality = {"text": iter(found[: len(texts)]), "image": iter(found[len(texts) :])}
    return [next(by_modality[each.modality]) for each in inputs]


def decided(moderator: Moderator, found: Sequence[Measured], *, role: str) -> list[Judged]:
    """The inputs of one request with their verdicts; errors as in `judged`."""
    return [
        with_verdict(moderator.decided(each, role=role), f"input[{index}]")
        for index, each in enumerate(found)
    ]


def with_verdict(moderation: Moderation, param: str) -> Judged:
    """A moderation that has a verdict.

    Raises:
        Problem: it has none.
    """
    if moderation.failure is not None or moderation.verdict is None:
        raise _problem(moderation.failure, param)
    return Judged(moderation, moderation.verdict, probabilities(moderation.categories))


def _problem(failure: Failure | None, param: str) -> Problem:
    if failure is None or failure.reason in OURS_TO_MEND:
        message = f"{param} cannot be judged now."
        return Problem(503, message, code="unjudged", param=param, retry_after=RETRY_SECONDS)
    return Problem(400, f"{param}: {failure.message}", code=failure.reason, param=param)
