"""Searching under rules for categories and items: what is moved, held back, blurred and cut into pages."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from search_samples import PlainStore, names, searcher
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError, StoreError
from hyperaware.index.store import Hit
from hyperaware.moderation.policy import Clause, Policy, Rule
from hyperaware.search import Filters


class FixedCategories:
    """The same probabilities for every point; remembers the modalities that it was asked about."""

    fingerprint, categories = "concepts-a", ("hate", "violence")

    def __init__(self, **probabilities: float) -> None:
        self.probabilities = probabilities
        self.asked: list[str] = []

    def __call__(self, points: Tensor, modality: str) -> list[dict[str, float]]:
        self.asked.append(modality)
        return [dict(self.probabilities) for _ in points]


class CategorisedStore(PlainStore):
    """`PlainStore` whose items all have these categories, and whose limits are those of the real ones."""

    def __init__(self, concepts: str | None = "concepts-a", **probabilities: float) -> None:
        super().__init__()
        self.concepts = concepts
        self.probabilities = probabilities

    def status(self) -> Any:
        return SimpleNamespace(concepts=self.concepts)

    def search(self, queries: Tensor, **asked: Any) -> list[list[Hit]]:
        (hits,) = super().search(queries, **asked)
        return [[hit._replace(categories=self.probabilities) for hit in hits]]


def with_rules(**rules: Any) -> Policy:
    return Policy("rules-1", "viewer", {"viewer": Rule(**{"action": "allow", "show": "safe", **rules})})


VIOLENT = Clause(category="violence", above=0.5, action="redirect", strength=1.0)


def test_a_query_of_a_category_is_moved_even_within_the_trigger() -> None:
    scorer = FixedCategories(violence=0.9, hate=0.0)
    policy = with_rules(queries=(VIOLENT,))
    answer = searcher(CategorisedStore(violence=0.0), policy=policy, scorer=scorer).search("a tree")
    assert (answer.verdict.action, answer.verdict.category) == ("redirect", "violence")
    assert answer.root_distance_before == pytest.approx(0.4)
    assert answer.root_distance_after == pytest.approx(0.3)
    assert scorer.asked == ["text"]


@pytest.mark.parametrize("action", ["review", "block"])
def test_what_is_held_back_is_not_searched(action: Any) -> None:
    store = CategorisedStore()
    policy = with_rules(queries=(Clause(category="hate", above=0.5, action=action),))
    answer = searcher(store, policy=policy, scorer=FixedCategories()).search("a tree")
    assert (answer.verdict.action, answer.hits, answer.more) == (action, (), False)
    assert store.asked == []


def test_limits_of_categories_reach_the_store_and_the_last_step() -> None:
    items = (
        Clause(category="violence", above=0.5, action="block"),
        Clause(category="hate", above=0.25, action="blur"),
        Clause(category="hate", above=0.125, action="block", shadow=True),
    )
    store = CategorisedStore(violence=0.5, hate=0.5)
    answer = searcher(store, policy=with_rules(items=items), scorer=FixedCategories()).search("a tree")
    assert store.asked[0]["max_categories"] == {"violence": 0.5, "hate": 1.0}
    assert [(hit.blurred, hit.shadow) for hit in answer.hits] == [(True, "block")] * 2
    assert answer.steps[-1].sentence == (
        "2 found among images of root distance at most 0.7500 and hate at most 1 and violence at most 0.5"
    )
    assert answer.steps[-1].numbers["limit/violence"] == 0.5


def test_a_query_that_is_blurred_blurs_every_answer() -> None:
    answer = searcher(policy=with_rules(action="blur")).search("a deadly axe")
    assert answer.verdict.action == "blur"
    assert [hit.blurred for hit in answer.hits] == [True, True]
    assert not any(hit.blurred for hit in searcher(policy=with_rules(action="blur")).search("a tree").hits)


def test_items_above_the_limit_may_be_shown_blurred() -> None:
    policy = with_rules(show="all", items=(Clause(action="blur"),))
    answer = searcher(policy=policy).search("a tree")
    assert {hit.path: hit.blurred for hit in answer.hits} == {
        "axe.png": True,
        "tree.png": False,
        "cat.png": False,
    }
    assert answer.steps[-1].sentence == "3 found among images of any root distance"
    assert "limit" not in answer.steps[-1].numbers


def test_pages_say_whether_there_is_more() -> None:
    pages = [searcher().search("a tree", k=1, offset=offset) for offset in range(4)]
    assert [names(page) for page in pages] == [["tree.png"], ["cat.png"], [], []]
    assert [page.more for page in pages] == [True, False, False, False]
    assert pages[1].steps[-1].numbers["found"] == 1


def test_filters_reach_the_store() -> None:
    store = PlainStore()
    searcher(store).search("a tree", filters=Filters(ids=["x"], folder="a/b"))
    assert (store.asked[0]["ids"], store.asked[0]["folder"]) == (["x"], "a/b")


def test_a_store_that_breaks_its_promise_gives_no_answer() -> None:
    class OpenStore(PlainStore):
        def search(self, queries: Tensor, **asked: Any) -> list[list[Hit]]:
            return super().search(queries, **{**asked, "max_score": None})

    with pytest.raises(SafetyError, match="role 'viewer' may not see") as caught:
        searcher(OpenStore()).search("a deadly axe")
    assert "axe.png" not in str(caught.value)


@pytest.mark.parametrize("answers", [[], [{}, {}], [{"hate": 1.5}], [{"hate": math.nan}], [None]])
def test_a_scorer_that_gives_no_probabilities_gives_no_answer(answers: Any) -> None:
    class Broken(FixedCategories):
        def __call__(self, points: Tensor, modality: str) -> Any:
            return answers

    store = CategorisedStore()
    with pytest.raises(SafetyError, match="the concepts gave"):
        searcher(store, policy=with_rules(queries=(VIOLENT,)), scorer=Broken()).search("a tree")
    assert store.asked == []


def test_a_policy_with_categories_needs_concepts_that_know_them_and_made_the_index() -> None:
    policy = with_rules(items=(Clause(category="violence", above=0.5, action="block"),))
    with pytest.raises(SafetyError, match="'rules-1' has rules for violence, and there are no concepts"):
        searcher(CategorisedStore(), policy=policy)
    other = with_rules(queries=(Clause(category="violense", above=0.5, action="block"),))
    with pytest.raises(ConfigError, match="Did you mean 'violence'"):
        searcher(CategorisedStore(), policy=other, scorer=FixedCategories())
    with pytest.raises(StoreError, match="by the concepts concepts-b, but these are concepts-a"):
        searcher(CategorisedStore("concepts-b"), policy=policy, scorer=FixedCategories())
    searcher(CategorisedStore(None), policy=policy, scorer=FixedCategories())
