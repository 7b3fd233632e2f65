"""Policies: read strictly, judged by number, and closed wherever something is missing."""

import math
from pathlib import Path
from typing import Any

import pytest
from moderation_samples import sample_bounds

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation.policy import Policy, Rule, Verdict

BOUNDS = sample_bounds()  # text 0.5, image 0.7
POLICY = Policy(
    version="test-1",
    default_role="viewer",
    roles={
        "viewer": Rule(action="redirect", show="safe", strength=0.8),
        "child": Rule(action="block", show="safe"),
        "researcher": Rule(action="allow", show="all"),
        "editor": Rule(action="allow", show="safe"),
    },
)


# Reading --------------------------------------------------------------------------------------------


def test_the_default_policy_redirects_those_who_name_no_role() -> None:
    policy = Policy.default()
    assert policy.role() == policy.role("viewer")
    assert (policy.role().action, policy.role().show, policy.role().strength) == ("redirect", "safe", 1.0)
    assert (policy.role("child").action, policy.role("child").show) == ("block", "safe")
    assert policy.role("researcher") == Rule(action="allow", show="all")
    assert policy.categories == frozenset()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        Policy.read(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("role", ["viewr", "", "Viewer", "admin"])
def test_an_unknown_role_gets_no_other_role(role: str) -> None:
    with pytest.raises(ConfigError, match="Known: child, editor, researcher, viewer"):
        POLICY.role(role)
    with pytest.raises(ConfigError, match="Known: child, editor, researcher, viewer"):
        POLICY.judge(0.1, modality="text", role=role, bounds=BOUNDS)


@pytest.mark.parametrize("wrong", [{"action": "redirct"}, {"show": "everything"}, {"strength": 2.0}])
def test_a_rule_made_in_code_is_checked_too(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Rule(**{"action": "redirect", "show": "safe", **wrong})


# Judging --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "child", "researcher", "editor"])
@pytest.mark.parametrize(("modality", "score"), [("text", 0.5), ("text", 0.0), ("image", 0.7)])
def test_a_query_within_the_bound_of_its_modality_is_allowed(role: str, modality: str, score: float) -> None:
    verdict = POLICY.judge(score, modality=modality, role=role, bounds=BOUNDS)
    assert (verdict.action, verdict.strength) == ("allow", 0.0)
    assert verdict.reason == (
        f"root distance {score:.4f} is within the bound {BOUNDS.trigger[modality]:.4f} for {modality} queries"
    )


@pytest.mark.parametrize(
    ("role", "action", "strength", "outcome"),
    [
        ("viewer", "redirect", 0.8, "is redirected"),
        ("child", "block", 0.0, "is blocked"),
        ("researcher", "allow", 0.0, "is allowed"),
    ],
)
def test_a_query_above_the_bound_gets_what_the_role_says(
    role: str, action: str, strength: float, outcome: str
) -> None:
    assert POLICY.judge(0.61, modality="text", role=role, bounds=BOUNDS) == Verdict(
        action=action,  # type: ignore[arg-type]
        reason=f"root distance 0.6100 is above the bound 0.5000 for text queries; role {role!r} {outcome}",
        score=0.61,
        bound=0.5,
        role=role,
        policy_version="test-1",
        strength=strength,
    )


def test_who_names_no_role_is_judged_by_the_default_one() -> None:
    verdict = POLICY.judge(0.61, modality="text", bounds=BOUNDS)
    assert (verdict.role, verdict.action) == ("viewer", "redirect")


def test_the_bound_is_that_of_the_modality() -> None:
    assert POLICY.judge(0.61, modality="image", bounds=BOUNDS).action == "allow"


@pytest.mark.parametrize("role", ["viewer", "child", "researcher"])
@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_without_a_score_there_is_no_verdict(role: str, score: float | None) -> None:
    with pytest.raises(SafetyError, match=f"root distance {score} cannot be judged"):
        POLICY.judge(score, modality="text", role=role, bounds=BOUNDS)


@pytest.mark.parametrize("role", ["viewer", "child", "researcher"])
def test_without_bounds_there_is_no_verdict(role: str) -> None:
    with pytest.raises(SafetyError, match="no bounds"):
        POLICY.judge(0.1, modality="text", role=role, bounds=None)


def test_a_bound_that_was_spoiled_afterwards_gives_no_verdict() -> None:
    bounds = sample_bounds(trigger={"text": 0.5, "image": 0.7})
    bounds.trigger["text"] = math.nan  # type: ignore[index]
    with pytest.raises(SafetyError, match="bound nan"):
        POLICY.judge(0.1, modality="text", bounds=bounds)


def test_an_unknown_modality_is_refused() -> None:
    with pytest.raises(ConfigError, match="no modality is called 'video'"):
        POLICY.judge(0.1, modality="video", bounds=BOUNDS)


# More safety than the rule asks for, never less ------------------------------------------------------


def test_a_caller_may_ask_for_more_redirection() -> None:
    assert POLICY.judge(0.61, modality="text", bounds=BOUNDS, strength=0.9).strength == 0.9
    assert POLICY.judge(0.61, modality="text", bounds=BOUNDS, strength=0.8).strength == 0.8


@pytest.mark.parametrize("score", [0.1, 0.61])
@pytest.mark.parametrize("strength", [0.0, 0.79])
def test_a_caller_may_not_ask_for_less(score: float, strength: float) -> None:
    with pytest.raises(ConfigError, match=f"strength {strength} is weaker than the rule's 0.8"):
        POLICY.judge(score, modality="text", bounds=BOUNDS, strength=strength)


def test_an_allowed_role_may_ask_to_be_redirected() -> None:
    verdict = POLICY.judge(0.61, modality="text", role="researcher", bounds=BOUNDS, strength=0.3)
    assert (verdict.action, verdict.strength) == ("redirect", 0.3)
    assert verdict.reason.endswith("role 'researcher' is redirected")
    untouched = POLICY.judge(0.61, modality="text", role="researcher", bounds=BOUNDS, strength=0.0)
    assert (untouched.action, untouched.strength) == ("allow", 0.0)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_no_strength_opens_a_blocked_role(strength: float) -> None:
    verdict = POLICY.judge(0.61, modality="text", role="child", bounds=BOUNDS, strength=strength)
    assert (verdict.action, verdict.strength) == ("block", 0.0)


@pytest.mark.parametrize("role", ["viewer", "child", "researcher"])
@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_a_strength_is_between_0_and_1_for_every_role(role: str, strength: float) -> None:
    with pytest.raises(ConfigError, match="expected a number from 0"):
        POLICY.judge(0.61, modality="text", role=role, bounds=BOUNDS, strength=strength)


# Where nothing can be judged -------------------------------------------------------------------------


def test_only_a_role_that_may_see_everything_passes_unjudged() -> None:
    verdict = POLICY.unjudged(why="the model 'clip' has no root distances", role="researcher")
    assert (verdict.action, verdict.score, verdict.bound) == ("allow", None, None)
    assert verdict.reason == (
        "the model 'clip' has no root distances, so nothing was judged; role 'researcher' may see everything"
    )


@pytest.mark.parametrize("role", [None, "viewer", "child", "editor"])
def test_every_other_role_is_refused_unjudged(role: str | None) -> None:
    with pytest.raises(SafetyError, match="may not see unjudged results"):
        POLICY.unjudged(why="the model has no root distances", role=role)


def test_what_cannot_be_judged_cannot_be_redirected_either() -> None:
    with pytest.raises(SafetyError, match="may not see unjudged results"):
        POLICY.unjudged(why="the model has no root distances", role="researcher", strength=0.5)
