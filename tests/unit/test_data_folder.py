"""Dataset folders of any origin: what is read, and what each mistake is told."""

import json
from pathlib import Path

import pytest
import torch

from hyperaware.data.folder import fingerprint, read_folder
from hyperaware.data.quadruplet import Box, Quadruplet
from hyperaware.errors import DataError

LINE = {
    "id": "1",
    "split": "train",
    "safe_text": "a boy with a ball",
    "safe_image": "a.png",
    "unsafe_text": "a boy with a bomb",
    "unsafe_image": "b.png",
}


def dataset(folder: Path, *lines: dict[str, object] | str) -> Path:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(name.encode())
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "captions.jsonl").write_text("\n".join(written) + "\n", encoding="utf-8")
    return folder


def test_the_least_that_a_row_needs(tmp_path: Path) -> None:
    (row,) = read_folder(dataset(tmp_path, LINE))
    assert row.safe_image == tmp_path / "a.png"
    assert row.safe_image.is_absolute()
    assert row.unsafe_text_is_unsafe
    assert row.unsafe_image_is_unsafe
    assert (row.category, row.concept, row.slice) == (None, None, None)


def test_labels_category_and_unknown_keys(tmp_path: Path) -> None:
    labels = {"safe_text": "safe", "unsafe_text": "safe", "unsafe_image": "unsafe"}
    more = {"labels": labels, "category": "violence", "concept": "bomb", "slice": "dual-use", "camera": 3}
    (row,) = read_folder(dataset(tmp_path, {**LINE, **more}, ""))
    assert (row.unsafe_text_is_unsafe, row.unsafe_image_is_unsafe) == (False, True)
    assert (row.category, row.concept, row.slice) == ("violence", "bomb", "dual-use")


def test_a_relative_folder_gives_absolute_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(tmp_path, LINE)
    monkeypatch.chdir(tmp_path)
    assert read_folder(Path())[0].safe_image == tmp_path / "a.png"


def test_a_split_is_chosen_by_name(tmp_path: Path) -> None:
    dataset(tmp_path, LINE, {**LINE, "id": "2", "split": "test"})
    assert [row.id for row in read_folder(tmp_path, split="test")] == ["2"]
    assert len(read_folder(tmp_path)) == 2
    with pytest.raises(DataError, match=r"no row of split 'tset'.*test, train"):
        read_folder(tmp_path, split="tset")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: expected a JSON object, got list"),
        ({**LINE, "id": "1"}, "line 2: the id '1' was used in line 1"),
        ({**LINE, "id": "2", "unsafe_text": " "}, "line 2: 'unsafe_text' must be a text"),
        ({**LINE, "id": 2}, "line 2: 'id' must be a text"),
        ({**LINE, "id": "2", "category": 5}, "line 2: 'category' must be a text or null"),
        ({**LINE, "id": "2", "safe_image": "c.png"}, r"line 2: the image 'c\.png' is missing"),
        ({**LINE, "id": "2", "labels": []}, "line 2: 'labels' must be an object"),
        ({**LINE, "id": "2", "labels": {"text": "safe"}}, "line 2: labels has no part 'text'"),
        ({**LINE, "id": "2", "labels": {"unsafe_text": "nsfw"}}, "line 2: the label of unsafe_text must be"),
        (
            {**LINE, "id": "2", "labels": {"unsafe_text": ["safe"]}},
            "line 2: the label of unsafe_text must be",
        ),
        ({**LINE, "id": "2", "labels": {"safe_text": "unsafe"}}, "line 2: .*safe by definition"),
    ],
)
def test_mistakes_are_named_with_file_and_line(
    tmp_path: Path, line: dict[str, object] | str, message: str
) -> None:
    dataset(tmp_path, LINE, line)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(tmp_path)
    assert str(tmp_path / "captions.jsonl") in str(caught.value)


def test_a_folder_without_captions_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no dataset: it has no captions\.jsonl.*safe_text"):
        read_folder(tmp_path)


