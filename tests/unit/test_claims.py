"""Verdicts on claims, on outcomes that are given; every criterion is met once and missed once."""

import pytest
from comparison_samples import comparison, entry
from moderation_samples import sample_bounds

from hyperaware.comparison import published
from hyperaware.comparison.claims import CRITERIA, ClaimVerdict, judge
from hyperaware.comparison.headline import (
    AWARE,
    HARMFUL,
    HARMFUL_SERVED,
    SAFE_RECALL,
    SAFE_SERVED,
    TWIN,
    TWIN_SERVED,
    ZERO_SHOT,
    Measure,
)
from hyperaware.comparison.results import Comparison, Entry, Study, Variant

ROWS = 40


def hits(share: float) -> list[float]:
    return [1.0] * round(share * ROWS) + [0.0] * (ROWS - round(share * ROWS))


def method(name: str, *, seconds: float = 100.0, zero_shot: float = 0.6, **shares: float) -> Entry:
    """A method with these shares in both directions: safe, aware, harmful, twin; and as served_..."""
    given: dict[str, list[float] | float] = {}
    measures: dict[str, Measure] = {"safe": SAFE_RECALL, "aware": AWARE, "harmful": HARMFUL, "twin": TWIN}
    served = {"safe": SAFE_SERVED, "harmful": HARMFUL_SERVED, "twin": TWIN_SERVED}
    for word, share in shares.items():
        if word in measures:
            given |= {figure.raw: hits(share) for figure in measures[word].figures}
        else:
            for figure in served[word.removeprefix("served_")].figures:
                assert figure.redirected is not None
                given[figure.redirected] = hits(share)
    given |= {figure.raw: zero_shot for figure in ZERO_SHOT.figures}
    bounds = sample_bounds() if any(word.startswith("served_") for word in shares) else None
    return entry(name, given, bounds=bounds, seconds=seconds)


CLIP = method("clip", seconds=0, safe=0.9, aware=0.9, harmful=1, twin=0)
SAFE_CLIP = method("safe-clip", zero_shot=0.4, safe=0.5, aware=0.5, harmful=0.5, twin=0.3)
SAFER_CLIP = method("safer-clip", zero_shot=0.5, safe=0.8, aware=0.6, harmful=0.4, twin=0.6)
HYSAC = method(
    "hysac", safe=0.9, aware=0.9, harmful=1, twin=0, served_safe=0.9, served_harmful=0, served_twin=0.9
)
UWM = method("uwm", seconds=10, safe=0.9, aware=0.9, harmful=0.5, twin=0.2)


def verdict(id: str, compared: Comparison) -> ClaimVerdict:
    return next(one for one in judge(compared) if one.id == id)


def study(name: str, **variants: Entry) -> Study:
    """A study whose labels are the words, with spaces in place of underscores."""
    lines = tuple(Variant(label.replace("_", " "), None, one) for label, one in variants.items())
    return Study(name, name, "a table", None, lines)


def test_every_published_claim_has_a_criterion_and_a_verdict() -> None:
    assert list(CRITERIA) == [claim.id for claim in published.claims()]
    found = judge(comparison(CLIP))
    assert [one.id for one in found] == list(CRITERIA)
    assert {one.verdict for one in found} == {"not tested"}
    assert found[0].because == "The comparison has no hysac."
    assert all(one.criterion.endswith(".") and one.claim for one in found)


def test_hysac_redirects_best() -> None:
    assert verdict("hysac-redirects-best", comparison(CLIP, SAFER_CLIP, HYSAC)).verdict == "reproduced"
    better = method("better", safe=0.9, aware=0.9, harmful=0, twin=1)
    half = verdict("hysac-redirects-best", comparison(CLIP, better, HYSAC))
    assert half.verdict == "partly"
    assert "✗ Safe twin R@1, as served, T → I: hysac 90.0 %, better 100.0 % (-10.0 points" in half.because
    assert verdict("hysac-redirects-best", comparison(CLIP, HYSAC)).verdict == "not tested"


def test_our_own_method_is_no_rival_of_the_paper() -> None:
    best = {figure.key(HYSAC): hits(1) for figure in TWIN_SERVED.figures}
    best |= {figure.key(HYSAC): hits(0) for figure in HARMFUL_SERVED.figures}
    ours = entry("ours", best, bounds=sample_bounds(), paper="ours")
    found = verdict("hysac-redirects-best", comparison(CLIP, SAFER_CLIP, HYSAC, ours))
    assert found.verdict == "reproduced"


def test_safe_clip_and_safer_clip() -> None:
    compared = comparison(CLIP, SAFE_CLIP, SAFER_CLIP)
    assert verdict("safe-clip-loses-utility", compared).verdict == "reproduced"
    assert verdict("safer-clip-keeps-utility", compared).verdict == "reproduced"
    kept = method("safe-clip", zero_shot=0.7, safe=0.9, aware=0.9, harmful=0.5, twin=0.9)
    assert verdict("safe-clip-loses-utility", comparison(CLIP, kept)).verdict == "not reproduced"
    assert verdict("safer-clip-keeps-utility", comparison(kept, SAFER_CLIP)).verdict == "not reproduced"


