"""Texts longer than a model's context, in overlapping windows: `encode_text` alone would cut them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from hyperaware.errors import DataError
from hyperaware.geometry.space import Space
from hyperaware.models.tokenizer import Tokenizer

__all__ = ["MOST", "fits", "most_unsafe", "windows"]

MOST = 256
"""Windows of one text. A longer one is refused whole: it must not occupy the model without end."""
OVERLAP = 4
"""Neighbouring windows share up to a quarter of their tokens."""
_ENDS = 2
"""The tokens of start and end, which every window has."""


def windows(text: str, tokenizer: Tokenizer) -> list[str]:
    """The text in overlapping pieces that fit the model's context, cut between words; itself if it fits.

    Every word stands whole in some window; one that is longer than the context is cut into several words.

    Raises:
        DataError: more than `MOST` windows.
    """
    if fits(text, tokenizer):
        return [text]
    pieces: list[str] = []
    for first, last in _spans(_words(text, tokenizer), room=tokenizer.context_length - _ENDS):
        pieces += _fitting(text[first.start : last.end], tokenizer)
        if len(pieces) > MOST:
            raise DataError(
                f"the text has more than {MOST} windows of the model's context. Give it in parts."
            )
    return pieces


def fits(text: str, tokenizer: Tokenizer) -> bool:
    """Whether the text fits the model's context, so that one point stands for all of it."""
    return _length(text, tokenizer) <= tokenizer.context_length


def most_unsafe(points: Tensor, space: Space) -> Tensor:
    """The point, (1, d), of the window that lies farthest from the root; the first one without a root."""
    if not space.has_root:
        return points[:1]
    return points[space.root_distance(points).argmax()][None]  # one that is not a number is the farthest


class _Word(NamedTuple):
    """Where a word stands in a text, and how many tokens it has."""

    start: int
    end: int
    tokens: int


def _length(text: str, tokenizer: Tokenizer) -> int:
    """Tokens, start and end included."""
    return len(tokenizer.backend.encode(text).ids)


def _words(text: str, tokenizer: Tokenizer) -> list[_Word]:
    """What the tokenizer takes for words, each with all that follows up to the next one.

    So nothing is left out, not even what the tokenizer drops. Words that share a letter (one that is written
    as two) are one.
    """
    encoding = tokenizer.backend.encode(text)
    found: list[_Word] = []
    last = None
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is None:  # start and end
            continue
        if found and (word == last or start < found[-1].end):
            before = found.pop()
            found.append(_Word(before.start, max(end, before.end), before.tokens + 1))
        else:
            found.append(_Word(start, end, 1))
        last = word
    starts = [0, *(word.start for word in found[1:]), len(text)]
    room = tokenizer.context_length - _ENDS
    return [
        part
        for word, (start, end) in zip(found, itertools.pairwise(starts), strict=True)
        for part in _cut(_Word(start, end, word.tokens), text, tokenizer, room)
    ]


def _cut(word: _Word, text: str, tokenizer: Tokenizer, room: int) -> list[_Word]:
    """The word; if it is longer than a window, in pieces that each take about a quarter of one."""
    if word.tokens <= room:
        return [word]
    step = max(1, (word.end - word.start) * room // (OVERLAP * word.tokens))
    cuts = [(at, min(at + step, word.end)) for at in range(word.start, word.end, step)]
    return [_Word(at, end, _length(text[at:end], tokenizer) - _ENDS) for at, end in cuts]


def _fitting(piece: str, tokenizer: Tokenizer) -> list[str]:
    """The piece; halved, and halved again, where it has more tokens than its words have one by one."""
    if len(piece) == 1 or fits(piece, tokenizer):
        return [piece]
    middle = len(piece) // 2
    return [*_fitting(piece[:middle], tokenizer), *_fitting(piece[middle:], tokenizer)]


def _spans(words: Sequence[_Word], *, room: int) -> Iterator[tuple[_Word, _Word]]:
    """The first and the last word of each window: as many as fit, the next one starting a quarter before."""
    first = 0
    while True:
        after, tokens = first, 0
        while after < len(words) and (after == first or tokens + words[after].tokens <= room):
            tokens += words[after].tokens
            after += 1
        yield words[first], words[after - 1]
        if after == len(words):
            return
        begin, shared = after, 0
        most = min(room // OVERLAP, room - words[after].tokens)
        while begin - 1 > first and shared + words[begin - 1].tokens <= most:
            begin -= 1
            shared += words[begin].tokens
        first = begin