def test_an_empty_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        read_folder(dataset(tmp_path, ""))
    (tmp_path / "captions.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        read_folder(tmp_path)


def test_the_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        dataset(tmp_path / name, LINE)
    one, two = read_folder(tmp_path / "one"), read_folder(tmp_path / "two")
    assert fingerprint(one) == fingerprint(two)
    (tmp_path / "two" / "b.png").write_bytes(b"longer than before")
    assert fingerprint(one) != fingerprint(two)
    dataset(tmp_path / "two", {**LINE, "labels": {"unsafe_text": "safe"}})
    assert fingerprint(one) != fingerprint(read_folder(tmp_path / "two"))
    assert fingerprint(one + one) != fingerprint(one)


def test_quadruplets_map_their_four_parts_and_keep_their_labels() -> None:
    parts = {
        name: torch.full((3, 2), float(k))
        for k, name in enumerate(("safe_image", "safe_text", "unsafe_image", "unsafe_text"))
    }
    labels = torch.tensor([True, False, True])
    quadruplet = Quadruplet(**parts, unsafe_text_is_unsafe=labels, categories=("hate", None, "illegal"))
    doubled = quadruplet.map(lambda part: 2 * part)
    assert len(doubled) == 3
    assert [
        part[0, 0].item()
        for part in (doubled.safe_image, doubled.safe_text, doubled.unsafe_image, doubled.unsafe_text)
    ] == [0, 2, 4, 6]
    assert doubled.unsafe_text_is_unsafe is labels
    assert doubled.unsafe_image_is_unsafe is None
    assert doubled.categories == quadruplet.categories


# -- boxes -----------------------------------------------------------------------------------------------


def test_boxes_of_both_pictures(tmp_path: Path) -> None:
    boxes = {"safe": [["a ball", 0, 1, 8, 9], ["a boy", 2, 0, 4, 4]], "unsafe": []}
    (row,) = read_folder(dataset(tmp_path, {**LINE, "boxes": boxes}))
    assert row.safe_boxes == (Box("a ball", 0, 1, 8, 9), Box("a boy", left=2, top=0, right=4, bottom=4))
    assert row.unsafe_boxes == ()


@pytest.mark.parametrize("boxes", [None, {}, {"safe": []}])
def test_boxes_may_be_absent(tmp_path: Path, boxes: object) -> None:
    (row,) = read_folder(dataset(tmp_path, {**LINE, "boxes": boxes}))
    assert (row.safe_boxes, row.unsafe_boxes) == ((), ())


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "'boxes' must be an object"),
        ({"left": []}, "'boxes' must be an object"),
        ({"safe": {}}, "boxes of safe must be a list"),
        ({"unsafe": [["a ball", 0, 0, 8]]}, "boxes of unsafe must be a list"),
        ({"safe": [[" ", 0, 0, 8, 8]]}, "boxes of safe must be a list"),
        ({"safe": [["a ball", 8, 0, 8, 8]]}, "left < right"),
        ({"safe": [["a ball", 0, 9, 8, 8]]}, "top < bottom"),
        ({"safe": [["a ball", -1, 0, 8, 8]]}, "in pixels"),
        ({"safe": [["a ball", 0, 0, 0.5, 8]]}, "in pixels"),
        ({"safe": [["a ball", False, 0, 8, 8]]}, "in pixels"),
    ],
)
def test_broken_boxes_are_refused(tmp_path: Path, boxes: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"line 1: .*{message}"):
        read_folder(dataset(tmp_path, {**LINE, "boxes": boxes}))


# -- quadruplets -----------------------------------------------------------------------------------------


def test_rows_are_taken_with_their_labels_and_categories() -> None:
    parts = {
        name: torch.arange(6.0).view(3, 2) + shift for shift, name in enumerate(("safe_image", "safe_text"))
    }
    whole = Quadruplet(
        **parts,
        unsafe_image=torch.zeros(3, 2),
        unsafe_text=torch.zeros(3, 2),
        unsafe_text_is_unsafe=torch.tensor([True, False, True]),
        categories=("a", None, "c"),
    )
    taken = whole.take(torch.tensor([2, 1]))
    assert taken.safe_text.tolist() == [[5.0, 6.0], [3.0, 4.0]]
    assert taken.unsafe_text_is_unsafe is not None
    assert taken.unsafe_text_is_unsafe.tolist() == [True, False]
    assert taken.unsafe_image_is_unsafe is None
    assert taken.categories == ("c", None)
