"""Policies, items and questions for property tests, and an oracle of what a role may see.

The oracle is written from the text of `hyperaware.moderation.rules` and shares no code with it. Numbers come
from a few values on both sides of every threshold, the thresholds included: that is where mistakes live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from hypothesis import settings
from hypothesis import strategies as st
from moderation_samples import sample_bounds
from torch import Tensor

from hyperaware.geometry.space import Lorentz
from hyperaware.index.store import Item, Modality, item_id
from hyperaware.moderation.policy import Clause, Policy, Rule

repeatable = settings(derandomize=True, deadline=None, database=None)

SPACE = Lorentz(1.0)
BOUNDS = sample_bounds()  # triggers 0.5 / 0.7, limits 0.55 / 0.75, landings 0.2 / 0.3 (text / image)
CATEGORIES = ("violence", "hate", "self-harm/intent")
PROBABILITIES = (0.0, 0.3, 0.5, 0.50001, 0.8, 1.0)
THRESHOLDS = (0.0, 0.3, 0.5, 0.8)
DISTANCES = (0.0, 0.2, 0.5, 0.55, 0.6, 0.75, 0.9)
ROLES = ("viewer", "child", "researcher")
FOLDERS = ("", "a/", "a/b/", "ab/")
STRENGTHS = (0.0, 0.4, 1.0)

probabilities = st.dictionaries(st.sampled_from(CATEGORIES), st.sampled_from(PROBABILITIES))
"""Some categories have one, some have none."""


@st.composite
def clauses(draw: st.DrawFn, actions: Sequence[str]) -> Clause:
    """One more rule, for a category or for the root distance, applied or in shadow."""
    action = draw(st.sampled_from(actions))
    category = draw(st.none() | st.sampled_from(CATEGORIES))
    return Clause(
        action=action,  # type: ignore[arg-type]
        category=category,
        above=None if category is None else draw(st.sampled_from(THRESHOLDS)),
        strength=draw(st.sampled_from(STRENGTHS)) if action == "redirect" else 1.0,
        message=draw(st.none() | st.just("Not here.")),
        shadow=draw(st.booleans()),
    )


ACTIONS = ("allow", "blur", "redirect", "review", "block")

rules = st.builds(
    Rule,
    action=st.sampled_from(ACTIONS),
    show=st.sampled_from(["safe", "all"]),
    strength=st.sampled_from(STRENGTHS),
    queries=st.lists(clauses(ACTIONS), max_size=3).map(tuple),
    items=st.lists(clauses(["blur", "block"]), max_size=3).map(tuple),
)

policies = st.builds(
    Policy,
    version=st.just("random"),
    default_role=st.sampled_from(ROLES),
    roles=st.fixed_dictionaries(dict.fromkeys(ROLES, rules)),
)


@st.composite
def items(draw: st.DrawFn, number: int) -> Item:
    """A picture or a text of any state. Many points are the same, so that ties and crowds occur."""
    modality: Modality = draw(st.sampled_from(["image", "image", "text"]))
    path = f"{draw(st.sampled_from(FOLDERS))}{number}.png"
    base = {"id": item_id(path, modality), "path": path, "modality": modality}
    state = draw(st.sampled_from(["ok", "ok", "ok", "unscored", "failed"]))
    if state == "failed":
        return Item(**base, state="failed", reason="truncated: cut")
    return Item(
        **base,
        caption=f"caption of {path}",
        vector=draw(points),
        score=draw(st.sampled_from(DISTANCES)) if state == "ok" else None,
        categories=draw(st.none() | probabilities),
        state=state,
    )


def _point(distance: float, direction: tuple[float, float, float]) -> Tensor:
    return SPACE.move_to(torch.tensor(direction), distance)


points = st.builds(
    _point,
    st.sampled_from(DISTANCES[1:]),
    st.sampled_from([(1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.0, 0.6, 0.8), (-1.0, 0.0, 0.0)]),
)

collections = st.integers(min_value=0, max_value=12).flatmap(
    lambda count: st.tuples(*(items(number) for number in range(count)))
)


# -- the oracle ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What a decision about an item rests on."""

    modality: str
    score: float | None
    categories: Mapping[str, float] | None

    @classmethod
    def of(cls, item: Item) -> "Facts":
        return cls(item.modality, item.score, item.categories)


def may_see(rule: Rule, facts: Facts) -> bool:
    """Whether a role of this rule may see an item at all, blurred or not."""
    limit = BOUNDS.limit[facts.modality]
    if rule.show == "safe" and (facts.score is None or facts.score > limit):
        return False
    for clause in rule.items:
        if clause.shadow:
            continue
        value, most = _compared(clause, facts)
        if value is None or (clause.action == "block" and value > most):
            return False
    return True


def is_blurred(rule: Rule, facts: Facts) -> bool:
    """Whether an item that the role may see is to be blurred, by the rules for items."""
    for clause in rule.items:
        value, most = _compared(clause, facts)
        if clause.action == "blur" and not clause.shadow and value is not None and value > most:
            return True
    return False


def _compared(clause: Clause, facts: Facts) -> tuple[float | None, float]:
    if clause.category is None:
        return facts.score, BOUNDS.limit[facts.modality]
    assert clause.above is not None
    return (facts.categories or {}).get(clause.category), clause.above
