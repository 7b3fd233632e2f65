"""Rules of a policy: what one role gets, by root distance and by category, and which items it may see.

Actions, from the mildest to the most severe; where several rules hit, **the most severe wins**, and of two
redirections the stronger. Blurring is kept under a redirection, which does not replace it.

    allow      nothing is done
    blur       a query: all its answers are blurred; an item: it is shown blurred
    redirect   a query: moved to the safe region, then searched
    review     a query: not answered; a person decides
    block      a query: not answered; an item: not shown

A rule that **cannot be evaluated hits**: a query that has no probability of the rule's category is treated as
if it were above the threshold, and an item that has none is not shown.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation.bounds import MODALITIES, Bounds
from hyperaware.moderation.redirect import require_strength
from hyperaware.options import unknown_name

__all__ = [
    "ACTIONS",
    "ITEM_ACTIONS",
    "SHOWN",
    "Action",
    "Clause",
    "ItemFilter",
    "Rule",
    "Show",
    "is_probability",
    "most_severe",
]

Action = Literal["allow", "blur", "redirect", "review", "block"]
Show = Literal["safe", "all"]
ACTIONS: tuple[Action, ...] = get_args(Action)
"""In the order of severity."""
ITEM_ACTIONS: tuple[Action, ...] = ("blur", "block")
SHOWN = ("safe", "all")


def most_severe(actions: Iterable[Action]) -> Action | None:
    """The last of `ACTIONS` among those given; None for none.

    >>> most_severe(["redirect", "block", "blur"])
    'block'
    """
    return max(actions, key=ACTIONS.index, default=None)


def is_probability(value: object) -> bool:
    """Whether it is a number in [0, 1]: the only thing that a threshold can be compared with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One more rule of a role: what happens above a threshold.

    With a `category`: where its calibrated probability is above `above`. Without: where the root distance is
    above the bound of its modality, the trigger for queries and the limit for items.
    """

    action: Action
    category: str | None = None
    above: float | None = None
    """A probability in [0, 1): hit by what is strictly above it. With a category only."""
    strength: float = 1.0
    """How far a query moves, from 0 (not at all) to 1 (to the landing); for "redirect" only."""
    message: str | None = None
    """What is said to the user."""
    shadow: bool = False
    """True: what it would do is recorded, and not done."""

    def __post_init__(self) -> None:
        _require_action(self.action)
        require_strength(self.strength)
        _require_message(self.message)
        if not isinstance(self.shadow, bool):
            raise ConfigError(f"shadow is {self.shadow!r}, expected true or false.")
        if self.category is None:
            if self.above is not None:
                raise ConfigError(
                    "above is a threshold of a category, and no category is given. Add category, or take "
                    "above out: without both, a rule is hit above the bound of the root distance."
                )
        elif not isinstance(self.category, str) or not self.category.strip():
            raise ConfigError(f'category is {self.category!r}, expected a name such as "violence".')
        elif not is_probability(self.above) or self.above == 1:
            raise ConfigError(
                f"above is {self.above!r}, expected a probability of {self.category!r}, at least 0 and "
                "below 1: nothing is above 1."
            )


@dataclass(frozen=True)
class Rule:
    """What one role gets."""

    action: Action
    """What happens to a query above the trigger of its modality."""
    show: Show
    """Which items it may see: those within the limit of their modality, or all."""
    strength: float = 1.0
    """How far a redirected query moves, from 0 (not at all) to 1 (to the landing); for "redirect" only."""
    message: str | None = None
    """What is said to the user whose query is above the trigger."""
    queries: tuple[Clause, ...] = ()
    """More rules for queries."""
    items: tuple[Clause, ...] = ()
    """Rules for items, on top of `show`: "blur" or "block"."""

    def __post_init__(self) -> None:
        _require_action(self.action)
        if self.show not in SHOWN:
            raise unknown_name("value of show", str(self.show), SHOWN)
        require_strength(self.strength)
        _require_message(self.message)
        for clause in self.items:
            if clause.action not in ITEM_ACTIONS:
                raise ConfigError(
                    f"an item cannot get {clause.action!r}, which is for queries; expected "
                    f"{' or '.join(map(repr, ITEM_ACTIONS))}."
                )

    @cached_property
    def own(self) -> Clause:
        """What the role itself says of a query above the trigger, as a clause."""
        return Clause(action=self.action, strength=self.strength, message=self.message)

    def asked(self, strength: float | None) -> Clause | None:
        """The redirection that a caller asks for, one more rule for queries above the trigger; None where
        nothing is asked.

        Raises:
            ConfigError: a strength outside [0, 1], or one that would weaken the rule.
        """
        if strength is None:
            return None
        require_strength(strength)
        least = self.strength if self.action == "redirect" else 0.0
        if strength < least:
            raise ConfigError(
                f"strength {strength} is weaker than the rule's {least}: a caller may ask for more safety, "
                "never for less. Leave strength out, raise it, or change the policy."
            )
        return Clause(action="redirect", strength=strength, message=self.message) if strength > 0 else None

    @property
    def is_open(self) -> bool:
        """Whether it lets through everything, judged or not: no rule that is applied could ever hit."""
        applied = [clause for clause in (*self.queries, *self.items) if not clause.shadow]
        return self.action == "allow" and self.show == "all" and not applied


@dataclass(frozen=True, kw_only=True)
class ItemFilter:
    """Which items a role may see, and which of them blurred.

    `max_score` and `max_categories` are what `Store.search` takes, so that they hold inside the query;
    `allows` says the same of one item.
    """

    role: str
    max_score: Mapping[str, float | None]
    """By modality: the largest root distance. None: any, or none at all; infinity: any, but it needs one."""
    max_categories: Mapping[str, float]
    """The largest probability by category; an item without one is not shown. 1: any, but it needs one."""
    blur_score: Mapping[str, float]
    """By modality: items of a larger root distance are blurred."""
    blur_categories: Mapping[str, float]
    """By category: items of a larger probability are blurred."""
    shadow: "ItemFilter | None" = None
    """The filter as it would be if the rules in shadow were applied too; None where there are none."""

    @classmethod
    def of(cls, role: str, rule: Rule, *, bounds: Bounds | None) -> "ItemFilter":
        """The filter of a role's rule.

        Raises:
            SafetyError: a limit that the rule needs is missing or not finite.
        """
        applied = [clause for clause in rule.items if not clause.shadow]
        found = cls._of(role, rule.show, applied, bounds)
        if len(applied) == len(rule.items):
            return found
        return dataclasses.replace(found, shadow=cls._of(role, rule.show, rule.items, bounds))

    @classmethod
    def _of(cls, role: str, show: Show, clauses: Iterable[Clause], bounds: Bounds | None) -> "ItemFilter":
        hide, blur = ([each for each in clauses if each.action == action] for action in ("block", "blur"))
        by_score = {"hide": show == "safe" or _by_score(hide), "blur": _by_score(blur)}
        limit = _limits(bounds) if any(by_score.values()) else {}
        most: float | None = math.inf if by_score["blur"] else None
        return cls(
            role=role,
            max_score={each: limit[each] if by_score["hide"] else most for each in MODALITIES},
            max_categories={**dict.fromkeys(_thresholds(blur), 1.0), **_thresholds(hide)},
            blur_score=limit if by_score["blur"] else {},
            blur_categories=_thresholds(blur),
        )

    def allows(self, *, modality: str, score: float | None, categories: Mapping[str, float] | None) -> bool:
        """Whether the role may see an item, blurred or not."""
        limit = self.max_score[modality]
        if limit is not None and (score is None or not score <= limit):
            return False
        known = {} if categories is None else categories
        return all(name in known and known[name] <= most for name, most in self.max_categories.items())

    def action(self, *, modality: str, score: float | None, categories: Mapping[str, float] | None) -> Action:
        """What happens to an item: "allow", "blur" or "block"."""
        if not self.allows(modality=modality, score=score, categories=categories):
            return "block"
        # What the rules for blurring compare is there: `allows` asked for it.
        above = score is not None and score > self.blur_score.get(modality, math.inf)
        known = {} if categories is None else categories
        if above or any(known[name] > most for name, most in self.blur_categories.items()):
            return "blur"
        return "allow"


def _by_score(clauses: Iterable[Clause]) -> bool:
    return any(clause.category is None for clause in clauses)


def _thresholds(clauses: Iterable[Clause]) -> dict[str, float]:
    """The lowest threshold by category."""
    lowest: dict[str, float] = {}
    for clause in clauses:
        if clause.category is not None and clause.above is not None:
            lowest[clause.category] = min(clause.above, lowest.get(clause.category, 1.0))
    return lowest


def _limits(bounds: Bounds | None) -> dict[str, float]:
    if bounds is None:
        raise SafetyError("the model has no bounds, so no item can be judged. Calibrate it first.")
    limits = {modality: bounds.limit[modality] for modality in MODALITIES}
    for modality, limit in limits.items():
        if not math.isfinite(limit):
            raise SafetyError(f"the limit of {modality}s is {limit}, so no item can be judged.")
    return limits


def _require_action(action: Any) -> None:
    if action not in ACTIONS:
        raise unknown_name("action", str(action), ACTIONS)


def _require_message(message: Any) -> None:
    if message is not None and (not isinstance(message, str) or not message.strip()):
        raise ConfigError(f"message is {message!r}, expected what is said to the user, or no message at all.")