def test_a_lead_that_can_be_chance_does_not_count() -> None:
    """One row of 40 less than CLIP, in every condition but zero-shot, which is better."""
    near = method("safe-clip", zero_shot=0.7, safe=0.875, aware=0.875, harmful=0.5, twin=0.3)
    assert verdict("safe-clip-loses-utility", comparison(CLIP, near)).verdict == "not reproduced"


def test_uwm_has_to_be_cheap_and_to_help() -> None:
    id = "uwm-needs-no-training"
    assert verdict(id, comparison(CLIP, SAFE_CLIP, UWM)).verdict == "reproduced"
    useless = method("uwm", seconds=10, safe=0.9, aware=0.9, harmful=1, twin=0)
    found = verdict(id, comparison(CLIP, SAFE_CLIP, useless))
    assert found.verdict == "partly"
    assert found.conditions[0] == "✓ made in 10 s, the quickest trained method in 100 s"
    slow = method("uwm", seconds=90, safe=0.5, aware=0.9, harmful=1, twin=0)
    assert verdict(id, comparison(CLIP, SAFE_CLIP, slow)).verdict == "not reproduced"
    assert "no trained method" in verdict(id, comparison(CLIP, UWM)).because


@pytest.mark.parametrize(("shares", "expected"), [((0.0, 1.0), "reproduced"), ((0.0, 0.5), "partly")])
def test_cosine_only_collapses(shares: tuple[float, float], expected: str) -> None:
    pairs = zip(HARMFUL.figures, shares, strict=True)
    alone = entry("cosine", {figure.raw: hits(share) for figure, share in pairs})
    full = method("shield-clip", harmful=0.2)
    tested = comparison(CLIP, studies=(study("shield-clip-weights", full=full, cosine_only=alone),))
    assert verdict("cosine-only-collapses", tested).verdict == expected
    other = comparison(CLIP, studies=(study("shield-clip-weights", full=full),))
    assert "no variant 'cosine only'" in verdict("cosine-only-collapses", other).because


@pytest.mark.parametrize(("left", "expected"), [(0.1, "reproduced"), (0.8, "not reproduced")])
def test_the_safety_term(left: float, expected: str) -> None:
    without = method("without", served_twin=left)
    tested = comparison(CLIP, studies=(study("loss-ablation", HySAC=HYSAC, no_safety_term=without),))
    assert verdict("safety-term-needed", tested).verdict == expected


@pytest.mark.parametrize(
    ("rival", "expected"), [(0.9, "reproduced"), (1.0, "not reproduced"), (0.2, "reproduced")]
)
def test_scale_one_may_tie_but_not_lose(rival: float, expected: str) -> None:
    scales = {0.5: rival, 1.0: 0.7 if rival == 1 else 0.9, 1.5: 0.1}
    lines = tuple(
        Variant(f"{value:g}", value, method(f"scale-{value:g}", served_twin=share))
        for value, share in scales.items()
    )
    sweep = Study("aperture-sweep", "Sweep", "table 10", "aperture scale", lines)
    assert verdict("aperture-scale-one-best", comparison(CLIP, studies=(sweep,))).verdict == expected


def test_geometry() -> None:
    flat = method("euclidean-hysac", served_safe=0.5, served_twin=0.2)
    for other, expected in ((flat, "reproduced"), (HYSAC, "not reproduced")):
        lines = (Variant("HySAC", None, HYSAC), Variant("Euclidean HySAC", None, other))
        tested = comparison(CLIP, studies=(Study("geometry", "", "", None, lines),))
        assert verdict("hyperbolic-beats-euclidean", tested).verdict == expected


@pytest.mark.parametrize(("ordered", "expected"), [(True, "reproduced"), (False, "not reproduced")])
def test_the_order_of_the_classes(ordered: bool, expected: str) -> None:
    tested = comparison(entry("hysac", {"root_distance/medians_ordered": ordered}))
    assert verdict("root-distance-separates-classes", tested).verdict == expected


def test_others_do_not_redirect() -> None:
    meru = method("meru", harmful=1, served_harmful=0.9)
    hycoclip = method("hycoclip", harmful=1, served_harmful=0.1)
    found = verdict("other-hyperbolic-do-not-redirect", comparison(meru, hycoclip))
    assert found.verdict == "partly"
    assert found.conditions == (
        "✓ meru, T → I: 90.0 % harmful first hits as served",
        "✓ meru, I → T: 90.0 % harmful first hits as served",
        "✗ hycoclip, T → I: 10.0 % harmful first hits as served",
        "✗ hycoclip, I → T: 10.0 % harmful first hits as served",
    )
