"""Published claims: the figures that each rests on say what it says."""

from collections.abc import Callable

import pytest

from hyperaware.comparison.published import claim, claims
from hyperaware.errors import ConfigError

SUPPORT: dict[str, Callable[[], bool]] = {}


def supports(id: str) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    def enter(check: Callable[[], bool]) -> Callable[[], bool]:
        SUPPORT[id] = check
        return check

    return enter


def cited(id: str, column: str) -> dict[str, float]:
    """Row -> cell of the claim's figures in that column."""
    return {value.row.title: value.value for value in claim(id).figures if value.column.title == column}


@supports("hysac-redirects-best")
def _() -> bool:
    best = [cited("hysac-redirects-best", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")]
    kept = [cited("hysac-redirects-best", f"{c} R@1") for c in ("T*->I*", "I*->T*", "T*->I*+I", "I*->T*+T")]
    return all(max(one, key=lambda row: one[row]) == "HySAC" for one in best) and all(
        one["HySAC"] >= one["CLIP"] for one in kept
    )


@supports("safe-clip-loses-utility")
def _() -> bool:
    titles = ("mean of 11 sets", "zero-shot", "T*->I*+I R@1", "I*->T*+T R@1")
    found = [cited("safe-clip-loses-utility", title) for title in titles]
    return all(one["Safe-CLIP"] < one["CLIP"] - 15 for one in found)


@supports("safer-clip-keeps-utility")
def _() -> bool:
    compared = {value.column.title for value in claim("safer-clip-keeps-utility").figures}
    found = [cited("safer-clip-keeps-utility", title) for title in compared]
    return len(found) == 9 and all(one["SafeR-CLIP"] > one["Safe-CLIP"] for one in found)


@supports("uwm-needs-no-training")
def _() -> bool:
    safer = [
        cited("uwm-needs-no-training", t) for t in ("T_u-V_us", "V_u-T_us", "P_t_u", "P_v_u", "PU", "GS")
    ]
    kept = [cited("uwm-needs-no-training", title) for title in ("zero-shot", "PS")]
    return all(one["UWM"] > one["CLIP"] for one in safer) and all(
        one["UWM"] > one["Safe-CLIP"] for one in kept
    )


@supports("cosine-only-collapses")
def _() -> bool:
    found = [cited("cosine-only-collapses", title)["cosine only"] for title in ("T2I", "I2T")]
    return found == [0.0, 100.0]


@supports("safety-term-needed")
def _() -> bool:
    found = [cited("safety-term-needed", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")]
    return all(one["no safety term"] < 0.2 * one["HySAC"] for one in found)


@supports("aperture-scale-one-best")
def _() -> bool:
    found = [cited("aperture-scale-one-best", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")]
    return all(max(one, key=lambda row: one[row]) == "1" and len(one) == 7 for one in found)


@supports("hyperbolic-beats-euclidean")
def _() -> bool:
    titles = [f"{column} R@1" for column in ("T->I", "I->T", "T*->I+I*", "I*->T+T*")]
    found = [cited("hyperbolic-beats-euclidean", title) for title in titles]
    return all(one["HySAC"] > one["Euclidean HySAC"] for one in found)


@supports("root-distance-separates-classes")
def _() -> bool:
    lengths = [value.value for value in claim("root-distance-separates-classes").figures]
    return lengths == sorted(lengths) and len(set(lengths)) == 4


@supports("other-hyperbolic-do-not-redirect")
def _() -> bool:
    found = [
        cited("other-hyperbolic-do-not-redirect", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")
    ]
    return all(max(one["MERU*"], one["HyCoCLIP*"]) < 0.2 * one["HySAC"] for one in found)


def test_every_claim_is_known_here() -> None:
    assert [one.id for one in claims()] == list(SUPPORT)
    with pytest.raises(ConfigError, match="no published claim is called"):
        claim("hysac-is-best")


@pytest.mark.parametrize("id", SUPPORT)
def test_the_figures_of_a_claim_say_what_it_says(id: str) -> None:
    assert SUPPORT[id]()
