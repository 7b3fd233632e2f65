"""No role is given what it may not see, by any route: each answer is that of a server without the hidden
items.

The questions of a role go to two servers: one holds everything, the other only what an oracle (`strategies`)
says the role may see. Every answer must be the same, but for the ids of decisions: statuses, numbers, words
of errors, pictures.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_samples import random_picture, tiny_model
from PIL import Image
from served_app import data_url, served
from starlette.testclient import TestClient
from strategies import (
    BOUNDS,
    CATEGORIES,
    DISTANCES,
    FOLDERS,
    ROLES,
    SPACE,
    Facts,
    collections,
    may_see,
    policies,
    repeatable,
)
from torch import Tensor

from hyperaware.catalogue import FILE_NAME
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.index.store import Item, item_id
from hyperaware.models.windows import fits
from hyperaware.moderation.categories import CategoryScore
from hyperaware.moderation.policy import Policy
from hyperaware.server.captions import Captions
from hyperaware.server.engine import Engine
from hyperaware.server.projection import Disk
from hyperaware.server.settings import DEMO_POLICY
from hyperaware.server.visible import Visible

thorough = settings(repeatable, max_examples=12, suppress_health_check=list(HealthCheck))
DECISION = re.compile(r'"(id|decision_id)":"(search|modr|explain|traverse|item)-[0-9a-f]+(-\d+)?"')
MOST = 12
"""Items of a collection."""


class HashedPoints:
    """A model whose points follow from the hash of what they are of."""

    name, fingerprint, space, dim = "points", BOUNDS.model_fingerprint, SPACE, 3
    provenance: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        tiny = tiny_model()
        self.folder, self.tokenizer, self.preprocess = folder, tiny.tokenizer, tiny.preprocess

    def encode_text(self, texts: str | Sequence[str], **_: Any) -> Tensor:
        return self._points([text.encode() for text in ([texts] if isinstance(texts, str) else texts)])

    def encode_fitting(self, texts: Sequence[str]) -> tuple[Tensor, list[bool]]:
        fit = [fits(text, self.tokenizer) for text in texts]
        return self.encode_text([text for text, short in zip(texts, fit, strict=True) if short]), fit

    def encode_image(self, images: Image.Image | Sequence[Image.Image], **_: Any) -> Tensor:
        images = [images] if isinstance(images, Image.Image) else images
        return self._points([image.tobytes() for image in images])

    def _points(self, contents: list[bytes]) -> Tensor:
        digests = [hashlib.sha256(content).digest() for content in contents]
        directions = torch.tensor([[byte - 127.5 for byte in digest[:3]] for digest in digests])
        distances = [DISTANCES[1:][digest[3] % 6] for digest in digests]
        return SPACE.move_to(directions.reshape(-1, 3), torch.tensor(distances))


class HashedCategories:
    """Probabilities that follow from the point, for an index, a moderator and an explanation alike."""

    fingerprint, categories = "concepts-a", frozenset(CATEGORIES)

    def __call__(self, points: Tensor, modality: str) -> list[dict[str, float]]:
        return [
            {name: each.probability for name, each in found.items()}
            for found in self.scores(points, modality)
        ]

    def scores(self, points: Tensor, modality: str) -> list[dict[str, CategoryScore]]:
        shares = (points.double().abs().sum(-1) * 7) % 1
        return [dict.fromkeys(CATEGORIES, CategoryScore(float(share), float(share))) for share in shares]

    @property
    def scorer(self) -> "HashedCategories":
        return self

    def nearest(self, point: Tensor, count: int) -> list[tuple[str, str, float]]:
        return []


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[TestClient]]:
    """Two servers over indexes that every example fills anew."""
    folder = tmp_path_factory.mktemp("model")
    BOUNDS.save(folder)
    model = HashedPoints(folder)
    pictures = tmp_path_factory.mktemp("pictures")
    for seed, (inside, number) in enumerate((inside, number) for inside in FOLDERS for number in range(MOST)):
        (pictures / inside).mkdir(parents=True, exist_ok=True)
        random_picture(seed).save(pictures / inside / f"{number}.png")
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            index = tmp_path_factory.mktemp("index")
            with SQLiteStore(index, space=SPACE, model_fingerprint=model.fingerprint) as store:
                store.bind_root(pictures)
            space = '{"name": "lorentz", "curv": 1.0}'
            reference = f'{{"model": "{folder}", "fingerprint": "{model.fingerprint}", "space": {space}}}'
            (index / FILE_NAME).write_text(reference)
            made.append(stack.enter_context(served(model, index=index, state=index / "state")))
        yield made


def hold(client: TestClient, items: Sequence[Item], policy: Policy) -> None:
    """Let the server have these items and no others, and this policy."""
    engine: Engine = client.app.state.engine  # type: ignore[attr-defined]
    parts, scorer = engine.parts, HashedCategories()
    searcher = engine.searcher
    engine.policy = searcher.policy = parts.moderator.policy = policy
    searcher.scorer = parts.moderator.scorer = scorer  # type: ignore[assignment]
    store = searcher.store
    store.remove([*store.contents("image"), *store.contents("text")])
    store.add(items)
    visible = Visible(searcher)
    assert parts.index is not None
    captions, disk = Captions(searcher, visible), Disk(searcher, visible)
    index = dataclasses.replace(parts.index, captions=captions, disk=disk)
    engine._parts = dataclasses.replace(parts, index=index)


def questions(ids: Sequence[str]) -> st.SearchStrategy[tuple[str, str, dict[str, Any]]]:
    """Requests to every route that tells of items: (method, path, parameters or body)."""
    id = st.sampled_from([*ids, "0" * 32])
    start = st.one_of(
        st.sampled_from(["a rabbit", "a gun", "blood"]).map(lambda text: {"text": text}),
        st.integers(0, 3).map(lambda seed: {"image": {"url": png(seed)}}),
        id.map(lambda id: {"item": id}),
    )
    how = st.fixed_dictionaries(
        {"k": st.sampled_from([1, 3, 50]), "target": st.sampled_from(["image", "text"])},
        optional={
            "offset": st.sampled_from([0, 1, 5]),
            "strength": st.sampled_from([0.0, 0.5, 1.0]),
            "folder": st.sampled_from(["a", "a/b/", "../a"]),
            "ids": st.lists(id, max_size=5),
        },
    )
    flags = st.fixed_dictionaries({}, optional={"reveal": st.just(True), "blur": st.just(True)})
    only_reveal = st.fixed_dictionaries({}, optional={"reveal": st.just(True)})
    return st.one_of(
        st.tuples(start, how).map(lambda parts: ("POST", "/v1/search", {**parts[0], **parts[1]})),
        start.map(lambda start: ("POST", "/v1/traverse", start)),
        st.tuples(id, only_reveal).map(lambda parts: ("GET", f"/v1/items/{parts[0]}", parts[1])),
        st.tuples(id, flags).map(lambda parts: ("GET", f"/v1/items/{parts[0]}/thumbnail", parts[1])),
        st.sampled_from([1, 5, 5000]).map(lambda limit: ("GET", "/v1/map", {"limit": limit})),
        st.just(("POST", "/v1/explain", {"text": "a gun and blood"})),
        st.just(("POST", "/v1/moderations", {"input": ["a rabbit", "a gun"]})),
        st.just(("POST", "/v1/embeddings", {"input": "a rabbit"})),
    )


def png(seed: int) -> str:
    from io import BytesIO

    file = BytesIO()
    random_picture(seed).save(file, "PNG")
    return data_url(file.getvalue())


def told(client: TestClient, method: str, path: str, words: dict[str, Any], role: str) -> tuple[int, bytes]:
    """Status and body of an answer, without the ids of decisions."""
    named = {} if path == "/v1/embeddings" else {"role": role}
    if method == "GET":
        answer = client.get(path, params={**words, **named})
    else:
        answer = client.request(method, path, json={**words, **named})
    if answer.headers["content-type"] != "application/json":
        return answer.status_code, answer.content
    return answer.status_code, DECISION.sub('"id":"*"', answer.text).encode()


@thorough
@given(st.data())
def test_what_a_role_may_not_see_changes_no_answer_of_any_route(
    clients: list[TestClient], data: st.DataObject
) -> None:
    collection, policy = data.draw(collections), data.draw(policies)
    role = data.draw(st.sampled_from(ROLES), label="role")
    rule = policy.roles[role]
    visible = [item for item in collection if item.vector is not None and may_see(rule, Facts.of(item))]
    hidden = [item for item in collection if item not in visible]
    for client, items in zip(clients, (collection, visible), strict=True):
        hold(client, items, policy)
    ids = [item.id for item in collection]
    asked = data.draw(st.lists(questions(ids), min_size=6, max_size=12), label="questions")
    asked += [("GET", f"/v1/items/{item.id}", {}) for item in hidden[:2]]
    for question in asked:
        whole, part = (told(client, *question, role) for client in clients)
        assert whole == part, question
        assert whole[0] in (200, 400, 404), whole
        for item in hidden:
            assert item.id.encode() not in whole[1]
            assert item.caption is None or f'"{item.caption}"'.encode() not in whole[1]


def test_the_questions_are_answered_at_all(clients: list[TestClient]) -> None:
    """So that the property is not about errors only."""
    vector = SPACE.move_to(torch.tensor([1.0, 0.0, 0.0]), 0.2)
    safe = Item(id="1" * 32, path="1.png", modality="image", vector=vector, score=0.2, caption="a rabbit")
    unsafe = Item(id="2" * 32, path="2.png", modality="image", vector=vector, score=0.9, caption="a gun")
    hold(clients[0], [safe, unsafe], Policy.default())
    for method, path, words in (
        ("POST", "/v1/search", {"item": safe.id}),
        ("POST", "/v1/traverse", {"item": safe.id}),
        ("GET", f"/v1/items/{safe.id}", {}),
        ("GET", f"/v1/items/{safe.id}/thumbnail", {}),
        ("GET", "/v1/map", {}),
        ("POST", "/v1/explain", {"text": "a gun"}),
    ):
        status, body = told(clients[0], method, path, words, "viewer")
        assert status == 200, body
        assert unsafe.id.encode() not in body
        hidden = (
            path.replace(safe.id, unsafe.id),
            {k: unsafe.id if v == safe.id else v for k, v in words.items()},
        )
        if hidden != (path, words):
            assert told(clients[0], method, *hidden, "viewer")[0] == 404
            assert told(clients[0], method, *hidden, "researcher")[0] == 200


def test_a_caption_is_told_on_the_way_only_if_it_is_fit_for_the_role_itself(
    clients: list[TestClient],
) -> None:
    """A harmless picture may have a caption that is not, and a blurred picture hides its caption."""
    engine: Engine = clients[0].app.state.engine  # type: ignore[attr-defined]
    words = [f"caption {number}" for number in range(50)]
    distances = SPACE.root_distance(engine.parts.model.encode_text(words)).tolist()
    limit = BOUNDS.limit["text"]
    near = [word for word, distance in zip(words, distances, strict=True) if distance < limit]
    far = [word for word, distance in zip(words, distances, strict=True) if distance > limit]
    fit, other, unfit = *near[:2], far[0]
    vector = SPACE.move_to(torch.tensor([1.0, 0.0, 0.0]), 0.2)

    def picture(number: int, caption: str, score: float) -> Item:
        name = f"{number}.png"
        return Item(
            id=item_id(name), path=name, modality="image", vector=vector, score=score, caption=caption
        )

    items = [picture(1, fit, 0.2), picture(2, unfit, 0.2), picture(3, other, 0.9)]
    hold(clients[0], items, Policy.read(DEMO_POLICY))
    told = {role: set(engine.index.captions.of(role).captions) for role in ("viewer", "adult", "researcher")}
    assert told == {"viewer": {fit}, "adult": {fit}, "researcher": {fit, unfit, other}}
