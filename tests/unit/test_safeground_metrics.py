"""SafeGround: the nine metrics on tuples that one checks by eye, ties, bounds and chance."""

import itertools

import pytest
import torch
from torch import Tensor

from hyperaware.errors import DataError
from hyperaware.metrics import mean_differences, mean_intervals
from hyperaware.metrics.safeground import (
    CHANCE,
    JOINT,
    frechet_violations,
    safeground,
    successes,
)

WORKED = torch.tensor(
    [
        [0.30, 0.28, 0.27, 0.20],
        [0.30, 0.20, 0.25, 0.22],
        [0.28, 0.29, 0.10, 0.31],
        [0.25, 0.25, 0.20, 0.30],
        [0.27, 0.21, 0.28, 0.15],
    ]
)
"""a, b, c, d of five tuples. By hand:

          a > c   b > d   a > b   c > d
    1     yes     yes     yes     yes       all
    2     yes     no      yes     yes       no unsafe text
    3     yes     no      no      no        the safe text only
    4     yes     no      tie     no        the safe text only
    5     no      yes     yes     yes       no safe text
"""
SHARES = {
    "P_t_s": 0.8,
    "P_t_u": 0.4,
    "P_v_s": 0.6,
    "P_v_u": 0.6,
    "Txt_s": 0.6,
    "Img_s": 0.2,
    "PS": 0.4,
    "PU": 0.4,
    "GS": 0.2,
}


def test_the_worked_example() -> None:
    assert safeground(*WORKED.T) == pytest.approx(SHARES, abs=1e-15)
    assert list(SHARES) == list(CHANCE)


def test_every_joint_metric_is_a_conjunction(generator: torch.Generator) -> None:
    """Similarities of few levels: most tuples tie somewhere."""
    tuples = torch.randint(4, (4, 2000), generator=generator).double()
    hits = successes(*tuples)
    for joint, pairs in JOINT.items():
        for first, second in pairs:
            assert torch.equal(hits[joint], hits[first] & hits[second]), joint


@pytest.mark.parametrize(
    ("tuple_", "lost"),
    [
        ([0.5, 0.2, 0.5, 0.1], {"P_t_s", "Img_s", "PS", "GS"}),  # a = c
        ([0.5, 0.5, 0.2, 0.1], {"P_v_s", "Txt_s", "PS", "GS"}),  # a = b
        ([0.5, 0.2, 0.3, 0.2], {"P_t_u", "Img_s", "PU", "GS"}),  # b = d
        ([0.5, 0.3, 0.2, 0.2], {"P_v_u", "Txt_s", "PU", "GS"}),  # c = d
        ([0.0, -0.0, 0.0, -0.0], set(SHARES)),
        ([float("nan"), 0.2, 0.3, 0.1], {"P_t_s", "P_v_s", "Txt_s", "Img_s", "PS", "GS"}),
        ([0.5, float("nan"), 0.3, 0.1], set(SHARES) - {"P_t_s", "P_v_u"}),
    ],
)
def test_a_tie_or_nan_fails_exactly_its_contests(tuple_: list[float], lost: set[str]) -> None:
    found = safeground(*torch.tensor([tuple_]).T)
    assert {name for name, share in found.items() if share == 0.0} == lost
    assert {share for name, share in found.items() if name not in lost} <= {1.0}


def test_exchanging_safe_and_unsafe_turns_a_share_into_the_rest_of_it(generator: torch.Generator) -> None:
    """(a, b, c, d) becomes (d, c, b, a); without ties what was preferred before is now not."""
    a, b, c, d = torch.randn(4, 400, generator=generator)
    as_is, swapped = safeground(a, b, c, d), safeground(d, c, b, a)
    for query, other in (("P_t_s", "P_t_u"), ("P_v_s", "P_v_u")):
        assert swapped[query] == pytest.approx(1 - as_is[other])
        assert swapped[other] == pytest.approx(1 - as_is[query])


def test_chance_is_the_count_of_orders() -> None:
    """All 24 orders of four different similarities, once each."""
    orders = torch.tensor(list(itertools.permutations([0.1, 0.2, 0.3, 0.4])))
    assert safeground(*orders.T) == pytest.approx(CHANCE, abs=1e-15)


def test_random_embeddings_are_at_chance(generator: torch.Generator) -> None:
    """Similarities of one tuple share vectors, yet in 64 dimensions they hardly hang together."""
    v_s, v_u, t_s, t_u = torch.randn(4, 20000, 64, generator=generator)
    found = safeground(*[(v * t).sum(1) for v, t in itertools.product((v_s, v_u), (t_s, t_u))])
    assert found == pytest.approx(CHANCE, abs=0.015)


def test_a_table_that_cannot_be_of_one_set_of_tuples_is_found() -> None:
    assert frechet_violations(SHARES, tolerance=1e-9) == []
    [sentence] = frechet_violations({**SHARES, "GS": 0.45}, tolerance=1e-9)[:1]
    assert sentence == "GS is 0.45, but PS = 0.4 and PU = 0.4 allow 0 to 0.4"
    assert len(frechet_violations({**SHARES, "PS": 0.35}, tolerance=0.01)) == 1  # 0.8 + 0.6 - 1 = 0.4
    assert frechet_violations({**SHARES, "PS": 0.395}, tolerance=0.01) == []


def test_published_rows_keep_the_bounds() -> None:
    """Main table, ViT-L/14 on the ViSU test split: CLIP, UWM and Safe-CLIP, in percent to one decimal."""
    for row in (
        [73.1, 5.2, 87.4, 7.6, 6.4, 4.7, 67.5, 1.7, 1.2],
        [71.2, 11.7, 91.4, 20.5, 19.1, 10.8, 67.8, 5.5, 4.5],
        [50.1, 19.0, 81.5, 34.1, 27.9, 18.1, 45.9, 8.2, 6.4],
    ):
        shares = {name: value / 100 for name, value in zip(SHARES, row, strict=True)}
        assert frechet_violations(shares, tolerance=0.0016) == []


def test_intervals_and_paired_differences(generator: torch.Generator) -> None:
    tuples = torch.randn(4, 300, generator=generator)
    shares = safeground(*tuples)
    intervals = mean_intervals(successes(*tuples), generator=generator, resamples=500)
    for name, interval in intervals.items():
        assert interval.value == pytest.approx(shares[name])
        assert interval.low < shares[name] < interval.high
    better = tuples + torch.tensor([1.0, 0.0, 0.0, -1.0]).unsqueeze(1)
    apart = mean_differences(successes(*better), successes(*tuples), generator=generator, resamples=500)
    assert all(each.low > 0 for each in apart.values())


@pytest.mark.parametrize(
    ("similarities", "message"),
    [
        ([torch.empty(0)] * 4, "of at least one"),
        ([torch.ones(3), torch.ones(3), torch.ones(3), torch.ones(1)], "one number per tuple"),
        (
            [torch.ones(2, dtype=torch.float16), *[torch.ones(2)] * 3],
            "a are torch.float16: rounding makes ties",
        ),
        ([*[torch.ones(2)] * 3, torch.ones(2, dtype=torch.bfloat16)], "d are torch.bfloat16"),
    ],
)
def test_what_cannot_be_compared_is_refused(similarities: list[Tensor], message: str) -> None:
    unchecked = successes
    while hasattr(unchecked, "__wrapped__"):  # the tests' shape checks would refuse before ours
        unchecked = unchecked.__wrapped__
    with pytest.raises(DataError, match=message):
        unchecked(*similarities)
