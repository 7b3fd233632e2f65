"""Policies: what happens to a query, per role, and the verdict that says why.

A policy is a versioned TOML file (`default-policy.toml` explains its keys, `policy_file` reads it); `rules`
says which actions there are, which of several rules wins, and what happens where one cannot be evaluated.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation import policy_file
from hyperaware.moderation.bounds import MODALITIES, Bounds
from hyperaware.moderation.rules import (
    ACTIONS,
    SHOWN,
    Action,
    Clause,
    ItemFilter,
    Rule,
    Show,
    is_probability,
    most_severe,
)
from hyperaware.options import unknown_name

__all__ = [
    "ACTIONS",
    "SHOWN",
    "Action",
    "Clause",
    "Finding",
    "ItemFilter",
    "Policy",
    "Rule",
    "Show",
    "Verdict",
]

_OUTCOME = {
    "allow": "is allowed",
    "blur": "gets blurred answers",
    "redirect": "is redirected",
    "review": "waits for a review",
    "block": "is blocked",
}
_ALLOWED = Clause(action="allow")
"""What is done where no rule hits."""


@dataclass(frozen=True)
class Verdict:
    """What is done with one query, with the numbers and the sentence that account for it."""

    action: Action
    """What is applied: that of the most severe rule that hit, "allow" where none did."""
    reason: str
    score: float | None
    """Root distance of the query; None only where the role may see everything and the model has no root."""
    bound: float | None
    role: str
    policy_version: str
    strength: float = 0.0
    """How far a redirected query moves; 0 for every other action."""
    category: str | None = None
    """The category of the rule that decided; None where it was the root distance, or no rule hit."""
    message: str | None = None
    """What the rule that decided says to the user."""
    shadow: Action | None = None
    """What the most severe rule in shadow would have done; None where none of them hit."""
    blurred: bool = False
    """Whether what is answered is blurred: also under a redirection, where a rule for blurring hit too."""


class Finding(NamedTuple):
    """One rule, compared with one query."""

    clause: Clause
    """The role's own rule too, as a clause without a category."""
    hit: bool
    why: str
    """The comparison as a sentence, with its numbers."""


