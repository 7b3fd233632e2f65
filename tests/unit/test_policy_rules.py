"""Rules for categories, for queries and for items: which of them hit, and which of those wins."""

import math
from typing import Any

import pytest
from moderation_samples import sample_bounds

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation.policy import ACTIONS, Action, Clause, Policy, Rule

BOUNDS = sample_bounds()  # triggers 0.5 / 0.7, limits 0.55 / 0.75 (text / image)

# Queries --------------------------------------------------------------------------------------------


def with_queries(*clauses: Clause, action: Action = "allow") -> Policy:
    return Policy("rules-1", "viewer", {"viewer": Rule(action=action, show="all", queries=clauses)})


def violence(action: Action, above: float = 0.5, **more: Any) -> Clause:
    return Clause(category="violence", above=above, action=action, **more)


@pytest.mark.parametrize(("value", "action"), [(0.5, "allow"), (0.50001, "block"), (0.0, "allow")])
def test_a_rule_of_a_category_hits_above_its_threshold(value: float, action: Action) -> None:
    verdict = with_queries(violence("block", message="Not here.")).judge(
        0.1, modality="text", bounds=BOUNDS, categories={"violence": value, "hate": 1.0}
    )
    assert verdict.action == action
    hit = action == "block"
    assert (verdict.category, verdict.message) == (("violence", "Not here.") if hit else (None, None))
    if hit:
        expected = "the probability 0.5000 of violence is above 0.5; role 'viewer' is blocked"
        assert verdict.reason == expected


@pytest.mark.parametrize(
    "categories",
    [None, {}, {"hate": 0.0}, *({"violence": value} for value in (math.nan, -0.1, 1.1, True, "0.1", None))],
)
def test_a_rule_that_cannot_be_evaluated_hits(categories: Any) -> None:
    verdict = with_queries(violence("block", above=0.99)).judge(
        0.1, modality="text", bounds=BOUNDS, categories=categories
    )
    assert (verdict.action, verdict.category) == ("block", "violence")
    assert "which counts as above 0.99" in verdict.reason


@pytest.mark.parametrize("first", ACTIONS)
@pytest.mark.parametrize("second", ACTIONS)
def test_the_most_severe_rule_wins_in_whatever_order(first: Action, second: Action) -> None:
    """The role's own rule against one of a category, and one of a category against another."""
    expected = max(first, second, key=["allow", "blur", "redirect", "review", "block"].index)
    for policy in (
        with_queries(violence(second), action=first),
        with_queries(violence(first), violence(second)),
    ):
        verdict = policy.judge(0.61, modality="text", bounds=BOUNDS, categories={"violence": 0.9})
        assert verdict.action == expected
        assert verdict.blurred == ("blur" in (first, second))


def test_of_two_redirections_the_stronger_wins_and_of_equals_the_first() -> None:
    rules = [violence("redirect", strength=s, message=f"{s}") for s in (0.3, 0.9, 0.9)]
    policy = with_queries(*rules)
    verdict = policy.judge(0.61, modality="text", bounds=BOUNDS, categories={"violence": 0.9})
    assert (verdict.strength, verdict.message) == (0.9, "0.9")
    for asked, strength in ((0.5, 0.9), (1.0, 1.0)):
        verdict = policy.judge(
            0.61, modality="text", bounds=BOUNDS, categories={"violence": 0.9}, strength=asked
        )
        assert verdict.strength == strength


def test_no_redirection_that_a_caller_asks_for_takes_a_blur_away() -> None:
    verdict = with_queries(action="blur").judge(0.61, modality="text", bounds=BOUNDS, strength=0.1)
    assert (verdict.action, verdict.strength, verdict.blurred) == ("redirect", 0.1, True)


@pytest.mark.parametrize("action", ["review", "block"])
def test_no_strength_opens_what_is_held_back(action: Action) -> None:
    verdict = with_queries(action=action).judge(0.61, modality="text", bounds=BOUNDS, strength=1.0)
    assert (verdict.action, verdict.strength) == (action, 0.0)


def test_a_rule_in_shadow_is_told_and_not_applied() -> None:
    policy = with_queries(violence("block", shadow=True), violence("review", shadow=True), violence("blur"))
    verdict = policy.judge(0.1, modality="text", bounds=BOUNDS, categories={"violence": 0.9})
    assert (verdict.action, verdict.shadow, verdict.category) == ("blur", "block", "violence")
    quiet = policy.judge(0.1, modality="text", bounds=BOUNDS, categories={"violence": 0.1})
    assert (quiet.action, quiet.shadow, quiet.blurred) == ("allow", None, False)
    blur = with_queries(violence("blur", shadow=True))
    assert not blur.judge(0.1, modality="text", bounds=BOUNDS).blurred


