"""Past decisions judged again: what would change, counted once before and once after."""

from typing import Any

import pytest

from hyperaware.moderation.policy import Clause, Policy, Rule
from hyperaware.moderation.replay import REFUSED, replay

POLICY = Policy(
    version="new",
    default_role="researcher",
    roles={
        "viewer": Rule(
            action="block",
            show="safe",
            queries=(Clause(category="violence", above=0.5, action="review"),),
        ),
        "researcher": Rule(action="allow", show="all"),
    },
)


def decision(**changes: Any) -> dict[str, Any]:
    fields = {"score": 0.6, "bound": 0.5, "modality": "text", "role": "viewer", "action": "redirect"}
    return {**fields, "categories": {"violence": 0.1}, **changes}


def test_what_changes_is_counted_and_named_with_its_reason() -> None:
    found = replay(
        POLICY,
        enumerate(
            [
                decision(),
                decision(score=0.4, action="allow"),
                decision(score=0.4, categories={"violence": 0.9}, action="allow"),
                decision(action="block"),
            ],
            start=7,
        ),
    )
    assert found.before == {"redirect": 1, "allow": 2, "block": 1}
    assert found.after == {"block": 2, "allow": 1, "review": 1}
    assert [change[:4] for change in found.changes] == [
        (7, "viewer", "redirect", "block"),
        (9, "viewer", "allow", "review"),
    ]
    assert found.changes[0].reason.startswith("root distance 0.6000 is above the bound 0.5000")


def test_the_bound_is_that_of_the_decision() -> None:
    assert replay(POLICY, [(1, decision(bound=0.7))]).after == {"allow": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "admin"},
        {"role": None},
        {"score": None, "bound": None},
        {"score": None},
        {"bound": "0.5"},
        {"score": True},
        {"modality": "video"},
        {"modality": ["text"]},
        {"categories": [0.1]},
    ],
)
def test_without_a_verdict_a_decision_is_refused_and_never_allowed(changes: dict[str, Any]) -> None:
    found = replay(POLICY, [(1, decision(action="allow", **changes))])
    assert found.after == {REFUSED: 1}
    assert found.changes[0].after == REFUSED


def test_what_was_not_judged_stays_so_for_a_role_that_sees_everything() -> None:
    unjudged = decision(role="researcher", score=None, bound=None, action="allow")
    assert replay(POLICY, [(1, unjudged)]).changes == []


def test_categories_that_are_missing_hit() -> None:
    for categories in ({}, None):
        found = replay(POLICY, [(1, decision(score=0.1, action="allow", categories=categories))])
        assert found.after == {"review": 1}
