"""Captions to ids: CLIP's tokens, no matter how the batch is padded or what the caption holds."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from model_samples import CAPTIONS, tiny_model
from transformers import CLIPTokenizer, PreTrainedTokenizerFast

from hyperaware.errors import ModelError
from hyperaware.models.tokenizer import Tokenizer, train_tokenizer

PAD, END, START, UNKNOWN = 0, 1, 2, 3
TEXTS = (
    *CAPTIONS,
    "",
    "   ",
    "A RABBIT,  in the\tsnow!",
    "it's 2 o'clock - don't",
    "rabbitsnow kite-gun.",
    "Æther in the café",
    "兔子 in the snow",
    "a rabbit 🐇 in the snow",
    "the man\u0301ana",
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CAPTIONS, vocab_size=160, context_length=12)


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", [PreTrainedTokenizerFast, CLIPTokenizer], ids=["fast", "clip"])
@pytest.mark.parametrize("text", TEXTS)
def test_the_ids_are_those_of_transformers(text: str, kind: type, tokenizer: Tokenizer, folder: Path) -> None:
    if kind is PreTrainedTokenizerFast:
        theirs = kind(tokenizer_file=str(folder / "tokenizer.json"))
    else:
        theirs = kind.from_pretrained(
            folder, pad_token="<|pad|>", unk_token="<|unknown|>", bos_token="<|startoftext|>"
        )
    expected = theirs(text, truncation=True, max_length=12)["input_ids"]
    assert tokenizer([text])[0][0].tolist() == expected


def test_a_batch_is_padded_to_its_longest_caption(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer(["a man", "a man with a gun"])
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.shape == mask.shape == (2, 7)
    assert ids[0, 4:].tolist() == [PAD] * 3
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0, 0], [1] * 7]
    assert ids[0, :4].tolist() == tokenizer(["a man"])[0][0].tolist()
    assert ids[:, 0].tolist() == [START, START]
    assert ids[0, 3] == ids[1, 6] == END


def test_padding_further_changes_no_feature(tokenizer: Tokenizer) -> None:
    """The towers are causal and pool at the end token: padding to the context length is only slower."""
    model = tiny_model()
    ids, mask = model.tokenizer(CAPTIONS)
    wide = 12 - ids.shape[1]
    assert wide > 0
    further = torch.nn.functional.pad(ids, (0, wide), value=PAD)
    with torch.no_grad():
        short = model.features_of_tokens(ids, mask)
        full = model.features_of_tokens(further, torch.nn.functional.pad(mask, (0, wide)))
        unmasked = model.features_of_tokens(further)
    torch.testing.assert_close(full, short, rtol=0, atol=1e-6)
    torch.testing.assert_close(unmasked, short, rtol=0, atol=1e-6)


def test_a_caption_that_is_too_long_keeps_its_end_token(tokenizer: Tokenizer) -> None:
    text = "a man with a gun " * 5
    whole = tokenizer.backend.encode(text).ids
    ids, mask = tokenizer([text])
    assert len(whole) > 12
    assert ids.tolist() == [[*whole[:11], END]]
    assert bool(mask.all())


def test_a_caption_of_just_the_context_length_is_whole(tokenizer: Tokenizer) -> None:
    text = " ".join(["man"] * 10)
    assert tokenizer([text])[0].tolist() == [tokenizer.backend.encode(text).ids]
    assert tokenizer([text])[0].shape == (1, 12)


@pytest.mark.parametrize("stranger", ["兔", "🐇", "§", "\u0000", "é"])
def test_an_unknown_character_does_not_end_the_caption(stranger: str, tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer([f"a {stranger} with a gun"])[0].tolist()
    assert UNKNOWN in ids
    assert ids.index(END) == len(ids) - 1
    assert ids[-3:-1] == tokenizer(["a gun"])[0][0].tolist()[1:3]  # what follows is still read


@pytest.mark.parametrize("special", ["<|endoftext|>", "<|startoftext|>", "<|pad|>", "<|unknown|>"])
def test_a_special_token_that_is_written_out_hides_nothing(special: str, tokenizer: Tokenizer) -> None:
    """CLIP's own tokenizer ends the caption there, and everything behind it goes unseen."""
    (ids,) = tokenizer([f"man {special} gun"])[0].tolist()
    assert ids[0] == START
    assert ids.index(END) == len(ids) - 1
    assert PAD not in ids


def test_the_empty_caption_is_start_and_end(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer([""])
    assert ids.tolist() == [[START, END]]
    assert mask.tolist() == [[1, 1]]


def test_every_known_character_is_known_alone_and_within_a_word(tokenizer: Tokenizer) -> None:
    for character in "abcxyz0189.,'!?-":
        for text in (character, f"{character}{character}"):
            assert UNKNOWN not in tokenizer([text])[0][0].tolist()


def test_frequent_words_are_one_token() -> None:
    learned = train_tokenizer(["a rabbit"] * 10, vocab_size=200, context_length=12)
    assert len(learned.backend.encode("rabbit").ids) == 3
    assert len(learned.backend.encode("badger").ids) > 3


def test_the_same_captions_give_the_same_tokenizer() -> None:
    """The library's trainer alone does not: its numbers follow a randomised hash map."""
    captions = [*CAPTIONS, "ünï cödé", "兔子"]
    several = {
        train_tokenizer(captions, vocab_size=180, context_length=12).backend.to_str() for _ in range(5)
    }
    assert len(several) == 1


def test_the_vocabulary_is_as_large_as_allowed_at_most(tokenizer: Tokenizer) -> None:
    assert 100 < tokenizer.vocab_size <= 160
    assert max(tokenizer.backend.get_vocab().values()) == tokenizer.vocab_size - 1


def test_a_saved_tokenizer_comes_back(tokenizer: Tokenizer, folder: Path) -> None:
    again = Tokenizer.from_pretrained(folder, context_length=12, eos_id=END, pad_id=PAD)
    for ours, theirs in zip(again(TEXTS), tokenizer(TEXTS), strict=True):
        assert torch.equal(ours, theirs)
    assert again.backend.to_str() == tokenizer.backend.to_str()


@pytest.mark.parametrize("content", [None, "", "{}", "no json"], ids=["absent", "empty", "hollow", "text"])
def test_a_folder_without_a_tokenizer_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match="tokenizer") as caught:
        Tokenizer.from_pretrained(tmp_path, context_length=12, eos_id=END, pad_id=PAD)
    assert str(tmp_path) in str(caught.value)


def test_a_copy_takes_markers_in_a_caption_for_text_too() -> None:
    """A model is copied when its adapters are merged; the library's own copy would end the text there."""
    tokenizer = train_tokenizer(["a rabbit"], vocab_size=160, context_length=12)
    texts = ["a <|endoftext|> rabbit"]
    for copied in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert torch.equal(copied(texts)[0], tokenizer(texts)[0])
        assert (copied(texts)[0] == tokenizer.eos_id).sum() == 1
