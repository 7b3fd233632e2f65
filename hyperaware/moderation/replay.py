"""What another policy would have decided: past decisions, judged again by their own numbers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation.bounds import MODALITIES
from hyperaware.moderation.policy import Policy, Verdict

__all__ = ["REFUSED", "Change", "Replay", "replay"]

REFUSED = "refused"
"""What stands in place of an action where the policy gives no verdict: an unknown role, or no score."""


class Change(NamedTuple):
    """A decision that the other policy would have made otherwise."""

    seq: int
    role: str
    before: str
    after: str
    reason: str
    """Of what would be now."""


@dataclass
class Replay:
    """What a policy changes. Every decision is counted once before and once after."""

    before: Counter[str] = field(default_factory=Counter)
    """Number of decisions by action, as they were made."""
    after: Counter[str] = field(default_factory=Counter)
    """Number of decisions by action, or `REFUSED`, as the policy would make them."""
    changes: list[Change] = field(default_factory=list)


def replay(policy: Policy, decisions: Iterable[tuple[int, Mapping[str, Any]]]) -> Replay:
    """Each decision (its number in the log, its fields) judged by `policy`.

    A decision has score, bound, modality, role, categories and action. It is judged by the bound and the
    probabilities that it was made by. A redirection that a caller asked for beyond the rule is not in a log,
    so it is not repeated: such a decision counts as changed.
    """
    found = Replay()
    for seq, fields in decisions:
        before, role = str(fields.get("action")), fields.get("role")
        try:
            verdict = _judged(policy, fields)
            after, reason = str(verdict.action), verdict.reason
        except (ConfigError, SafetyError) as error:
            after, reason = REFUSED, str(error)
        found.before[before] += 1
        found.after[after] += 1
        if after != before:
            found.changes.append(Change(seq, str(role), before, after, reason))
    return found


def _judged(policy: Policy, fields: Mapping[str, Any]) -> Verdict:
    score, bound, role = fields.get("score"), fields.get("bound"), fields.get("role")
    if not isinstance(role, str):  # None would be judged as the default role, which may allow more
        raise ConfigError(f"the decision's role is {role!r}, expected a name.")
    if score is None and bound is None:
        return policy.unjudged(why="it was decided without a score", role=role)
    for name, value in (("score", score), ("bound", bound)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SafetyError(f"the decision's {name} is {value!r}, expected a number.")
    categories = fields.get("categories")
    if categories is not None and not isinstance(categories, Mapping):
        raise SafetyError(f"the decision's categories are {categories!r}, expected probabilities by name.")
    modality = fields.get("modality")
    if modality not in MODALITIES:
        raise ConfigError(f"the decision's modality is {modality!r}, expected one of {MODALITIES}.")
    return policy.judge_by(score, bound=bound, modality=modality, role=role, categories=categories)
