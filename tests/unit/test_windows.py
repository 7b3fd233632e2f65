"""Windows: nothing of a long text is left out, words stay whole, and every window fits."""

import itertools
import random

import pytest
from model_samples import TINY, tiny_model

from hyperaware.errors import DataError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load_tokenizer, shipped_folder
from hyperaware.models.windows import MOST, windows


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return tiny_model()


def test_a_short_text_is_its_own_window(model: DualEncoder) -> None:
    assert windows("a red ball", model.tokenizer) == ["a red ball"]
    assert windows(" a red ball\n", model.tokenizer) == [" a red ball\n"]


def test_a_text_of_exactly_the_context_is_not_cut(model: DualEncoder) -> None:
    text = "ball " * (TINY.context_length - 2)
    assert len(model.tokenizer.backend.encode(text).ids) == TINY.context_length
    assert windows(text, model.tokenizer) == [text]
    assert len(windows(text + "ball", model.tokenizer)) == 2


def test_windows_overlap_by_whole_words(model: DualEncoder) -> None:
    text = " ".join(f"ball kite axe gun {word}" for word in ("red", "snow", "beach", "night", "street"))
    pieces = windows(text, model.tokenizer)
    assert len(pieces) > 2
    spans = []
    for piece in pieces:
        start = text.index(piece, spans[-1][0] + 1 if spans else 0)
        spans.append((start, start + len(piece)))
        assert set(piece.split()) <= set(text.split()), "a word was cut"
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert start < end, "neighbours share a word"


def test_windows_hold_every_letter_of_any_text() -> None:
    """Letters of several bytes or signs, signs that a normaliser drops or joins, no spaces at all."""
    tokenizer = load_tokenizer(shipped_folder("world"))
    rng = random.Random(0)
    signs = "ab z.,!0é\u0130ß猫🙂\n\t\u200b\u0301"
    most = 0
    for length in (1, 30, 60, 120, 240) * 20:
        alphabet = "".join(rng.sample(signs, rng.randint(1, len(signs)))) + "x"
        text = "".join(rng.choice(alphabet) for _ in range(length))
        pieces = windows(text, tokenizer)
        most = max(most, len(pieces))
        assert all(len(tokenizer.backend.encode(piece).ids) <= tokenizer.context_length for piece in pieces)
        end = 0
        for piece in pieces:  # each begins where the one before has not ended yet, or just has
            start = max(at for at in range(end + 1) if text.startswith(piece, at))
            end = start + len(piece)
        assert end == len(text)
    assert most > 5


def test_a_word_longer_than_the_context_is_cut_into_several(model: DualEncoder) -> None:
    context = model.tokenizer.context_length
    for letter in "x猫":
        pieces = windows(letter * 100, model.tokenizer)
        lengths = [len(model.tokenizer.backend.encode(piece).ids) for piece in pieces]
        assert max(lengths) <= context
        assert min(lengths[:-1]) > context // 2, "the windows are filled"


def test_a_text_without_end_is_refused(model: DualEncoder) -> None:
    with pytest.raises(DataError, match=f"more than {MOST} windows"):
        windows("a red ball on the beach " * 3 * MOST, model.tokenizer)
