"""What every store must find: exactly what brute force finds, and nothing that the limit excludes."""

from typing import Any

import pytest
import torch
from store_samples import DIM, brute_force, failed, picture, points, random_items

from hyperaware.errors import SafetyError, StoreError
from hyperaware.geometry.space import Space
from hyperaware.index.exact import SPARE
from hyperaware.index.store import Store, item_id


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("max_score", [None, 0.3, 0.05, float("inf")])
@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize(
    "limits", [None, {"violence": 0.25}, {"violence": 1.0, "hate": 0.5}, {"unknown": 1.0}]
)
def test_search_equals_brute_force(
    store: Store,
    space: Space,
    k: int,
    max_score: float | None,
    modality: str,
    limits: dict[str, float] | None,
) -> None:
    items = random_items(space, 120, seed=k)
    store.add(items.values())
    copy = next(item.vector for item in items.values() if item.vector is not None)
    queries = torch.cat([points(space, 3, seed=99), copy[None]])
    answers = store.search(queries, k=k, modality=modality, max_score=max_score, max_categories=limits)
    for query, hits in zip(queries, answers, strict=True):
        expected = brute_force(
            items, query, space, k=k, modality=modality, max_score=max_score, max_categories=limits
        )
        assert [hit.id for hit in hits] == expected
        for hit in hits:
            item = items[hit.id]
            facts = (hit.path, hit.caption, hit.score, hit.categories)
            assert facts == (item.path, item.caption, item.score, item.categories)
            similarity = space.similarity(query.double()[None], item.vector.double()[None])
            assert hit.similarity == pytest.approx(float(similarity), abs=1e-7)


@pytest.mark.parametrize(("radius", "spread"), [(1e-4, 1.0), (8.0, 3e-4)], ids=["near the root", "far out"])
def test_the_order_is_exact_where_float32_products_cannot_tell(
    store: Store, space: Space, radius: float, spread: float
) -> None:
    """Near the root all products round to -1 in float32; in a crowd far out they lose their last digits."""
    noise = torch.randn(200, DIM, generator=torch.Generator().manual_seed(5))
    vectors = space.lift(radius * (torch.ones(DIM) / DIM**0.5 + spread * noise))
    items = {item_id(str(i)): picture(str(i), vector) for i, vector in enumerate(vectors)}
    store.add(items.values())
    queries = vectors[:20]
    for query, hits in zip(
        queries, store.search(queries, k=4, modality="image", max_score=None), strict=True
    ):
        expected = brute_force(items, query, space, k=4, modality="image", max_score=None)
        assert [hit.id for hit in hits] == expected


def test_equal_items_come_in_the_order_of_their_ids(store: Store, space: Space) -> None:
    """More copies than a first look fetches, so that the cut at k falls among equals."""
    (vector,) = points(space, 1)
    names = [str(number) for number in range(5 * SPARE)]
    store.add([picture(name, vector.clone()) for name in names])
    (hits,) = store.search(points(space, 1, seed=1), k=10, modality="image", max_score=0.5)
    assert [hit.id for hit in hits] == sorted(item_id(name) for name in names)[:10]


def test_over_the_limit_or_unscored_is_never_a_candidate(store: Store, space: Space) -> None:
    """The forbidden items are the nearest; they must not use up the places of the allowed one."""
    near, far = points(space, 1)[0], points(space, 1, seed=8)[0]
    store.add([picture(f"over-{number}", near.clone(), score=0.6) for number in range(40)])
    store.add([picture(f"unscored-{number}", near.clone(), score=None) for number in range(40)])
    store.add([picture("allowed", far, score=0.5), failed("broken")])

    def paths(max_score: float | None) -> list[str]:
        (hits,) = store.search(near[None], k=3, modality="image", max_score=max_score)
        return [hit.path for hit in hits]

    assert paths(0.5) == ["allowed"]  # the limit itself is within
    assert paths(0.4999) == []
    assert len(paths(0.6)) == 3
    assert "allowed" not in paths(0.6)
    assert any(path.startswith("unscored") for path in paths(None)) or "over" in paths(None)[0]
    (everything,) = store.search(near[None], k=100, modality="image", max_score=None)
    assert len(everything) == 81


