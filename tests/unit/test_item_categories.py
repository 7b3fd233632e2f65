"""Categories of items: computed while indexing, brought up to date afterwards, and refused where wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hyperaware.errors import SafetyError
from hyperaware.geometry.space import Lorentz
from hyperaware.index import categories as module
from hyperaware.index.categories import categorise
from hyperaware.index.ingest import ingest
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.index.store import Item, item_id


class Means:
    """The point of a picture is the lift of its mean colours."""

    fingerprint, space = "means", Lorentz(1.0)

    def __init__(self) -> None:
        self.encoded = 0

    def encode_image(self, images: Sequence[Image.Image]) -> Tensor:
        self.encoded += len(images)
        means = [np.asarray(image, dtype=np.float32).mean(axis=(0, 1)) / 255 for image in images]
        return self.space.lift(torch.from_numpy(np.stack(means)))


class Redness:
    """The first coordinate, scaled into a probability; of texts there are none."""

    categories = ("red",)

    def __init__(self, fingerprint: str = "red-1") -> None:
        self.fingerprint = fingerprint
        self.scored = 0

    def __call__(self, points: Tensor, modality: str) -> list[dict[str, float]]:
        self.scored += len(points)
        if modality == "text":
            return [{} for _ in points]
        return [{"red": min(1.0, float(point[0]) / 2)} for point in points]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (8, 8), colour).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SQLiteStore(tmp_path / "index", space=Means.space, model_fingerprint="means") as store:
        yield store


def known(store: SQLiteStore) -> dict[str, Any]:
    found = {name: store.get(item_id(f"{name}.png")) for name in ("red", "blue", "broken")}
    return {name: None if item is None else item.categories for name, item in found.items()}


RED = pytest.approx({"red": 0.5876}, abs=1e-4)  # sinh(1) / 2: the lift of a vector of length 1


def test_pictures_get_their_categories_while_they_are_indexed(store: SQLiteStore, folder: Path) -> None:
    scorer = Redness()
    report = ingest(store, Means(), folder, scorer=scorer)
    assert (report.added, len(report.failed), scorer.scored) == (2, 1, 2)
    assert known(store) == {"red": RED, "blue": {"red": 0.0}, "broken": None}
    assert store.status().concepts == "red-1"
    (hits,) = store.search(
        torch.zeros(1, 3), k=9, modality="image", max_score=9.0, max_categories={"red": 0.5}
    )
    assert [hit.path for hit in hits] == ["blue.png"]


def test_an_index_without_categories_gets_them_without_encoding(store: SQLiteStore, folder: Path) -> None:
    model, scorer = Means(), Redness()
    ingest(store, model, folder)
    assert known(store) == {"red": None, "blue": None, "broken": None}
    report = ingest(store, model, folder, scorer=scorer)
    assert (report.unchanged, model.encoded, scorer.scored) == (2, 2, 2)
    assert known(store)["red"] == RED
    assert categorise(store, scorer) == 0


def test_other_concepts_are_computed_anew(store: SQLiteStore, folder: Path) -> None:
    ingest(store, Means(), folder, scorer=Redness())
    assert categorise(store, Redness("red-2")) == 2
    assert store.status().concepts == "red-2"


def test_texts_and_many_items_are_categorised_too(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 3)
    modalities = ("image", "text")
    store.add(
        Item(id=f"{n}", path=f"{n}", modality=modalities[n % 2], vector=torch.ones(3), state="unscored")
        for n in range(14)
    )
    assert categorise(store, Redness()) == 14
    found = [store.get(str(n)) for n in range(2)]
    assert [item.categories for item in found if item is not None] == [{"red": 0.5}, {}]


def test_who_indexes_without_concepts_leaves_new_pictures_without_categories(
    store: SQLiteStore, folder: Path
) -> None:
    ingest(store, Means(), folder, scorer=Redness())
    Image.new("RGB", (8, 8), "white").save(folder / "red.png")
    ingest(store, Means(), folder)
    assert known(store) == {"red": None, "blue": {"red": 0.0}, "broken": None}


@pytest.mark.parametrize("answer", [[], [{"red": 2.0}] * 2, [{"red": float("nan")}] * 2, [{"red": 1}] * 2])
def test_what_is_no_probability_is_recorded_nowhere(store: SQLiteStore, folder: Path, answer: Any) -> None:
    class Broken(Redness):
        def __call__(self, points: Tensor, modality: str) -> Any:
            return answer

    with pytest.raises(SafetyError, match="the concepts gave"):
        ingest(store, Means(), folder, scorer=Broken())
    assert store.count == 0
    ingest(store, Means(), folder)
    with pytest.raises(SafetyError, match="the concepts gave"):
        categorise(store, Broken())
    assert known(store)["red"] is None
