"""Recall of the published evaluation on four clouds of 200 points (c = 0.7), where no query is moved."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hyperaware.geometry import Lorentz, lorentz
from hyperaware.metrics import ranks, recall_at, top1

CURV = 0.7
SIMILARITIES = [Lorentz(CURV).similarity, partial(lorentz.pairwise_inner, curv=CURV)]


@pytest.fixture(scope="module")
def published(fixtures: Path) -> dict[str, Any]:
    return json.loads((fixtures / "retrieval.json").read_text())["recalls"]


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=["distance", "inner"])
@pytest.mark.parametrize(("queries", "items", "key"), [("S", "V", "S2V_t2i"), ("V", "S", "S2V_i2t")])
def test_recall_of_safe_pairs(
    golden: dict[str, Tensor], published: dict[str, Any], queries: str, items: str, key: str, similarity: Any
) -> None:
    found = ranks(golden[f"cloud_{queries}"], golden[f"cloud_{items}"], torch.arange(200), similarity)
    assert [recall_at(found, k) for k in (1, 10, 20)] == pytest.approx(published[key])


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=["distance", "inner"])
def test_unsafe_text_in_a_gallery_of_both(
    golden: dict[str, Tensor], published: dict[str, Any], similarity: Any
) -> None:
    queries, gallery = golden["cloud_U"], torch.cat([golden["cloud_V"], golden["cloud_G"]])
    expected = published["U2VG_notrav"]
    found = ranks(queries, gallery, torch.arange(200), similarity)
    assert {str(k): recall_at(found, k) for k in (1, 10, 20)} == pytest.approx(expected["recall"])
    share_safe = (top1(queries, gallery, similarity) < 200).double().mean().item()
    assert share_safe == pytest.approx(expected["first_half_at_1"])
