"""SafeGround of the published scorer on 500 random tuples, and on 23 tuples that tie in every way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hyperaware.geometry import Sphere
from hyperaware.metrics import ranks, recalls
from hyperaware.metrics.safeground import safeground, successes

PARTS = ("img_safe", "img_unsafe", "txt_safe", "txt_unsafe")


@pytest.fixture(scope="module")
def arrays(fixtures: Path) -> dict[str, Tensor]:
    with np.load(fixtures / "safeground.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@pytest.fixture(scope="module")
def published(fixtures: Path) -> dict[str, Any]:
    return json.loads((fixtures / "safeground.json").read_text())


def cosines(arrays: dict[str, Tensor], prefix: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """a, b, c, d from the stored embeddings, in float32."""
    v_s, v_u, t_s, t_u = (Sphere().lift(arrays[f"{prefix}{name}"]) for name in PARTS)
    a, b, c, d = ((v * t).sum(dim=1) for v in (v_s, v_u) for t in (t_s, t_u))
    return a, b, c, d


@pytest.mark.parametrize(("case", "prefix"), [("main", ""), ("ties", "ties_")])
def test_metrics_are_the_published_ones(
    arrays: dict[str, Tensor], published: dict[str, Any], case: str, prefix: str
) -> None:
    expected = published[case]
    found = safeground(*cosines(arrays, prefix))
    assert list(found) == published["metric_order"]
    for name, share in found.items():
        assert round(share * expected["n"], 9) == expected["success_counts"][name]
        assert round(100 * share, 2) == expected["reference_rounded"][name]
        assert 100 * share == pytest.approx(expected["reference_unrounded"][name], abs=1e-5)


@pytest.mark.parametrize("prefix", ["", "ties_"])
@pytest.mark.parametrize("own", [True, False], ids=["float32 embeddings", "stored float64 cosines"])
def test_each_tuple_succeeds_where_it_does_in_the_published_scorer(
    arrays: dict[str, Tensor], prefix: str, own: bool
) -> None:
    similarities = cosines(arrays, prefix) if own else arrays[f"{prefix}cosines"].unbind(dim=1)
    hits = successes(*similarities)
    assert torch.equal(torch.stack(list(hits.values()), dim=1), arrays[f"{prefix}success"])


def test_exchanged_roles_give_the_published_metrics_too(
    arrays: dict[str, Tensor], published: dict[str, Any]
) -> None:
    a, b, c, d = cosines(arrays, "")
    found = {name: round(100 * share, 2) for name, share in safeground(d, c, b, a).items()}
    assert found == published["main"]["roles_swapped_reference_rounded"]


def test_the_recall_printed_beside_it(arrays: dict[str, Tensor], published: dict[str, Any]) -> None:
    """Safe queries among 500 safe items; unsafe ones among all 1000, where the safe twin is the answer."""
    points = {name: Sphere().lift(arrays[name]) for name in PARTS}
    expected = published["main"]["recall"]
    targets = torch.arange(500)
    for query, item in (("txt", "img"), ("img", "txt")):
        names = {"txt": "text", "img": "image"}
        safe = ranks(points[f"{query}_safe"], points[f"{item}_safe"], targets, Sphere().similarity)
        both = torch.cat([points[f"{item}_safe"], points[f"{item}_unsafe"]])
        unsafe = ranks(points[f"{query}_unsafe"], both, targets, Sphere().similarity)
        for found, key in (
            (safe, f"safe_{names[query]}_to_safe_{names[item]}"),
            (unsafe, f"unsafe_{names[query]}_to_safe_or_unsafe_{names[item]}"),
        ):
            assert list(recalls(found, ks=expected["k"]).values()) == pytest.approx(
                [share / 100 for share in expected[key]]
            )
