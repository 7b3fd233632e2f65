"""Searching under a policy, with a model and a store that one can hold in the head."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from moderation_samples import sample_bounds
from PIL import Image
from search_samples import QUERIES, SPACE, PlainModel, PlainStore, names, searcher

from hyperaware.errors import ConfigError, DataError, SafetyError, StoreError
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.index.store import Hit
from hyperaware.moderation.policy import Clause, Policy, Rule

# What each role gets --------------------------------------------------------------------------------


def test_a_safe_query_is_searched_as_it_is_among_safe_items() -> None:
    store = PlainStore()
    answer = searcher(store).search("a tree")
    assert names(answer) == ["tree.png", "cat.png"]
    assert (answer.role, answer.verdict.action) == ("viewer", "allow")
    assert answer.root_distance_before == answer.root_distance_after == pytest.approx(0.4)
    assert torch.equal(store.asked[0]["queries"], QUERIES["a tree"])
    assert store.asked[0]["max_score"] == 0.75


def test_an_unsafe_query_is_redirected_and_sees_safe_items_only() -> None:
    """From 0.8 half the way (strength 0.5) to the landing among images, 0.3."""
    store = PlainStore()
    answer = searcher(store).search("a deadly axe")
    assert names(answer) == ["tree.png", "cat.png"]
    assert answer.verdict.action == "redirect"
    assert answer.root_distance_before == pytest.approx(0.8)
    assert answer.root_distance_after == pytest.approx(0.55)
    assert float(SPACE.root_distance(store.asked[0]["queries"])) == pytest.approx(0.55)


def test_a_researcher_sees_everything_and_what_has_no_score_too() -> None:
    store = PlainStore()
    answer = searcher(store).search("a deadly axe", role="researcher")
    assert names(answer) == ["axe.png", "new.png", "tree.png", "cat.png"]
    assert answer.verdict.action == "allow"
    assert answer.root_distance_after == answer.root_distance_before
    assert store.asked[0]["max_score"] is None


def test_a_blocked_query_is_not_searched_and_gets_the_reason() -> None:
    store = PlainStore()
    answer = searcher(store).search("a deadly axe", role="child")
    assert answer.hits == ()
    assert answer.verdict.reason == (
        "root distance 0.8000 is above the bound 0.5000 for text queries; role 'child' is blocked"
    )
    assert [step.name for step in answer.steps] == ["encode", "judge"]
    assert store.asked == []


def test_a_store_that_gives_what_the_role_may_not_see_gets_no_answer() -> None:
    class Careless(PlainStore):
        def search(self, queries: torch.Tensor, *, max_score: float | None, **others: Any) -> list[list[Hit]]:
            return super().search(queries, max_score=None, **others)

    with pytest.raises(SafetyError, match="the store gave an item that role 'viewer' may not see"):
        searcher(Careless()).search("a tree")
    assert len(searcher(Careless()).search("a tree", role="researcher").hits) == 4


def test_a_blocked_role_may_ask_for_something_safe() -> None:
    assert names(searcher().search("a tree", role="child")) == ["tree.png", "cat.png"]


def test_k_is_the_number_of_hits() -> None:
    assert names(searcher().search("a tree", k=1)) == ["tree.png"]


# Modalities -----------------------------------------------------------------------------------------


def test_an_image_query_is_judged_by_the_bound_for_images() -> None:
    """0.6 is above the text trigger and within that of images."""
    answer = searcher().search(image="tree.png")
    assert (answer.modality, answer.query, answer.verdict.action) == ("image", "tree.png", "allow")
    assert searcher().search(image=Path("axe.png")).verdict.action == "redirect"


def test_texts_are_searched_under_their_own_limit_and_landing() -> None:
    store = PlainStore()
    answer = searcher(store).search(image="axe.png", target="text")
    assert names(answer) == ["a tree"]
    assert (store.asked[0]["modality"], store.asked[0]["max_score"]) == ("text", 0.55)
    assert answer.root_distance_after == pytest.approx((0.9 + 0.2) / 2)
    assert answer.target == "text"


def test_a_text_is_never_read_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a tree").write_bytes(b"not looked at")
    assert searcher().search("a tree").modality == "text"


def test_a_picture_without_a_file_is_called_a_picture() -> None:
    assert searcher().search(image=Image.new("RGB", (2, 2))).query == "a picture"


# Steps ----------------------------------------------------------------------------------------------


def test_every_step_tells_what_happened_and_with_which_numbers() -> None:
    steps = searcher().search("a deadly axe", k=5).steps
    assert [step.name for step in steps] == ["encode", "judge", "redirect", "search"]
    assert [step.sentence for step in steps] == [
        "the text was encoded by the model 'plain' at root distance 0.8000",
        "root distance 0.8000 is above the bound 0.5000 for text queries; role 'viewer' is redirected",
        "moved with strength 0.5 to root distance 0.5500, towards the landing 0.3000 of queries for images",
        "2 found among images of root distance at most 0.7500",
    ]
    assert [dict(step.numbers) for step in steps] == [
        pytest.approx({"root_distance": 0.8}),
        pytest.approx({"score": 0.8, "bound": 0.5}),
        pytest.approx({"strength": 0.5, "landing": 0.3, "root_distance": 0.55}),
        pytest.approx({"k": 5, "found": 2, "limit": 0.75}),
    ]


def test_a_query_that_stays_says_so() -> None:
    assert searcher().search("a tree").steps[2].sentence == "the query stays where it is"
    wide = sample_bounds(landing={"text": 0.6, "image": 0.6})
    steps = searcher(bounds=wide).search("a bit unsafe").steps
    assert steps[2].sentence == (
        "the query stays where it is, already within the landing 0.6000 of queries for images"
    )
    assert searcher().search("a tree", role="researcher").steps[3].sentence == "4 found among all images"


# Long texts -----------------------------------------------------------------------------------------


LONG = "a tree " * 12 + "and a deadly axe"
"""More than the twelve tokens of the context: what is unsafe stands beyond its end."""


def test_a_long_query_is_judged_to_its_end_and_searched_with_by_its_most_unsafe_window() -> None:
    store = PlainStore()
    answer = searcher(store).search(LONG)
    assert (answer.query, answer.verdict.action) == (LONG, "redirect")
    assert answer.root_distance_before == pytest.approx(0.8)
    assert answer.root_distance_after == pytest.approx(0.55)
    assert store.asked[0]["queries"].shape == (1, 2)
    assert answer.steps[0].numbers["windows"] > 2
    assert "windows of its context, the most unsafe of which is at root distance 0.8000" in (
        answer.steps[0].sentence
    )
    assert searcher().search(LONG, role="child").verdict.action == "block"
    assert searcher().search("a tree " * 20, role="child").verdict.action == "allow"


def test_a_category_counts_by_the_window_that_has_most_of_it() -> None:
    class Scorer:
        fingerprint, categories = "concepts-a", ("violence", "hate")

        def __call__(self, points: torch.Tensor, modality: str) -> list[dict[str, float]]:
            distances = SPACE.root_distance(points).tolist()
            return [{"violence": 0.9 if each > 0.7 else 0.1, "hate": 0.2} for each in distances]

    rules = (Clause(action="block", category="violence", above=0.5),)
    policy = Policy(
        version="1", default_role="a", roles={"a": Rule(action="allow", show="all", queries=rules)}
    )
    store: Any = PlainStore()
    store.status = lambda: SimpleNamespace(concepts="concepts-a")
    made = searcher(store, policy=policy, scorer=Scorer())
    assert made.search("a tree " * 20).verdict.action == "allow"
    blocked = made.search(LONG).verdict
    assert (blocked.action, blocked.category) == ("block", "violence")


def test_a_text_of_too_many_windows_is_refused_before_it_is_searched() -> None:
    store = PlainStore()
    with pytest.raises(DataError, match="more than 256 windows"):
        searcher(store).search("tree " * 4000)
    assert store.asked == []


def test_without_a_root_the_first_window_is_searched_with() -> None:
    answer = searcher(space=Sphere()).search(LONG, role="researcher")
    assert "the first of which counts" in answer.steps[0].sentence


# Strength -------------------------------------------------------------------------------------------


def test_more_safety_than_the_rule_may_be_asked_for() -> None:
    assert searcher().search("a deadly axe", strength=1.0).root_distance_after == pytest.approx(0.3)
    answer = searcher().search("a deadly axe", role="researcher", strength=1.0)
    assert answer.root_distance_after == pytest.approx(0.3)
    assert answer.verdict.action == "redirect"


@pytest.mark.parametrize("query", ["a tree", "a deadly axe"])
def test_less_safety_than_the_rule_may_not(query: str) -> None:
    store = PlainStore()
    with pytest.raises(ConfigError, match=r"strength 0\.4 is weaker than the rule's 0\.5"):
        searcher(store).search(query, strength=0.4)
    assert store.asked == []


# Refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({}, "either a text or an image"),
        ({"text": "a tree", "image": "tree.png"}, "either a text or an image"),
        ({"text": "a tree", "item": "x"}, "only one of them"),
        ({"text": "a tree", "offset": -1}, "offset -1"),
        ({"text": " "}, "expected at least one word"),
        ({"text": ["a tree"]}, "expected at least one word"),
        ({"text": "a tree", "k": 0}, "k is 0"),
        ({"text": "a tree", "target": "imag"}, "Did you mean 'image'"),
        ({"text": "a tree", "role": "viewr"}, r"no role is called 'viewr'.*Known: child, researcher, viewer"),
        ({"text": "a tree", "role": ""}, "no role is called ''"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(question: dict[str, Any], message: str) -> None:
    store = PlainStore()
    with pytest.raises(ConfigError, match=message):
        searcher(store).search(**question)
    assert store.asked == []


@pytest.mark.parametrize("role", ["viewer", "child", "researcher"])
def test_a_query_without_a_score_reaches_no_store(role: str) -> None:
    store = PlainStore()
    with pytest.raises(SafetyError, match="root distance nan cannot be judged"):
        searcher(store).search("nowhere", role=role)
    assert store.asked == []


def test_a_model_with_a_root_needs_bounds() -> None:
    with pytest.raises(SafetyError, match="'plain' has no bounds"):
        searcher(bounds=None)


def test_bounds_of_another_model_are_refused() -> None:
    with pytest.raises(SafetyError, match="belong to the model model-b, but 'plain' is model-a"):
        searcher(bounds=sample_bounds(model_fingerprint="model-b"))


def test_an_index_of_another_model_is_refused() -> None:
    with pytest.raises(StoreError, match="made with the model model-b, but 'plain' is model-a"):
        searcher(store=PlainStore(model_fingerprint="model-b"))


def test_a_learned_curvature_leaves_no_gradient_in_the_answer() -> None:
    store = PlainStore()
    curv = torch.tensor(1.0, requires_grad=True)
    searcher(store, model=PlainModel(Lorentz(curv))).search("a deadly axe")
    assert not store.asked[0]["queries"].requires_grad


# A model without a root -----------------------------------------------------------------------------


def test_without_a_root_only_a_role_that_may_see_everything_is_answered() -> None:
    answer = searcher(space=Sphere()).search("a deadly axe", role="researcher")
    assert names(answer) == ["new.png", "axe.png", "tree.png", "cat.png"]
    assert (answer.root_distance_before, answer.root_distance_after) == (None, None)
    assert answer.verdict.score is None
    assert dict(answer.steps[0].numbers) == dict(answer.steps[1].numbers) == {}


@pytest.mark.parametrize(
    "question", [{}, {"role": "viewer"}, {"role": "child"}, {"role": "researcher", "strength": 1.0}]
)
def test_without_a_root_everyone_else_is_refused(question: dict[str, Any]) -> None:
    store = PlainStore(Sphere())
    with pytest.raises(SafetyError, match="'plain' has no root distances"):
        searcher(store, space=Sphere()).search("a tree", **question)
    assert store.asked == []
