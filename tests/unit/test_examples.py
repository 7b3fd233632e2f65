"""Rows as batches: what a step sees, and what happens to pictures that cannot be read."""

from pathlib import Path

import pytest
import torch
from model_samples import random_rows, tiny_model
from PIL import Image

from hyperaware.data.quadruplet import Row
from hyperaware.errors import DataError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples

MODEL = tiny_model(lorentz=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return random_rows(tmp_path_factory.mktemp("rows"), 11)


@pytest.fixture(scope="module")
def examples(rows: list[Row]) -> Examples:
    return Examples(rows, model=MODEL)


def test_a_batch_is_what_encoding_its_rows_gives(rows: list[Row], examples: Examples) -> None:
    batch = examples.batch(torch.tensor([3, 1]))
    with torch.no_grad():
        texts, images = MODEL(batch.ids, batch.mask, batch.pixels)
    points = batch.quadruplet(texts, images)
    for index, row in enumerate((rows[3], rows[1])):
        for name, point in (
            ("safe_text", MODEL.encode_text(row.safe_text)),
            ("unsafe_text", MODEL.encode_text(row.unsafe_text)),
            ("safe_image", MODEL.encode_image(row.safe_image)),
            ("unsafe_image", MODEL.encode_image(row.unsafe_image)),
        ):
            torch.testing.assert_close(getattr(points, name)[index : index + 1], point, rtol=0, atol=1e-6)


def test_texts_are_cut_to_the_longest_of_the_batch(tmp_path: Path, rows: list[Row]) -> None:
    long = Row(**{**vars(rows[0]), "unsafe_text": "a man with a gun in the street at night"})
    examples = Examples([long, *rows[1:3]], model=MODEL)
    assert examples.batch(torch.tensor([1])).ids.shape[1] < examples.batch(torch.tensor([0])).ids.shape[1]
    for indices in ([0], [1], [2, 1]):
        batch = examples.batch(torch.tensor(indices))
        assert int(batch.mask.sum(dim=1).max()) == batch.ids.shape[1] == batch.mask.shape[1]
        assert bool(((batch.ids == MODEL.tokenizer.eos_id).sum(dim=1) == 1).all())


def test_labels_follow_their_rows(rows: list[Row]) -> None:
    mixed = [Row(**{**vars(row), "unsafe_image_is_unsafe": index % 2 == 0}) for index, row in enumerate(rows)]
    batch = Examples(mixed, model=MODEL).batch(torch.tensor([1, 4]))
    assert batch.unsafe_image_is_unsafe.tolist() == [False, True]
    assert batch.unsafe_text_is_unsafe.tolist() == [True, True]


# -- the order of a run ----------------------------------------------------------------------------------


def test_a_batch_is_a_function_of_seed_and_step(examples: Examples) -> None:
    def at(step: int, seed: int = 0) -> list[int]:
        return examples.indices_at_step(step, batch_size=4, seed=seed).tolist()

    forwards = [at(step) for step in range(6)]
    torch.manual_seed(99)  # the global state plays no part
    assert [at(step) for step in reversed(range(6))] == forwards[::-1]
    for seed in (1, 2, 2**32):
        assert [at(step, seed=seed) for step in range(6)] != forwards
    assert forwards[:2] != forwards[2:4]  # each epoch has an order of its own


@pytest.mark.parametrize("batch_size", [2, 4, 11])
def test_an_epoch_shows_no_row_twice(batch_size: int, examples: Examples) -> None:
    steps = 11 // batch_size
    for epoch in range(3):
        seen = [
            row
            for step in range(epoch * steps, (epoch + 1) * steps)
            for row in examples.indices_at_step(step, batch_size=batch_size, seed=0).tolist()
        ]
        assert len(seen) == len(set(seen)) == steps * batch_size


def test_rows_left_over_in_one_epoch_come_in_another(examples: Examples) -> None:
    seen = {row for step in range(8) for row in examples.indices_at_step(step, batch_size=4, seed=0).tolist()}
    assert seen == set(range(11))


def test_a_batch_larger_than_the_data_is_all_of_them(examples: Examples) -> None:
    assert sorted(examples.indices_at_step(5, batch_size=64, seed=0).tolist()) == list(range(11))


# -- bad pictures ----------------------------------------------------------------------------------------


def test_rows_with_bad_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    rows = random_rows(tmp_path, 5)
    rows[1].safe_image.write_bytes(b"no picture")
    rows[3].unsafe_image.unlink()
    told: list[tuple[int, int]] = []
    examples = Examples(rows, model=MODEL, progress=lambda done, total: told.append((done, total)))
    assert [row.id for row in examples.rows] == ["train-0", "train-2", "train-4"]
    assert [path for path, _ in examples.failed] == [str(rows[1].safe_image), str(rows[3].unsafe_image)]
    assert all(message and path not in message for path, message in examples.failed)  # said once
    assert told == [(done, 10) for done in range(1, 11)]
    # What is left stands together: texts and pictures of the same rows.
    kept = examples.batch(torch.tensor([1]))
    torch.testing.assert_close(kept.pixels[:1], MODEL.preprocess([Image.open(rows[2].safe_image)]))
    assert kept.ids[0].tolist() == MODEL.tokenizer([rows[2].safe_text])[0][0].tolist()


def test_no_usable_row_is_an_error(tmp_path: Path) -> None:
    rows = random_rows(tmp_path, 2)
    for row in rows:
        row.safe_image.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of 2 rows can be used.*0-safe\.png"):
        Examples(rows, model=MODEL)


# -- whole datasets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4, 128])
def test_embed_keeps_the_rows_in_order_whatever_the_batch(
    batch_size: int, rows: list[Row], examples: Examples
) -> None:
    points = embed(MODEL, examples, batch_size=batch_size)
    assert not points.safe_text.requires_grad
    for name in ("safe_text", "unsafe_text"):
        expected = MODEL.encode_text([getattr(row, name) for row in rows])
        torch.testing.assert_close(getattr(points, name), expected, rtol=0, atol=1e-6)
    expected = MODEL.encode_image([row.unsafe_image for row in rows])
    torch.testing.assert_close(points.unsafe_image, expected, rtol=0, atol=1e-6)
    assert points.unsafe_text_is_unsafe is not None
    assert len(points.unsafe_text_is_unsafe) == 11


def test_embed_can_stop_before_the_lift(examples: Examples) -> None:
    features, points = embed(MODEL, examples, lift=False), embed(MODEL, examples)
    assert MODEL.log_alpha_text is not None
    lifted = MODEL.space.lift(MODEL.log_alpha_text.exp() * features.safe_text)
    torch.testing.assert_close(lifted.detach(), points.safe_text)


def test_embed_restores_the_mode(examples: Examples) -> None:
    model = tiny_model().train()
    embed(model, examples)
    assert model.training
    embed(model.eval(), examples)
    assert not model.training
