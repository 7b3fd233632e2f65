"""What every store of the table must keep, refuse, show to others and still hold after any history."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from store_samples import DIM, brute_force, failed, picture, points, random_items, same

from hyperaware.errors import StoreError
from hyperaware.geometry.space import Lorentz, Space
from hyperaware.index import STORES
from hyperaware.index.store import Item, Store, item_id
from hyperaware.media.images import content_hash
from hyperaware.options import resolve

Open = Callable[..., Store]


# -- keeping ---------------------------------------------------------------------------------------------


def test_items_come_back_bit_for_bit_after_reopening_too(
    store: Store, open_store: Open, space: Space
) -> None:
    items = [
        picture("a.png", points(space, 1)[0], score=0.1 + 0.2, caption="ein Häschen 🐇"),
        picture("d.png", points(space, 1)[0], categories={"self-harm/intent": 0.1 + 0.2, "Gräuel": 1.0}),
        picture("e.png", points(space, 1)[0], categories={}),
        picture("b.png", points(space, 1, seed=1)[0], score=None),
        failed("c.png"),
        replace(picture("t", points(space, 1, seed=2)[0]), id=item_id("t", "text"), modality="text"),
    ]
    store.add(items)
    for _ in range(2):
        assert [same(item, store.get(item.id)) for item in items] == [True] * 6
        assert store.count == 6
        store.close()
        store = open_store(create=False)
    assert store.get("unknown") is None


def test_adding_an_id_again_replaces_it(store: Store, space: Space) -> None:
    old, new = points(space, 2)
    store.add([picture("a.png", old, caption="old")])
    store.add([picture("a.png", new, score=0.9, caption="new")])
    assert store.count == 1
    assert same(picture("a.png", new, score=0.9, caption="new"), store.get(item_id("a.png")))
    (hits,) = store.search(old[None], k=5, modality="image", max_score=None)
    assert [(hit.caption, hit.score) for hit in hits] == [("new", 0.9)]


def test_contents_tell_what_is_there_without_vectors(store: Store, space: Space) -> None:
    store.add([picture("a.png", points(space, 1)[0], caption="A"), failed("b.png")])
    contents = store.contents("image")
    assert contents[item_id("a.png")] == ("a.png", content_hash(b"a.png"), "A", "ok", False)
    assert contents[item_id("b.png")] == ("b.png", None, None, "failed", False)
    assert store.contents("text") == {}


def test_a_batch_with_one_bad_item_adds_nothing(store: Store, space: Space) -> None:
    good = picture("good.png", points(space, 1)[0])
    store.add([good])
    bad_vectors = [torch.full((DIM,), float("nan")), torch.full((DIM,), float("inf")), torch.ones(DIM + 1)]
    if space.name == "sphere":
        bad_vectors.append(torch.zeros(DIM))  # not a unit vector
    for vector in bad_vectors:
        with pytest.raises(StoreError, match=r"bad\.png"):
            store.add([picture("new.png", points(space, 1, seed=3)[0]), picture("bad.png", vector)])
    assert list(store.contents("image")) == [good.id]


def test_removing_counts_what_was_there(store: Store, space: Space) -> None:
    store.add([picture(name, vector) for name, vector in zip("abc", points(space, 3), strict=True)])
    assert store.remove([item_id("a"), item_id("c"), "unknown"]) == 2
    assert store.remove([item_id("a")]) == 0
    assert list(store.contents("image")) == [item_id("b")]


def test_a_removed_item_leaves_its_place_to_the_next(store: Store, space: Space) -> None:
    store.add([picture(str(number), vector) for number, vector in enumerate(points(space, 100))])
    query = points(space, 1, seed=1)
    (ranked,) = store.search(query, k=100, modality="image", max_score=None)
    for place in range(3):
        store.remove([ranked[place].id])
        (hits,) = store.search(query, k=1, modality="image", max_score=None)
        assert [hit.id for hit in hits] == [ranked[place + 1].id]


def test_an_item_that_fails_later_is_found_no_more(store: Store, space: Space) -> None:
    (vector,) = points(space, 1)
    store.add([picture("a.png", vector)])
    store.add([failed("a.png")])
    assert store.search(vector[None], k=1, modality="image", max_score=None) == [[]]
    assert same(failed("a.png"), store.get(item_id("a.png")))


# -- categories ------------------------------------------------------------------------------------------


def test_an_item_by_id_is_under_the_limits_too(store: Store, space: Space) -> None:
    (vector,) = points(space, 1)
    text = replace(picture("t", vector, score=0.5), id=item_id("t", "text"), modality="text")
    store.add(
        [
            picture("a", vector, score=0.5, categories={"violence": 0.5}),
            picture("b", vector, score=None, categories={"violence": 0.2}),
            picture("c", vector, score=0.2),
            failed("d"),
            text,
        ]
    )

    def seen(image: float | None, text: float | None, categories: dict[str, float]) -> str:
        limits = {"image": image, "text": text}
        ids = {name: item_id(name, "text" if name == "t" else "image") for name in "abcdt"}
        return "".join(
            name
            for name, id in ids.items()
            if store.get(id, max_score=limits, max_categories=categories) is not None
        )

    assert seen(0.5, 0.5, {}) == "act"
    assert seen(0.49, None, {}) == "ct"
    assert seen(None, 0.4, {}) == "abc"
    assert seen(float("inf"), float("inf"), {}) == "act"
    assert seen(None, None, {"violence": 0.5}) == "ab"
    assert seen(None, None, {"violence": 0.49}) == "b"
    assert seen(0.5, 0.5, {"hate": 1.0}) == ""
    assert seen(float("nan"), float("nan"), {}) == ""


def test_categories_are_recorded_only_where_the_vector_is_the_same(store: Store, space: Space) -> None:
    one, two = points(space, 2)
    old = [picture(name, one, score=0.1, caption=name) for name in ("stays", "changes", "goes")]
    store.add(old)
    store.add([picture("changes", two)])
    store.remove([item_id("goes")])
    before = store.status().generation
    scored = [replace(item, categories={"hate": 0.25}, caption="other", score=0.9) for item in old]
    assert store.record_categories(scored) == 1
    assert same(replace(old[0], categories={"hate": 0.25}), store.get(item_id("stays")))
    assert same(picture("changes", two), store.get(item_id("changes")))
    assert store.get(item_id("goes")) is None
    assert store.status().generation > before
    (hits,) = store.search(one[None], k=9, modality="image", max_score=None, max_categories={"hate": 0.25})
    assert [hit.path for hit in hits] == ["stays"]


def test_other_concepts_forget_all_categories(store: Store, open_store: Open, space: Space) -> None:
    """And a process that still computes by the old ones is refused, with everything that it wants to add."""
    (vector,) = points(space, 1)
    store.bind_concepts("concepts-1")
    store.add([picture("a", vector, categories={"hate": 0.0})])
    other = open_store()
    assert other.status().concepts == "concepts-1"
    other.bind_concepts("concepts-1")
    assert other.contents("image")[item_id("a")].categorised
    other.bind_concepts("concepts-2")
    assert not store.contents("image")[item_id("a")].categorised
    limited = {"modality": "image", "max_score": None, "max_categories": {"hate": 1.0}}
    assert store.search(vector[None], k=1, **limited) == [[]]
    late = picture("b", vector, categories={"hate": 0.0})
    for add in (store.add, store.record_categories):
        with pytest.raises(StoreError, match=r"concepts-1.*concepts-2.*run it again"):
            add([late])
    assert store.get(late.id) is None
    other.add([late])
    assert other.search(vector[None], k=1, **limited)[0][0].path == "b"
    assert open_store().status().concepts == "concepts-2"


# -- identity --------------------------------------------------------------------------------------------


def test_another_model_is_refused_and_both_are_named(store: Store, open_store: Open) -> None:
    with pytest.raises(StoreError, match=r"model-a.*model-b.*new folder"):
        open_store(model_fingerprint="model-b")


def test_another_space_is_refused_and_both_are_named(store: Store, open_store: Open) -> None:
    with pytest.raises(StoreError, match=r"0\.3"):
        open_store(space=Lorentz(0.3))


def test_a_missing_index_is_only_made_when_asked_for(open_store: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no index here"):
        open_store(create=False)
    assert not (tmp_path / "index").exists()


def test_the_root_is_recorded_once_and_moved_only_on_purpose(
    store: Store, open_store: Open, tmp_path: Path
) -> None:
    assert store.root is None
    store.bind_root(tmp_path)
    store.bind_root(tmp_path)
    with pytest.raises(StoreError, match="moved"):
        store.bind_root(tmp_path / "other")
    assert open_store().root == tmp_path.resolve()
    store.bind_root(tmp_path / "other", moved=True)
    assert open_store().root == (tmp_path / "other").resolve()


def test_a_space_whose_curvature_is_being_learned_is_taken_by_its_value(kind: str, tmp_path: Path) -> None:
    learned = Lorentz(torch.tensor(0.7, requires_grad=True))
    store = resolve("store", kind, STORES)(tmp_path / "learned", space=learned, model_fingerprint="m")
    store.add([picture("a", points(learned, 1)[0].detach())])
    (hits,) = store.search(points(learned, 1), k=1, modality="image", max_score=None)
    store.close()
    assert hits[0].similarity == pytest.approx(0, abs=1e-6)


# -- several hands ---------------------------------------------------------------------------------------


def test_a_change_by_another_handle_is_seen_at_once(store: Store, open_store: Open, space: Space) -> None:
    def found(at: Store) -> list[str]:
        (hits,) = at.search(points(space, 1), k=9, modality="image", max_score=1.0)
        return sorted(hit.path for hit in hits)

    other = open_store()
    store.add([picture("a", points(space, 1)[0]), picture("b", points(space, 1)[0])])
    assert found(other) == found(store) == ["a", "b"]
    other.remove([item_id("a")])
    assert found(store) == ["b"]
    other.add([picture("b", points(space, 1)[0], score=2.0)])
    assert found(store) == []


def test_threads_search_while_another_writes(store: Store, space: Space) -> None:
    """A batch is seen as a whole or not at all, and nothing breaks."""
    store.add([picture(f"{n}-0", points(space, 1, seed=n)[0]) for n in range(10)])
    errors: list[BaseException] = []
    sizes: set[int] = set()
    stop = threading.Event()

    def search() -> None:
        try:
            while not stop.is_set():
                (hits,) = store.search(points(space, 1), k=10**6, modality="image", max_score=None)
                sizes.add(len(hits))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for batch in range(1, 15):
        store.add([picture(f"{n}-{batch}", points(space, 1, seed=n)[0]) for n in range(10)])
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sizes
    assert all(size % 10 == 0 for size in sizes)


def test_an_index_may_be_created_by_several_hands_at_once(kind: str, tmp_path: Path) -> None:
    hands = 4
    for attempt in range(5):
        start = threading.Barrier(hands)
        errors: list[BaseException] = []

        def create(number: int, folder: Path, start: threading.Barrier, errors: list[BaseException]) -> None:
            try:
                start.wait()
                store = resolve("store", kind, STORES)(folder, space=Lorentz(0.7), model_fingerprint="m")
                store.add([picture(str(number), points(Lorentz(0.7), 1)[0])])
                store.close()
            except BaseException as error:
                errors.append(error)

        folder = tmp_path / str(attempt)
        threads = [
            threading.Thread(target=create, args=(number, folder, start, errors)) for number in range(hands)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        store = resolve("store", kind, STORES)(folder, space=Lorentz(0.7), model_fingerprint="m")
        assert sorted(content.path for content in store.contents("image").values()) == list("0123")
        store.close()


# -- any history -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_any_history_leaves_what_a_dictionary_would_hold(
    store: Store, open_store: Open, space: Space, seed: int
) -> None:
    choose = random.Random(seed)
    expected: dict[str, Item] = {}
    removed: set[str] = set()
    for step in range(50):
        action = choose.choice(["add", "add", "update", "fail", "remove", "reopen", "search", "search"])
        if action == "add":
            new = random_items(space, choose.randint(1, 25), seed=1000 * seed + step)
            store.add(new.values())
            expected |= new
            removed -= set(new)
        elif action in ("update", "fail") and expected:
            old = expected[choose.choice(sorted(expected))]
            new_item = replace(
                picture(old.path, points(space, 1, seed=step)[0], score=choose.choice([None, 0.2])),
                id=old.id,
                modality=old.modality,
            )
            if action == "fail":
                new_item = replace(failed(old.path), id=old.id, modality=old.modality)
            store.add([new_item])
            expected[old.id] = new_item
        elif action == "remove" and expected:
            gone = choose.sample(sorted(expected), choose.randint(1, min(10, len(expected))))
            assert store.remove(gone) == len(gone)
            removed |= set(gone)
            for id in gone:
                del expected[id]
        elif action == "reopen":
            store.close()
            store = open_store()
        elif action == "search":
            query = points(space, 1, seed=step)
            limit = choose.choice([None, 0.1, 0.3])
            modality = choose.choice(["image", "text"])
            k = choose.choice([1, 5, 500])
            (hits,) = store.search(query, k=k, modality=modality, max_score=limit)
            assert not removed & {hit.id for hit in hits}
            found = [hit.id for hit in hits]
            assert found == brute_force(expected, query[0], space, k=k, modality=modality, max_score=limit)
    assert store.count == len(expected)
    assert all(same(item, store.get(id)) for id, item in expected.items())


# -- care ------------------------------------------------------------------------------------------------


def test_status_counts(store: Store, space: Space, tmp_path: Path) -> None:
    before = store.status()
    assert (before.items, before.dimension, before.root) == (0, None, None)
    text = replace(picture("t", points(space, 1)[0], score=None), id=item_id("t", "text"), modality="text")
    store.add([picture("a", points(space, 1)[0]), text, failed("c")])
    store.bind_root(tmp_path)
    status = store.status()
    assert status.items == store.count == 3
    assert status.by_state == {"ok": 1, "unscored": 1, "failed": 1}
    assert status.by_modality == {"image": 2, "text": 1}
    assert status.generation > before.generation
    assert status.bytes >= before.bytes > 0
    assert (status.model_fingerprint, status.space, status.dimension) == ("model-a", space.config(), DIM)
    assert status.root == tmp_path.resolve()


def test_verify_names_what_is_wrong(store: Store, space: Space, tmp_path: Path) -> None:
    vector = points(space, 1)[0]
    score = float(space.root_distance(vector)) if space.has_root else 0.5
    root = tmp_path / "pictures"
    root.mkdir()
    for name in ("good", "changed", "gone"):
        (root / name).write_bytes(name.encode())
    store.add([picture(name, vector, score=score) for name in ("good", "changed", "gone")])
    store.bind_root(root)
    assert store.verify() == []
    (root / "changed").write_bytes(b"other")
    (root / "gone").unlink()
    told: list[tuple[int, int]] = []
    changed, gone = store.verify(progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert changed.startswith("changed: the file has changed")
    assert gone.startswith("gone: the file cannot be read")
    assert store.verify(files=False) == []
    store.add([picture("good", vector, score=score + 1)])
    problems = store.verify(files=False)
    assert len(problems) == space.has_root
    assert all("root distance" in problem for problem in problems)


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    for ask in (store.status, store.verify, lambda: store.get("a"), lambda: store.remove(["a"])):
        with pytest.raises(StoreError, match="closed"):
            ask()