def test_over_a_category_or_without_it_is_never_a_candidate(store: Store, space: Space) -> None:
    """More of the forbidden, and nearer, than a first look fetches."""
    near, far = points(space, 1)[0], points(space, 1, seed=8)[0]
    for name, categories in (("over", {"violence": 0.51}), ("other", {"hate": 0.0}), ("none", None)):
        store.add([picture(f"{name}-{n}", near.clone(), categories=categories) for n in range(2 * SPARE)])
    allowed = [picture(f"allowed-{n}", far.clone(), categories={"violence": 0.5}) for n in range(2 * SPARE)]
    store.add(allowed)
    for max_score in (None, 0.5):
        (hits,) = store.search(
            near[None], k=3, modality="image", max_score=max_score, max_categories={"violence": 0.5}
        )
        assert [hit.id for hit in hits] == sorted(item.id for item in allowed)[:3]
    (hits,) = store.search(near[None], k=99, modality="image", max_score=None, max_categories={"hate": 1.0})
    assert {hit.path.split("-")[0] for hit in hits} == {"other"}
    nothing = store.search(near[None], k=9, modality="image", max_score=0.4, max_categories={"hate": 1.0})
    assert nothing == [[]]


def test_pages_are_cut_from_the_whole(store: Store, space: Space) -> None:
    items = random_items(space, 120, seed=4)
    store.add(items.values())
    limits = {"modality": "image", "max_score": 0.4, "max_categories": {"violence": 0.5}}
    queries = points(space, 2, seed=5)
    whole = store.search(queries, k=500, **limits)
    assert min(map(len, whole)) > 7
    for offset in (0, 1, 7, 499, 10**6):
        pages = store.search(queries, k=3, offset=offset, **limits)
        assert pages == [hits[offset : offset + 3] for hits in whole]


def test_ids_and_folders_narrow_a_search_and_widen_nothing(store: Store, space: Space) -> None:
    names = ["a/1", "a/2", "a/b/3", "a0/4", "ab/5", "A/6", "7", "a/over"]
    vectors = points(space, len(names))
    store.add(
        picture(name, vector, score=0.9 if name == "a/over" else 0.5)
        for name, vector in zip(names, vectors, strict=True)
    )

    def found(**narrowed: Any) -> list[str]:
        (hits,) = store.search(vectors[:1], k=99, modality="image", max_score=0.5, **narrowed)
        return sorted(hit.path for hit in hits)

    everything = sorted(set(names) - {"a/over"})
    assert found() == found(folder="") == found(folder="/") == everything
    assert found(folder="a") == found(folder="a/") == ["a/1", "a/2", "a/b/3"]
    assert found(folder="a/b") == ["a/b/3"]
    for nothing in ("a/1", "..", "%", "a*", "b"):
        assert found(folder=nothing) == []
    ids = [item_id(name) for name in ("a/1", "7", "a/over", "unknown")]
    assert found(ids=ids) == ["7", "a/1"]
    assert found(ids=ids, folder="a") == ["a/1"]
    assert found(ids=[]) == []
    assert found(ids=[*map(item_id, names), *map(str, range(3000))]) == everything


@pytest.mark.parametrize(
    "limits", [{"max_score": float("nan")}, {"max_score": None, "max_categories": {"a": float("nan")}}]
)
def test_a_limit_that_is_no_number_shows_nothing(store: Store, space: Space, limits: dict[str, Any]) -> None:
    store.add([picture("a", points(space, 1)[0], categories={"a": 0.5})])
    with pytest.raises(SafetyError, match="NaN"):
        store.search(points(space, 1), k=1, modality="image", **limits)


def test_wrong_questions_are_refused(store: Store, space: Space) -> None:
    assert store.search(points(space, 2), k=3, modality="image", max_score=None) == [[], []]
    store.add([picture("a", points(space, 1)[0])])
    with pytest.raises(StoreError, match="k=0"):
        store.search(points(space, 1), k=0, modality="image", max_score=None)
    with pytest.raises(StoreError, match="offset=-1"):
        store.search(points(space, 1), k=1, offset=-1, modality="image", max_score=None)
    for queries in (torch.ones(1, DIM + 1), torch.ones(DIM), torch.full((1, DIM), float("nan"))):
        with pytest.raises(StoreError, match="expected finite points"):
            store.search(queries, k=1, modality="image", max_score=None)
    assert store.search(torch.empty(0, DIM), k=1, modality="image", max_score=None) == []