@dataclass(frozen=True)
class Policy:
    """A version, the rules by role, and the role of those who name none."""

    version: str
    default_role: str
    roles: Mapping[str, Rule]

    def __post_init__(self) -> None:
        if not isinstance(self.version, str) or not self.version:
            raise ConfigError(f'version is {self.version!r}, expected a text such as "2025-1".')
        if not self.roles:
            raise ConfigError("a policy needs at least one role.")
        try:
            self.role(self.default_role)
        except ConfigError as error:
            raise ConfigError(f"default_role: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> "Policy":
        """The policy in a TOML file.

        Raises:
            ConfigError: no such file, no valid TOML, or a key or value that is not known; it names the file,
                the key, what was expected and the nearest spelling.
        """
        contents = policy_file.read(path)
        try:
            return cls(**contents._asdict())
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def default(cls) -> "Policy":
        """The policy of the package: viewers are redirected, children blocked, researchers see everything."""
        return cls.read(Path(__file__).with_name("default-policy.toml"))

    def role(self, name: str | None = None) -> Rule:
        """The rule of a role; of `default_role` for None.

        Raises:
            ConfigError: an unknown name. There is no fallback: another role may allow more.
        """
        return self._named(name)[1]

    def _named(self, name: str | None) -> tuple[str, Rule]:
        name = self.default_role if name is None else name
        if not isinstance(name, str) or name not in self.roles:
            raise unknown_name("role", str(name), self.roles)
        return name, self.roles[name]

    @property
    def categories(self) -> frozenset[str]:
        """Every category that a rule names, those in shadow included."""
        clauses = (clause for rule in self.roles.values() for clause in (*rule.queries, *rule.items))
        return frozenset(clause.category for clause in clauses if clause.category is not None)

    def require_categories(self, calibrated: Iterable[str]) -> None:
        """Refuses a rule for a category without calibrated probabilities: it would hit everything.

        Raises:
            ConfigError: it names the role, the rule and the nearest spelling.
        """
        calibrated = list(calibrated)
        for name, rule in self.roles.items():
            for kind, clauses in (("queries", rule.queries), ("items", rule.items)):
                for number, clause in enumerate(clauses, start=1):
                    if clause.category is not None and clause.category not in calibrated:
                        error = unknown_name("calibrated category", clause.category, calibrated)
                        raise ConfigError(
                            f"roles.{name}.{kind}, rule {number}: {error} A rule that cannot be evaluated "
                            "hits everything: calibrate the category, or take the rule out."
                        )

    def shows(self, role: str | None = None, *, bounds: Bounds | None) -> ItemFilter:
        """Which items the role may see, and which of them blurred: what a store must enforce.

        Raises:
            ConfigError: an unknown role.
            SafetyError: the role's rules need the bounds, and there are none.
        """
        name, rule = self._named(role)
        return ItemFilter.of(name, rule, bounds=bounds)

    def judge(
        self,
        score: float | None,
        *,
        modality: str,
        bounds: Bounds | None,
        role: str | None = None,
        strength: float | None = None,
        categories: Mapping[str, float] | None = None,
    ) -> Verdict:
        """The verdict on a query of `modality` with root distance `score`.

        Args:
            strength: how far a query above the trigger is moved, where that is more than the role's rule
                asks for. A rule for a category may ask for more still.
            categories: calibrated probabilities. A category that has none is left out, and its rules hit;
                so do rules for a value that is no probability.

        Raises:
            SafetyError: no bounds, no score, or one that is not finite. Nothing is let through unjudged.
            ConfigError: an unknown role or modality, or a strength that would weaken the rule.
        """
        bound = None if bounds is None else bounds.trigger.get(modality)
        return self.judge_by(
            score, bound=bound, modality=modality, role=role, strength=strength, categories=categories
        )

    def judge_by(
        self,
        score: float | None,
        *,
        bound: float | None,
        modality: str,
        role: str | None = None,
        strength: float | None = None,
        categories: Mapping[str, float] | None = None,
    ) -> Verdict:
        """`judge`, by one bound in place of a model's: for decisions that were made before, by theirs."""
        name, _ = self._named(role)
        findings = self.findings(
            score, bound=bound, modality=modality, role=role, strength=strength, categories=categories
        )
        hits = [finding for finding in findings if finding.hit]
        applied = [finding for finding in hits if not finding.clause.shadow]
        clause, reason = _ALLOWED, findings[0].why
        if applied:
            clause, _, why = max(applied, key=lambda finding: _severity(finding.clause))
            reason = f"{why}; role {name!r} {_OUTCOME[clause.action]}"
        return Verdict(
            action=clause.action,
            reason=reason,
            score=score,
            bound=bound,
            role=name,
            policy_version=self.version,
            strength=clause.strength if clause.action == "redirect" else 0.0,
            category=clause.category,
            message=clause.message,
            shadow=most_severe(finding.clause.action for finding in hits if finding.clause.shadow),
            blurred=any(finding.clause.action == "blur" for finding in applied),
        )

    def findings(
        self,
        score: float | None,
        *,
        bound: float | None,
        modality: str,
        role: str | None = None,
        strength: float | None = None,
        categories: Mapping[str, float] | None = None,
    ) -> tuple[Finding, ...]:
        """Every rule for queries that `judge_by` compares: the role's own first, then what a caller asks for,
        then the others in the order of the file. Raises what `judge` raises."""
        _, rule = self._named(role)
        asked = rule.asked(strength)
        if modality not in MODALITIES:
            raise unknown_name("modality", str(modality), MODALITIES)
        if bound is None:
            raise SafetyError("the model has no bounds, so no query can be judged. Calibrate it first.")
        if score is None or not math.isfinite(score) or not math.isfinite(bound):
            raise SafetyError(
                f"a {modality} query of root distance {score} cannot be judged by the bound {bound}."
            )
        place = "above" if score > bound else "within"
        distance = f"root distance {score:.4f} is {place} the bound {bound:.4f} for {modality} queries"
        clauses = [rule.own, *([] if asked is None else [asked]), *rule.queries]
        return tuple(
            Finding(clause, score > bound, distance)
            if clause.category is None
            else _compared(clause, categories)
            for clause in clauses
        )

    def unjudged(self, *, why: str, role: str | None = None, strength: float | None = None) -> Verdict:
        """The verdict where no query can be judged at all, for a role that is allowed to see everything.

        Raises:
            SafetyError: any other role: what cannot be judged is not shown.
        """
        name, rule = self._named(role)
        if not rule.is_open or rule.asked(strength) is not None:
            raise SafetyError(f"{why}, so nothing can be judged; role {name!r} may not see unjudged results.")
        reason = f"{why}, so nothing was judged; role {name!r} may see everything"
        return Verdict("allow", reason, score=None, bound=None, role=name, policy_version=self.version)


def _severity(clause: Clause) -> tuple[int, float]:
    return ACTIONS.index(clause.action), clause.strength if clause.action == "redirect" else 0.0


def _compared(clause: Clause, categories: Mapping[str, float] | None) -> Finding:
    """A rule of a category: it hits above its threshold, and where there is nothing to compare."""
    name, above = clause.category, clause.above
    assert name is not None  # a Clause has both or neither
    assert above is not None
    value = None if categories is None else categories.get(name)
    if value is None:
        return Finding(clause, True, f"{name} has no probability, which counts as above {above:g}")
    if not is_probability(value):
        return Finding(clause, True, f"{name} is {value}, no probability, which counts as above {above:g}")
    place = "above" if value > above else "within"
    return Finding(clause, value > above, f"the probability {value:.4f} of {name} is {place} {above:g}")
