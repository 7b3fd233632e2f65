"""No role is given what it may not see: not by any query, filter, page, strength, look-up or error.

The strongest form of it: whatever is asked, the answer is the same, to the last number and the last word of
an error, as from a store that does not hold what the role may not see.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_samples import tiny_model
from strategies import (
    BOUNDS,
    CATEGORIES,
    ROLES,
    SPACE,
    Facts,
    collections,
    is_blurred,
    may_see,
    points,
    policies,
    probabilities,
    repeatable,
)
from torch import Tensor

from hyperaware.errors import ConfigError, HyperawareError
from hyperaware.index import STORES
from hyperaware.index.store import Hit, Item, Store, item_id
from hyperaware.moderation.policy import Policy
from hyperaware.options import resolve
from hyperaware.search import Answer, Filters, Found, Searcher

MODEL = "model-a"
thorough = settings(repeatable, max_examples=40)


class PointModel:
    """A model that is given the point that it is to answer."""

    name, fingerprint, space = "points", MODEL, SPACE
    tokenizer = tiny_model().tokenizer

    def __init__(self, point: Tensor) -> None:
        self.point = point

    def encode_text(self, texts: list[str]) -> Tensor:
        return self.point[None]

    encode_image = encode_text


class GivenCategories:
    """The same probabilities for every query."""

    fingerprint, categories = "concepts-a", CATEGORIES

    def __init__(self, given: dict[str, float]) -> None:
        self.given = given

    def __call__(self, points: Tensor, modality: str) -> list[dict[str, float]]:
        return [dict(self.given) for _ in points]


@pytest.fixture(scope="module", params=STORES)
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """Two stores, filled anew by every example."""
    made = [
        resolve("store", request.param, STORES)(
            tmp_path_factory.mktemp("index"), space=SPACE, model_fingerprint=MODEL
        )
        for _ in range(2)
    ]
    yield made
    for store in made:
        store.close()


def fill(store: Store, items: Sequence[Item]) -> Store:
    """The store with these items and no others."""
    store.remove([*store.contents("image"), *store.contents("text")])
    store.add(items)
    return store


def answer_of(ask: Callable[..., Any], *words: Any, **named: Any) -> Any:
    """What comes back, or which error with which words."""
    try:
        return ask(*words, **named)
    except HyperawareError as error:
        return type(error), str(error)


def questions(ids: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Every way to ask, the wrong ones too. Ids are those of the collection, hidden ones included."""
    some = st.sampled_from([*ids, "unknown"])
    query = st.one_of(
        st.just({"text": "a query"}), st.just({"image": "a.png"}), some.map(lambda id: {"item": id})
    )
    filters = st.builds(
        Filters,
        ids=st.none() | st.lists(some, max_size=6),
        folder=st.sampled_from([None, None, "", "a", "a/b/", "ab", "../a", "nowhere"]),
    )
    how = st.fixed_dictionaries(
        {
            "k": st.sampled_from([1, 2, 5, 100, 0]),
            "offset": st.sampled_from([0, 0, 1, 3, 100, -1]),
            "strength": st.sampled_from([None, None, 0.0, 0.5, 1.0, 2.0]),
            "target": st.sampled_from(["image", "text", "sound"]),
            "filters": filters,
        }
    )
    return st.tuples(query, how).map(lambda parts: {**parts[0], **parts[1]})


@thorough
@given(st.data())
def test_what_a_role_may_not_see_changes_no_answer(stores: list[Store], data: st.DataObject) -> None:
    collection, policy = data.draw(collections), data.draw(policies)
    model, scorer = PointModel(data.draw(points)), GivenCategories(data.draw(probabilities))
    role = data.draw(st.sampled_from([*ROLES, None]), label="role")
    asked = data.draw(
        st.lists(questions([item.id for item in collection]), min_size=4, max_size=8), label="questions"
    )
    rule = policy.role(role)
    visible = {
        item.id: item for item in collection if item.vector is not None and may_see(rule, Facts.of(item))
    }
    whole, part = (
        Searcher(model, fill(store, items), BOUNDS, policy, scorer=scorer)
        for store, items in zip(stores, (collection, list(visible.values())), strict=True)
    )
    for item in collection:
        found = whole.item(item.id, role=role)
        assert (found is not None) == (item.id in visible)
        if found is not None:
            check(found, item, policy, role, blurred=False)
    for question in asked:
        answer = answer_of(whole.search, **question, role=role)
        assert answer == answer_of(part.search, **question, role=role)
        if isinstance(answer, Answer):
            check_answer(answer, visible, policy, question)


