"""Folders into an index: what is encoded, what is left alone, what fails, and that nothing stops a run."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hyperaware.errors import DataError, StoreError
from hyperaware.geometry.space import Lorentz, Space, Sphere
from hyperaware.index import ingest as module
from hyperaware.index.ingest import Report, ingest
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.index.store import Item, item_id
from hyperaware.media.images import content_hash


class Means:
    """An encoder that one can check by hand: the point of a picture is the lift of its mean colours."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.fingerprint = "means"
        self.batches: list[int] = []
        self.broken: Callable[[Image.Image], bool] = lambda image: False

    @property
    def encoded(self) -> int:
        return sum(self.batches)

    def encode_image(self, images: Sequence[Image.Image]) -> Tensor:
        if any(self.broken(image) for image in images):
            raise ValueError("a picture that this encoder cannot take")
        self.batches.append(len(images))
        means = [np.asarray(image, dtype=np.float32).mean(axis=(0, 1)) / 255 for image in images]
        return self.space.lift(torch.from_numpy(np.stack(means)))


@pytest.fixture
def model() -> Means:
    return Means(Lorentz(1.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path, model: Means) -> Iterator[SQLiteStore]:
    with SQLiteStore(tmp_path / "index", space=model.space, model_fingerprint="means") as store:
        yield store


def draw(path: Path, colour: str | tuple[int, int, int] = "teal", size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path)
    return path


def counts(report: Report) -> tuple[int, int, int, int, int]:
    return (report.added, report.updated, report.unchanged, report.removed, len(report.failed))


def item(store: SQLiteStore, path: str) -> Item:
    found = store.get(item_id(path))
    assert found is not None
    return found


# -- what is indexed -------------------------------------------------------------------------------------


def test_a_picture_becomes_an_item_with_vector_score_and_hash(
    store: SQLiteStore, model: Means, folder: Path
) -> None:
    path = draw(folder / "sub" / "a.png", (255, 0, 51))
    assert counts(ingest(store, model, folder)) == (1, 0, 0, 0, 0)
    stored = item(store, "sub/a.png")
    assert (stored.path, stored.modality, stored.state) == ("sub/a.png", "image", "ok")
    assert stored.content_hash == content_hash(path)
    assert torch.equal(stored.vector, model.space.lift(torch.tensor([[1.0, 0.0, 0.2]]))[0])
    assert stored.score == pytest.approx(1.04**0.5)  # the lift keeps the length as root distance
    assert store.root == folder.resolve()
    assert store.verify() == []


def test_a_space_without_a_root_leaves_items_unscored(tmp_path: Path, folder: Path) -> None:
    draw(folder / "a.png", "white")
    with SQLiteStore(tmp_path / "other", space=Sphere(), model_fingerprint="means") as store:
        ingest(store, Means(Sphere()), folder)
        assert (item(store, "a.png").state, item(store, "a.png").score) == ("unscored", None)
        assert ingest(store, Means(Sphere()), folder).unchanged == 1
        assert store.search(torch.ones(1, 3) / 3**0.5, k=1, modality="image", max_score=9.0) == [[]]


def test_the_walk_is_sorted_recursive_and_passes_over_what_is_no_picture(
    store: SQLiteStore, model: Means, folder: Path
) -> None:
    for name in ("b.PNG", "a.jpeg", "deep/er/c.webp", ".hidden.png", ".git/d.png", "Z.bmp"):
        draw(folder / name)
    for name in ("notes.md", "paper.pdf", "deep/two.pdf", "Makefile", "lonely.txt"):
        (folder / name).write_text("no picture")
    report = ingest(store, model, folder)
    paths = [content.path for content in store.contents("image").values()]
    assert paths == ["Z.bmp", "a.jpeg", "b.PNG", "deep/er/c.webp"]
    assert report.skipped == {".md": 1, ".pdf": 2, "(no suffix)": 1, ".txt": 1}
    assert report.counts()["skipped"] == 5
    assert "4 added" in str(report)
    assert "2 .pdf" in str(report)


def test_captions_come_from_captions_jsonl_and_from_text_files(
    store: SQLiteStore, model: Means, folder: Path
) -> None:
    for name in ("world/images/1-safe.png", "world/images/1-unsafe.png", "world/contact-sheet.png", "x.png"):
        draw(folder / name)
    (folder / "world/captions.jsonl").write_text(
        '{"id": "1", "safe_image": "images/1-safe.png", "safe_text": "a loaf", '
        '"unsafe_image": "images/1-unsafe.png", "unsafe_text": "a \\ud83d axe"}\n\n'
    )
    (folder / "x.txt").write_text("  a fox \n", encoding="utf-8")
    report = ingest(store, model, folder)
    captions = {content.path: content.caption for content in store.contents("image").values()}
    assert captions == {
        "world/images/1-safe.png": "a loaf",
        "world/images/1-unsafe.png": "a ? axe",  # half a surrogate pair: no database takes it
        "x.png": "a fox",
    }
    assert report.skipped == {}
    (folder / "x.txt").write_text("an arctic fox")
    assert counts(ingest(store, model, folder)) == (0, 1, 2, 0, 0)
    assert item(store, "x.png").caption == "an arctic fox"


@pytest.mark.parametrize("line", ["{broken", "[1]", '{"safe_image": "a.png"}'])
def test_a_bad_line_of_captions_is_named_before_any_work(
    store: SQLiteStore, model: Means, folder: Path, line: str
) -> None:
    draw(folder / "a.png")
    (folder / "captions.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=r"captions\.jsonl, line 2"):
        ingest(store, model, folder)
    assert store.count == model.encoded == 0


# -- what changed ----------------------------------------------------------------------------------------


def test_only_new_and_changed_files_are_encoded(store: SQLiteStore, model: Means, folder: Path) -> None:
    for number in range(5):
        draw(folder / f"{number}.png", (number, 0, 0))
    assert counts(ingest(store, model, folder)) == (5, 0, 0, 0, 0)
    generation = store.status().generation
    assert counts(ingest(store, model, folder)) == (0, 0, 5, 0, 0)
    assert (model.encoded, store.status().generation) == (5, generation)
    draw(folder / "3.png", "red")
    os.utime(folder / "4.png", (1, 1))  # touched, not changed
    draw(folder / "5.png")
    assert counts(ingest(store, model, folder)) == (1, 1, 4, 0, 0)
    assert model.encoded == 7
    assert torch.equal(item(store, "3.png").vector, model.space.lift(torch.tensor([[1.0, 0.0, 0.0]]))[0])


def test_missing_files_are_removed_only_by_pruning(store: SQLiteStore, model: Means, folder: Path) -> None:
    kept, gone = draw(folder / "kept.png"), draw(folder / "gone.png")
    ingest(store, model, folder)
    gone.unlink()
    assert counts(ingest(store, model, folder)) == (0, 0, 1, 0, 0)
    assert store.count == 2
    assert counts(ingest(store, model, folder, prune=True)) == (0, 0, 1, 1, 0)
    assert [content.path for content in store.contents("image").values()] == ["kept.png"]
    kept.unlink()
    with pytest.raises(StoreError, match="pruning would empty the index"):
        ingest(store, model, folder, prune=True)
    assert store.count == 1


def test_pruning_spares_texts_and_folders_that_cannot_be_read(
    store: SQLiteStore, model: Means, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(folder / "a.png")
    draw(folder / "locked" / "b.png")
    ingest(store, model, folder)
    vector = model.space.lift(torch.ones(1, 3))[0]
    store.add([Item(id="t", path="t", modality="text", vector=vector, score=3**0.5)])
    scandir = os.scandir

    def locked(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    report = ingest(store, model, folder, prune=True)
    assert counts(report) == (0, 0, 1, 0, 1)
    assert report.failed == [("locked", "the folder cannot be read: Permission denied")]
    assert store.count == 3


def test_a_moved_folder_must_be_said_to_be_one(store: SQLiteStore, model: Means, folder: Path) -> None:
    draw(folder / "a.png")
    ingest(store, model, folder)
    moved = folder.rename(folder.with_name("moved"))
    with pytest.raises(StoreError, match="moved"):
        ingest(store, model, moved)
    assert counts(ingest(store, model, moved, moved=True)) == (0, 0, 1, 0, 0)
    assert store.verify() == []


# -- what fails ------------------------------------------------------------------------------------------


def test_bad_files_are_named_and_counted_and_stop_nothing(
    store: SQLiteStore, model: Means, folder: Path
) -> None:
    draw(folder / "a.png")
    data = draw(folder / "cut.png", size=64).read_bytes()
    (folder / "cut.png").write_bytes(data[:-30])
    (folder / "empty.jpg").touch()
    (folder / "text.gif").write_text("hello")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    draw(folder / "z.png")
    report = ingest(store, model, folder, batch_size=2)
    assert counts(report) == (2, 0, 0, 0, 5)
    assert {path: reason.split(":")[0] for path, reason in report.failed} == {
        "cut.png": "truncated",
        "empty.jpg": "empty",
        "text.gif": "unsupported",
        "gone.png": "missing",
        "pipe.png": "unsupported",
    }
    stored = item(store, "empty.jpg")
    assert (stored.state, stored.vector, stored.reason) == ("failed", None, "empty: the file is empty.")
    assert counts(ingest(store, model, folder)) == (0, 0, 2, 0, 5)  # tried and named again each time


def test_a_name_that_is_no_text_fails_and_stops_nothing(
    store: SQLiteStore, model: Means, folder: Path
) -> None:
    draw(folder / "good.png")
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes((folder / "good.png").read_bytes())
    report = ingest(store, model, folder)
    assert counts(report) == (1, 0, 0, 0, 1)
    assert report.failed[0][0] == r"bad\udcff.png"


def test_a_file_that_goes_bad_loses_its_vector_and_gets_it_back(
    store: SQLiteStore, model: Means, folder: Path
) -> None:
    path = draw(folder / "a.png")
    ingest(store, model, folder)
    good = item(store, "a.png")
    data = path.read_bytes()
    path.write_bytes(data[:40])
    assert counts(ingest(store, model, folder)) == (0, 0, 0, 0, 1)
    assert store.search(good.vector[None], k=1, modality="image", max_score=None) == [[]]
    path.write_bytes(data)  # the same bytes as before: they must not pass as unchanged
    assert counts(ingest(store, model, folder)) == (0, 1, 0, 0, 0)
    assert torch.equal(item(store, "a.png").vector, good.vector)


def test_vectors_that_are_no_points_fail(
    store: SQLiteStore, model: Means, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(folder / "a.png")
    draw(folder / "b.png")
    values = torch.tensor([[float("nan"), 0, 0], [1, 0, 0]])
    monkeypatch.setattr(model, "encode_image", lambda images: values)
    report = ingest(store, model, folder)
    assert counts(report) == (1, 0, 0, 0, 1)
    assert report.failed == [("a.png", "encoder: the vector is not finite")]


@pytest.mark.parametrize("batch_size", [1, 2, 32])
@pytest.mark.parametrize("bad", ["a", "c", "e"])
def test_a_picture_that_the_encoder_cannot_take_fails_alone(
    store: SQLiteStore, model: Means, folder: Path, bad: str, batch_size: int
) -> None:
    for name in "abcde":
        draw(folder / f"{name}.png", size=16 if name == bad else 8)
    model.broken = lambda image: image.width == 16
    if batch_size == 1 and bad == "a":  # nothing has been encoded yet: the encoder itself may be at fault
        with pytest.raises(ValueError, match="cannot take"):
            ingest(store, model, folder, batch_size=batch_size)
        return
    report = ingest(store, model, folder, batch_size=batch_size)
    assert counts(report) == (4, 0, 0, 0, 1)
    assert report.failed == [(f"{bad}.png", "encoder: ValueError: a picture that this encoder cannot take")]


@pytest.mark.parametrize("batches", [0, 1], ids=["from the start", "from the second batch"])
def test_an_encoder_that_takes_nothing_more_stops_the_run_and_spoils_no_item(
    store: SQLiteStore, model: Means, folder: Path, batches: int
) -> None:
    for number in range(4):
        draw(folder / f"{number}.png", (number, 0, 0))
    ingest(store, model, folder)
    for number in range(4):
        draw(folder / f"{number}.png", (0, number, 9))
    model.batches = []
    model.broken = lambda image: len(model.batches) == batches
    with pytest.raises(ValueError, match="cannot take"):
        ingest(store, model, folder, batch_size=2)
    assert store.status().by_state == {"ok": 4}


def test_another_model_or_folder_is_refused(store: SQLiteStore, model: Means, folder: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        ingest(store, model, folder / "nowhere")
    model.fingerprint = "modes"
    with pytest.raises(StoreError, match=r"means.*modes"):
        ingest(store, model, folder)


# -- batches and progress --------------------------------------------------------------------------------


def test_progress_tells_what_is_committed(store: SQLiteStore, model: Means, folder: Path) -> None:
    for number in range(7):
        draw(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"BM")
    told: list[tuple[int, int, int]] = []

    def progress(done: int, total: int, failed: int) -> None:
        assert store.count == done
        told.append((done, total, failed))

    ingest(store, model, folder, batch_size=3, progress=progress)
    assert told == [(3, 7, 0), (6, 7, 1), (7, 7, 1)]
    assert model.batches == [3, 2, 1]


def test_big_pictures_are_encoded_before_the_batch_is_full(
    store: SQLiteStore, model: Means, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        draw(folder / f"{number}.png", size=20)
    monkeypatch.setattr(module, "BATCH_PIXELS", 800)
    ingest(store, model, folder)
    assert model.batches == [2, 2, 1]


def test_a_hint_reaches_the_decoder(
    store: SQLiteStore, model: Means, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(folder / "big.jpg", size=800)
    sizes: list[tuple[int, int]] = []
    encode = model.encode_image

    def spy(images: Sequence[Image.Image]) -> Tensor:
        sizes.extend(image.size for image in images)
        return encode(images)

    monkeypatch.setattr(model, "encode_image", spy)
    ingest(store, model, folder, hint=100)
    assert sizes == [(100, 100)]


def test_the_hash_is_of_the_bytes_that_were_decoded(
    store: SQLiteStore, model: Means, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes meanwhile gives no item with the pixels of one and the hash of the other."""
    path = draw(folder / "a.png", (255, 0, 0))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (0, 255, 0)).save(buffer, "PNG")
    hashed = module.content_hash

    def change_meanwhile(data: bytes) -> str:
        path.write_bytes(buffer.getvalue())
        return hashed(data)

    monkeypatch.setattr(module, "content_hash", change_meanwhile)
    ingest(store, model, folder)
    monkeypatch.undo()
    assert torch.equal(item(store, "a.png").vector, model.space.lift(torch.tensor([[1.0, 0.0, 0.0]]))[0])
    assert counts(ingest(store, model, folder)) == (0, 1, 0, 0, 0)
