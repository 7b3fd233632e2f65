"""Boxes: which one is chosen, what is cut out, and what is refused."""

import dataclasses
from pathlib import Path

import pytest
import torch
from model_samples import random_rows, tiny_model
from PIL import Image

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError
from hyperaware.evaluation.boxes import Boxes

MODEL = tiny_model()
PARTS = (Box("a red ball", 0, 0, 8, 8), Box("an axe", 8, 4, 16, 12))


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return [
        dataclasses.replace(row, safe_boxes=PARTS, unsafe_boxes=PARTS) for row in random_rows(tmp_path, 12)
    ]


def test_a_batch_holds_the_chosen_phrases_and_cut_outs(rows: list[Row]) -> None:
    boxes = Boxes(rows, model=MODEL)
    batch = boxes.batch(torch.tensor([5, 2]))
    for place, (row, part) in enumerate([(5, "safe"), (2, "safe"), (5, "unsafe"), (2, "unsafe")]):
        phrase, *edges = boxes.chosen[2 * row + (part == "unsafe")]
        ids, _ = MODEL.tokenizer([phrase])
        assert (
            batch.ids[place][batch.mask[place].bool()].tolist()
            == ids[0][ids[0] != MODEL.tokenizer.pad_id].tolist()
        )
        cut = Image.open(getattr(rows[row], f"{part}_image")).crop(edges)
        torch.testing.assert_close(batch.pixels[place], MODEL.preprocess([cut])[0], rtol=0, atol=0)
    points = batch.quadruplet(batch.ids, batch.pixels)
    assert len(points.safe_text) == len(points.unsafe_image) == 2


def test_the_choice_is_the_same_in_every_run_and_not_always_the_first(rows: list[Row]) -> None:
    boxes = Boxes(rows, model=MODEL)
    torch.manual_seed(7)
    assert Boxes(rows, model=MODEL).chosen == boxes.chosen
    assert Boxes(rows[::-1], model=MODEL).chosen[-2:] == boxes.chosen[:2]  # by the row's id, not its place
    assert set(boxes.chosen) == set(PARTS)


def test_the_fingerprint_names_what_was_chosen(rows: list[Row]) -> None:
    renamed = [dataclasses.replace(rows[0], safe_boxes=(Box("a ball", 0, 0, 8, 8),)), *rows[1:]]
    assert Boxes(rows, model=MODEL).fingerprint == Boxes(rows, model=MODEL).fingerprint
    assert Boxes(rows, model=MODEL).fingerprint != Boxes(renamed, model=MODEL).fingerprint


def test_a_picture_without_a_box_is_refused(rows: list[Row]) -> None:
    rows[3] = dataclasses.replace(rows[3], unsafe_boxes=())
    with pytest.raises(DataError, match="the unsafe picture of row 'train-3' has no box"):
        Boxes(rows, model=MODEL)


def test_a_box_outside_of_its_picture_is_refused(rows: list[Row]) -> None:
    rows[3] = dataclasses.replace(rows[3], safe_boxes=(Box("a ball", 0, 0, 17, 8),))
    with pytest.raises(DataError, match=r"3-safe\.png has 16 x 16 pixels.*reaches outside"):
        Boxes(rows, model=MODEL)