def test_an_unknown_role_is_answered_nothing(stores: list[Store]) -> None:
    searcher = Searcher(PointModel(torch.ones(3)), stores[0], BOUNDS, Policy.default())
    for ask in (searcher.search, searcher.item):
        with pytest.raises(ConfigError, match="no role is called 'nobody'"):
            ask("a query", role="nobody")


def check_answer(answer: Answer, visible: dict[str, Item], policy: Policy, question: dict[str, Any]) -> None:
    if answer.verdict.action in ("review", "block"):
        assert (answer.hits, answer.more) == ((), False)
        return
    for hit in answer.hits:
        assert hit.id in visible, "an item that the role may not see"
        assert hit.modality == answer.target
        check(hit, visible[hit.id], policy, answer.role, blurred=answer.verdict.blurred)
    pool = [each for each in visible.values() if each.modality == answer.target and passes(each, question)]
    assert len(answer.hits) == min(question["k"], max(0, len(pool) - question["offset"]))
    assert answer.more == (question["offset"] + question["k"] < len(pool))


def passes(item: Item, question: dict[str, Any]) -> bool:
    ids, folder = question["filters"]
    return (ids is None or item.id in ids) and item.path.startswith(
        "" if not folder or folder == "/" else folder.strip("/") + "/"
    )


def check(found: Found, item: Item, policy: Policy, role: str | None, *, blurred: bool) -> None:
    facts = (found.id, found.path, found.caption, found.score, found.modality, found.categories)
    assert facts == (item.id, item.path, item.caption, item.score, item.modality, item.categories)
    assert found.blurred == (blurred or is_blurred(policy.role(role), Facts.of(item)))


@thorough
@given(collections, policies, st.sampled_from(ROLES), st.sampled_from(["image", "text"]), points)
def test_a_store_under_a_filter_is_a_store_without_the_rest(
    stores: list[Store], collection: tuple[Item, ...], policy: Policy, role: str, modality: str, query: Tensor
) -> None:
    """The store itself, without a Searcher around it; page by page it gives each allowed item once."""
    shown, rule = policy.shows(role, bounds=BOUNDS), policy.role(role)
    allowed = [item for item in collection if item.vector is not None and may_see(rule, Facts.of(item))]
    limits = {"max_score": shown.max_score[modality], "max_categories": shown.max_categories}

    def search(store: Store, k: int, offset: int = 0, **limits: Any) -> list[Hit]:
        (hits,) = store.search(query[None], k=k, offset=offset, modality=modality, **limits)
        return hits

    store, smaller = (fill(*pair) for pair in zip(stores, (collection, allowed), strict=True))
    hits = search(store, 100, **limits)
    assert hits == search(smaller, 100, max_score=None)
    pages = [search(store, 2, offset, **limits) for offset in range(0, len(hits) + 2, 2)]
    assert [hit for page in pages for hit in page] == hits
    for item in collection:
        got = store.get(item.id, max_score=shown.max_score, max_categories=shown.max_categories)
        assert (got is not None) == (item in allowed)


def test_a_hidden_item_as_a_query_is_an_unknown_item(stores: list[Store]) -> None:
    """The premise of the property, by hand: the same words for a hidden, a failed and an unknown id."""
    vector = SPACE.move_to(torch.tensor([1.0, 0.0, 0.0]), 0.4)

    def item(path: str, **facts: Any) -> Item:
        return Item(id=item_id(path), path=path, modality="image", **facts)

    collection = [
        item("shown.png", vector=vector, score=0.4),
        item("hidden.png", vector=vector, score=0.9),
        item("failed.png", state="failed", reason="truncated: cut"),
    ]
    searcher = Searcher(PointModel(vector), fill(stores[0], collection), BOUNDS, Policy.default())
    assert [hit.path for hit in searcher.search(item=item_id("shown.png")).hits] == ["shown.png"]
    for name in ("hidden.png", "failed.png", "nothing.png"):
        id = item_id(name)
        assert searcher.item(id) is None
        with pytest.raises(ConfigError) as caught:
            searcher.search(item=id)
        assert str(caught.value) == f"no item is called {id!r}. Search by an item of an answer."
    everything = searcher.search(item=item_id("hidden.png"), role="researcher")
    assert {hit.path for hit in everything.hits} == {"shown.png", "hidden.png"}
