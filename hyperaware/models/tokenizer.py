"""From captions to token ids: CLIP's byte-pair encoding, read from a `tokenizer.json`.

The `tokenizers` library does the work; this file only pads to the longest caption of a batch (the towers are
causal and pool at the end token, so the result is that of padding to 77, several times cheaper) and trains
small vocabularies in the very same format.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as BackendTokenizer
from tokenizers import models, trainers
from torch import Tensor

from hyperaware.errors import ModelError

__all__ = ["Tokenizer", "train_tokenizer"]

FILE = "tokenizer.json"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,'!?-"


class Tokenizer:
    """Captions to ids, as CLIP's tokenizer gives them. `context_length` counts start and end token."""

    def __init__(self, backend: BackendTokenizer, *, context_length: int, eos_id: int, pad_id: int) -> None:
        self.backend = backend
        self.context_length = context_length
        self.eos_id = eos_id
        self.pad_id = pad_id
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # "<|endoftext|>" written in a caption is text and hides nothing

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a copy or an unpickled one: the backend forgets this on the way."""
        self.__dict__.update(state)
        self.backend.encode_special_tokens = True

    @classmethod
    def from_pretrained(cls, folder: Path, *, context_length: int, eos_id: int, pad_id: int) -> "Tokenizer":
        """The tokenizer of a model folder.

        Raises:
            ModelError: there is no tokenizer.json in it, or it is damaged.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise ModelError(f"{folder} has no {FILE}: it is not a complete model folder.")
        try:
            backend = BackendTokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(
                f"{path} is not a readable tokenizer ({error}). Save the model again."
            ) from error
        return cls(backend, context_length=context_length, eos_id=eos_id, pad_id=pad_id)

    def save_pretrained(self, folder: Path) -> None:
        (Path(folder) / FILE).write_text(self.backend.to_str(pretty=True), encoding="utf-8")

    @property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both (n, longest) int64; longer captions are cut and keep the end token."""
        return self.padded([self._cut(row) for row in self.rows(texts)])

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, start and end included, however many there are."""
        return [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts))]

    def padded(self, rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both (n, longest) int64."""
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        return ids, mask

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) <= self.context_length:
            return ids
        return [*ids[: self.context_length - 1], self.eos_id]


def train_tokenizer(captions: Iterable[str], *, vocab_size: int, context_length: int) -> Tokenizer:
    """A CLIP tokenizer (padding 0, end 1, start 2, unknown 3) with a vocabulary learned from `captions`.

    The end token must not have id 2: transformers' CLIP then falls back to an old way of pooling. Unknown
    characters have a token of their own: CLIP's default, the end token, would cut the caption short.

    The same captions give the same tokenizer. The library's trainer numbers the last characters of words in
    the order of a randomised hash map and breaks ties by these numbers, so they are given to it in a fixed
    order.
    """
    from transformers import CLIPTokenizer

    special = {"pad_token": "<|pad|>", "eos_token": "<|endoftext|>"}
    special |= {"bos_token": "<|startoftext|>", "unk_token": "<|unknown|>"}
    backend = CLIPTokenizer(**special).backend_tokenizer
    learner = BackendTokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=special["unk_token"]))
    learner.normalizer = backend.normalizer
    learner.pre_tokenizer = backend.pre_tokenizer
    captions = list(captions)
    alphabet = sorted({*CHARACTERS, *_characters(backend, captions)})
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[*special.values(), *(character + "</w>" for character in alphabet)],
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    merges: Any = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    clip = CLIPTokenizer(vocab=learner.get_vocab(), merges=merges, **special)
    return Tokenizer(clip.backend_tokenizer, context_length=context_length, eos_id=1, pad_id=0)


def _characters(backend: BackendTokenizer, captions: Iterable[str]) -> set[str]:
    """The symbols that `captions` are spelled in, before any merge."""
    words = {word for caption in captions for word in backend.normalizer.normalize_str(caption).split(" ")}
    pieces = (backend.pre_tokenizer.pre_tokenize_str(word) for word in words)
    return {character for parts in pieces for piece, _ in parts for character in piece}
