"""Policies: what happens to a query above the trigger, per role, and the verdict that says why.

A policy is a versioned TOML file (`default-policy.toml` explains its keys). It is read strictly: a spelling
mistake in a safety rule is an error, never a rule that is silently absent.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation.bounds import MODALITIES, Bounds
from hyperaware.moderation.redirect import require_strength
from hyperaware.options import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ACTIONS", "SHOWN", "Action", "Policy", "Rule", "Show", "Verdict"]

Action = Literal["allow", "redirect", "block"]
Show = Literal["safe", "all"]
ACTIONS = ("allow", "redirect", "block")
SHOWN = ("safe", "all")
_OUTCOME = {"allow": "is allowed", "redirect": "is redirected", "block": "is blocked"}


@dataclass(frozen=True)
class Rule:
    """What one role gets."""

    action: Action
    """What happens to a query above the trigger of its modality."""
    show: Show
    """Which items it may see: those within the limit of their modality, or all."""
    strength: float = 1.0
    """How far a redirected query moves, from 0 (not at all) to 1 (to the landing); for "redirect" only."""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise unknown_name("action", str(self.action), ACTIONS)
        if self.show not in SHOWN:
            raise unknown_name("value of show", str(self.show), SHOWN)
        require_strength(self.strength)

    def tightened(self, strength: float | None) -> "Rule":
        """This rule with the redirection that a caller asks for: as strong as the rule's, or stronger.

        Raises:
            ConfigError: a strength outside [0, 1], or one that would weaken the rule.
        """
        if strength is None:
            return self
        require_strength(strength)
        least = {"allow": 0.0, "redirect": self.strength, "block": 0.0}[self.action]
        if strength < least:
            raise ConfigError(
                f"strength {strength} is weaker than the rule's {least}: a caller may ask for more safety, "
                "never for less. Leave strength out, raise it, or change the policy."
            )
        if self.action == "block" or strength == least:
            return self
        return dataclasses.replace(self, action="redirect", strength=strength)


@dataclass(frozen=True)
class Verdict:
    """What is done with one query, with the numbers and the sentence that account for it."""

    action: Action
    reason: str
    score: float | None
    """Root distance of the query; None only where the role may see everything and the model has no root."""
    bound: float | None
    role: str
    policy_version: str
    strength: float = 0.0
    """How far a redirected query moves; 0 for every other action."""


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
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"the policy {path} does not exist.") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"the policy {path} cannot be read: {error}") from error
        try:
            return _policy(document)
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

    def judge(
        self,
        score: float | None,
        *,
        modality: str,
        bounds: Bounds | None,
        role: str | None = None,
        strength: float | None = None,
    ) -> Verdict:
        """The verdict on a query of `modality` with root distance `score`.

        Raises:
            SafetyError: no bounds, no score, or one that is not finite. Nothing is let through unjudged.
            ConfigError: an unknown role or modality, or a strength that would weaken the rule.
        """
        name, rule = self._named(role)
        rule = rule.tightened(strength)
        if modality not in MODALITIES:
            raise unknown_name("modality", str(modality), MODALITIES)
        if bounds is None:
            raise SafetyError("the model has no bounds, so no query can be judged. Calibrate it first.")
        bound = bounds.trigger[modality]
        if score is None or not math.isfinite(score) or not math.isfinite(bound):
            raise SafetyError(
                f"a {modality} query of root distance {score} cannot be judged by the bound {bound}."
            )
        action: Action = "allow"
        limit = f"the bound {bound:.4f} for {modality} queries"
        place = f"within {limit}"
        if score > bound:
            action, place = rule.action, f"above {limit}; role {name!r} {_OUTCOME[rule.action]}"
        return Verdict(
            action=action,
            reason=f"root distance {score:.4f} is {place}",
            score=score,
            bound=bound,
            role=name,
            policy_version=self.version,
            strength=rule.strength if action == "redirect" else 0.0,
        )

    def unjudged(self, *, why: str, role: str | None = None, strength: float | None = None) -> Verdict:
        """The verdict where no query can be judged at all, for a role that is allowed to see everything.

        Raises:
            SafetyError: any other role: what cannot be judged is not shown.
        """
        name, rule = self._named(role)
        rule = rule.tightened(strength)
        if rule.action != "allow" or rule.show != "all":
            raise SafetyError(f"{why}, so nothing can be judged; role {name!r} may not see unjudged results.")
        reason = f"{why}, so nothing was judged; role {name!r} may see everything"
        return Verdict("allow", reason, score=None, bound=None, role=name, policy_version=self.version)


def _policy(document: dict[str, Any]) -> Policy:
    _require_keys(document, "the policy", required=("version", "default_role", "roles"))
    if not isinstance(document["roles"], dict):
        raise ConfigError(f"roles is {document['roles']!r}, expected tables such as [roles.viewer].")
    roles = {name: _rule(table, where=f"roles.{name}") for name, table in document["roles"].items()}
    return Policy(version=document["version"], default_role=document["default_role"], roles=roles)


def _rule(table: Any, *, where: str) -> Rule:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {table!r}, expected a table with action and show.")
    _require_keys(table, where, required=("action", "show"), optional=("strength",))
    try:
        rule = Rule(**table)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if "strength" in table and rule.action != "redirect":
        raise ConfigError(f"{where}: strength has a meaning for the action 'redirect' only. Take it out.")
    return rule


def _require_keys(
    table: dict[str, Any], where: str, *, required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    for key in table:
        if key not in (*required, *optional):
            raise ConfigError(f"{where}: {unknown_name('key', key, (*required, *optional))}")
    for key in required:
        if key not in table:
            raise ConfigError(f"{where}: the key {key!r} is missing; expected {', '.join(required)}.")
