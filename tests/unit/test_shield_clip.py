"""ShieldCLIP's masks: each term sees its own rows, and an empty one is zero and in the graph."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from model_samples import CLASSES, random_points
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Sphere
from hyperaware.methods.shield_clip import ShieldCLIP

SCALE = 20.0
TEXT = (True, False, True, False, True, True, False)
IMAGE = (True, False, False, True, True, False, True)
"""Labels of seven rows: 2 unsafe-unsafe, 1 safe-safe, 2 unsafe texts only, 2 unsafe pictures only."""


def labelled(points: Quadruplet, text: Any = TEXT, image: Any = IMAGE) -> Quadruplet:
    return dataclasses.replace(
        points, unsafe_text_is_unsafe=torch.tensor(text), unsafe_image_is_unsafe=torch.tensor(image)
    )


def on_sphere(seed: int) -> Quadruplet:
    return random_points(7, 5, seed=seed).map(lambda part: Sphere().lift(part.detach().double()))


def terms(points: Quadruplet, reference: Quadruplet | None, **settings: Any) -> dict[str, Tensor]:
    return ShieldCLIP(**settings).terms(points, space=Sphere(), logit_scale=SCALE, reference=reference)


def naive_cosine(x: Tensor, y: Tensor, rows: list[int]) -> float:
    return -sum(float(x[i] @ y[i]) for i in rows) / len(rows)


def naive_nce(x: Tensor, y: Tensor, rows: list[int]) -> float:
    """-(1/m) sum_i [log softmax_j(s x_i.y_j)_i + log softmax_j(s y_i.x_j)_i], as it is printed."""
    total = 0.0
    for a, b in ((x, y), (y, x)):
        for i in rows:
            logits = [SCALE * float(a[i] @ b[j]) for j in rows]
            total -= SCALE * float(a[i] @ b[i]) - math.log(sum(map(math.exp, logits)))
    return total / len(rows)


def test_every_term_by_loops_over_its_rows() -> None:
    p, r = labelled(on_sphere(0)), on_sphere(1)
    found = terms(p, r)
    every, both, none = range(7), [0, 4], [1]
    text_only, image_only = [2, 5], [3, 6]
    expected = {
        "real/image": naive_cosine(p.safe_image, r.safe_image, [*every]),
        "real/text": naive_cosine(p.safe_text, r.safe_text, [*every]),
        "real/image>text": naive_nce(p.safe_image, r.safe_text, [*every]),
        "real/text>image": naive_nce(p.safe_text, r.safe_image, [*every]),
        "safe/image": naive_cosine(p.unsafe_image, r.unsafe_image, none + text_only),
        "safe/text": naive_cosine(p.unsafe_text, r.unsafe_text, none + image_only),
        "safe/image>text": naive_nce(p.unsafe_image, r.unsafe_text, none),
        "safe/text>image": naive_nce(p.unsafe_text, r.unsafe_image, none),
        "redirection/image": naive_cosine(p.unsafe_image, r.safe_image, both + image_only),
        "redirection/text": naive_cosine(p.unsafe_text, r.safe_text, both + text_only),
        "mixed/image>text": naive_nce(p.unsafe_image, r.unsafe_text, image_only),
        "mixed/text>image": naive_nce(p.unsafe_text, r.unsafe_image, text_only),
        "coherent": naive_nce(p.unsafe_text, p.unsafe_image, both),
    }
    assert {name: float(term) for name, term in found.items()} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "image", "empty"),
    [
        (True, True, {"safe", "mixed"}),
        (False, False, {"redirection", "mixed", "coherent"}),
        (True, False, {"safe/text", "safe/image>text", "safe/text>image", "redirection/image", "coherent"}),
    ],
)
def test_an_empty_subset_is_exactly_zero_and_keeps_the_graph(
    text: bool, image: bool, empty: set[str]
) -> None:
    leaves = random_points(7, 5)
    points = labelled(leaves.map(Sphere().lift), [text] * 7, [image] * 7)
    found = terms(points, on_sphere(1).map(Tensor.float))
    expected = {name for name in found if name in empty or name.partition("/")[0] in empty}
    expected |= {"mixed/image>text"} if text and not image else set()
    assert expected
    for name, term in found.items():
        assert (float(term.detach()) == 0.0) == (name in expected), name
        assert term.requires_grad
    torch.stack([found[name] for name in expected]).sum().backward()
    gradients = [getattr(leaves, part).grad for part in CLASSES if getattr(leaves, part).grad is not None]
    assert gradients
    assert all(bool((gradient == 0).all()) for gradient in gradients)


def test_a_subset_of_one_has_no_contrast() -> None:
    """The one safe-safe row, with nothing to be told from."""
    found = terms(labelled(on_sphere(0)), on_sphere(1))
    assert float(found["safe/image>text"]) == pytest.approx(0, abs=1e-12)


def test_without_labels_every_generated_item_is_unsafe() -> None:
    points, reference = on_sphere(0), on_sphere(1)
    unlabelled, unsafe = terms(points, reference), terms(labelled(points, [True] * 7, [True] * 7), reference)
    assert {n: float(t) for n, t in unlabelled.items()} == {n: float(t) for n, t in unsafe.items()}


def test_labels_are_those_of_the_batch_and_never_of_the_reference() -> None:
    points, reference = labelled(on_sphere(0)), on_sphere(1)
    plain, labels = terms(points, reference), terms(points, labelled(reference, [False] * 7, [False] * 7))
    assert {n: float(t) for n, t in plain.items()} == {n: float(t) for n, t in labels.items()}


def test_no_unsafe_reference_point_is_a_target_of_an_unsafe_item() -> None:
    """Where both sides are unsafe, the reference of the generated pair may be anything."""
    points, reference = on_sphere(0), on_sphere(1)
    broken = dataclasses.replace(
        reference, unsafe_text=reference.unsafe_text * torch.nan, unsafe_image=reference.unsafe_image * 3
    )
    expected, found = terms(points, reference), terms(points, broken)
    for name in ("redirection/image", "redirection/text", "coherent", "real/image"):
        assert float(found[name]) == float(expected[name])


def test_the_ablation_drops_every_contrastive_term() -> None:
    kept = terms(labelled(on_sphere(0)), on_sphere(1), cosine_only=True)
    assert set(kept) == {
        f"{kind}/{part}" for kind in ("real", "safe", "redirection") for part in ("image", "text")
    }
    whole = terms(labelled(on_sphere(0)), on_sphere(1))
    assert all(float(kept[name]) == float(whole[name]) for name in kept)


def test_the_weights_are_the_papers_and_the_total_may_be_negative() -> None:
    method = ShieldCLIP()
    weights = {name.partition("/")[0]: method.weight(name) for name in terms(on_sphere(0), on_sphere(1))}
    assert weights == {"real": 0.1, "safe": 0.1, "redirection": 0.1, "mixed": 0.25, "coherent": 0.25}
    points = labelled(on_sphere(0), [False] * 7, [False] * 7)
    assert float(terms(points, points)["real/image"]) == pytest.approx(-1)


def test_without_a_reference_it_refuses() -> None:
    with pytest.raises(ConfigError, match="needs the reference points"):
        terms(on_sphere(0), None)