def test_a_rule_without_a_category_hits_above_the_trigger() -> None:
    policy = with_queries(Clause(action="block", shadow=True), action="redirect")
    assert policy.judge(0.5, modality="text", bounds=BOUNDS).shadow is None
    verdict = policy.judge(0.61, modality="text", bounds=BOUNDS)
    assert (verdict.action, verdict.shadow) == ("redirect", "block")


def test_findings_tell_of_every_rule() -> None:
    policy = with_queries(violence("block"), Clause(category="hate", above=0.2, action="blur", shadow=True))
    found = policy.findings(0.1, bound=0.5, modality="text", categories={"hate": 0.3})
    assert [(each.hit, each.why) for each in found] == [
        (False, "root distance 0.1000 is within the bound 0.5000 for text queries"),
        (True, "violence has no probability, which counts as above 0.5"),
        (True, "the probability 0.3000 of hate is above 0.2"),
    ]


def test_a_rule_that_is_applied_closes_a_role_to_what_is_not_judged() -> None:
    why = "the model has no root distances"
    with pytest.raises(SafetyError, match="may not see unjudged"):
        with_queries(violence("allow")).unjudged(why=why)
    assert with_queries(violence("block", shadow=True)).unjudged(why=why).action == "allow"
    for action in ("blur", "block"):  # nor where a rule asks what items are
        hides = Rule(action="allow", show="all", items=(violence(action),))
        with pytest.raises(SafetyError, match="may not see unjudged"):
            Policy("rules-1", "viewer", {"viewer": hides}).unjudged(why=why)


def test_a_category_that_is_not_calibrated_is_refused_by_rule_and_nearest_spelling() -> None:
    policy = with_queries(violence("block"))
    assert policy.categories == {"violence"}
    policy.require_categories(["hate", "violence"])
    with pytest.raises(ConfigError, match=r"viewer\.queries, rule 1: .*'violence'\. Did you mean 'violance'"):
        policy.require_categories(["hate", "violance"])


# Items ----------------------------------------------------------------------------------------------

ITEMS = (
    Clause(category="violence", above=0.8, action="block"),
    Clause(category="violence", above=0.6, action="block", shadow=True),
    Clause(category="violence", above=0.3, action="blur"),
    Clause(category="hate", above=0.5, action="blur"),
)


@pytest.mark.parametrize(
    ("categories", "action", "shadow"),
    [
        ({"violence": 0.3, "hate": 0.5}, "allow", "allow"),
        ({"violence": 0.31, "hate": 0.0}, "blur", "blur"),
        ({"violence": 0.61, "hate": 0.0}, "blur", "block"),
        ({"violence": 0.0, "hate": 1.0}, "blur", "blur"),
        ({"violence": 0.81, "hate": 0.0}, "block", "block"),
        ({"violence": 0.0}, "block", "block"),
        ({"violence": math.nan, "hate": 0.0}, "block", "block"),
        ({}, "block", "block"),
        (None, "block", "block"),
    ],
)
def test_items_are_shown_blurred_or_not_at_all(categories: Any, action: Action, shadow: Action) -> None:
    policy = Policy("items-1", "viewer", {"viewer": Rule(action="allow", show="all", items=ITEMS)})
    shown = policy.shows(bounds=None)
    assert shown.max_score == {"text": None, "image": None}
    assert shown.max_categories == {"violence": 0.8, "hate": 1.0}
    assert shown.action(modality="image", score=None, categories=categories) == action
    assert shown.shadow is not None
    assert shown.shadow.action(modality="image", score=None, categories=categories) == shadow


def test_rules_for_items_without_a_category_hit_above_the_limit() -> None:
    def action(clause: Clause, score: float | None) -> Action:
        policy = Policy("items-2", "viewer", {"viewer": Rule(action="allow", show="all", items=(clause,))})
        return policy.shows(bounds=BOUNDS).action(modality="image", score=score, categories=None)

    for kind in ("blur", "block"):
        clause = Clause(action=kind)  # type: ignore[arg-type]
        assert [action(clause, score) for score in (0.75, 0.76, None)] == ["allow", kind, "block"]


def test_who_sees_safe_items_needs_bounds() -> None:
    policy = Policy(
        version="items-3",
        default_role="viewer",
        roles={"viewer": Rule(action="block", show="safe"), "researcher": Rule(action="allow", show="all")},
    )
    assert policy.shows("viewer", bounds=BOUNDS).max_score == {"text": 0.55, "image": 0.75}
    assert policy.shows("researcher", bounds=None).max_score == {"text": None, "image": None}
    with pytest.raises(SafetyError, match="no item can be judged"):
        policy.shows("viewer", bounds=None)
    bounds = sample_bounds(limit={"text": 0.5, "image": 0.7})
    bounds.limit["text"] = math.nan  # type: ignore[index]
    with pytest.raises(SafetyError, match="limit of texts is nan"):
        policy.shows("viewer", bounds=bounds)
    with pytest.raises(ConfigError, match="no role is called 'viewr'"):
        policy.shows("viewr", bounds=BOUNDS)
