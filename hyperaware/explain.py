"""Why an item got its score: margin, captions on the way to the root, nearest concepts, and its parts.

An explanation costs many forward passes and is computed on request only. It tells what the model reacts to,
which is not always what a person would name.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.geometry.space import Lorentz
from hyperaware.media.images import decode
from hyperaware.models.dual_encoder import Picture
from hyperaware.moderate import Failure, Moderation, Moderator
from hyperaware.traverse import Stop, captions_to_root

__all__ = [
    "CELLS",
    "MOST_WORDS",
    "Concept",
    "Explanation",
    "Pool",
    "Word",
    "explain_image",
    "explain_text",
    "occlusion",
    "overlay",
    "word_contributions",
]

CELLS = 8
"""Cells of an occlusion map, along each side."""
MOST_WORDS = 200
"""Each word costs one pass; a longer text is refused rather than explained in part."""
NEAREST = 5
_WORD = re.compile(r"\S+")


class Pool(NamedTuple):
    """Texts that may be told on the way to the root, and their points.

    No policy stands between: what a reader must not see does not belong into the pool.
    """

    captions: Sequence[str]
    points: Tensor


class Concept(NamedTuple):
    """A prompt of a category, and how much the item goes along its direction."""

    category: str
    prompt: str
    cosine: float


class Word(NamedTuple):
    """A word of a text, and how much farther out the text lies for having it."""

    text: str
    start: int
    end: int
    contribution: float
    """Root distance of the text minus that of the text without the word; positive: more unsafe with it."""


@dataclass(frozen=True)
class Explanation:
    """Everything that is said about one item."""

    moderation: Moderation
    stops: tuple[Stop, ...]
    """From the special to the general; empty without a pool, or without cones to stand in."""
    nearest: tuple[Concept, ...]
    """Empty without concepts."""
    words: tuple[Word, ...] = ()
    """Of a text, in its order."""
    occlusion: np.ndarray | None = None
    """Of a picture: (rows, columns), see `occlusion`."""


def explain_text(
    moderator: Moderator, text: str, *, pool: Pool | None = None, role: str | None = None
) -> Explanation:
    """Why a text got its score.

    Raises:
        ConfigError: a text without words or with more than `MOST_WORDS`.
        SafetyError: the text cannot be judged: there is no score to explain.
    """
    words = tuple(word_contributions(moderator, text))
    moderation = _judged(moderator.moderate([text], role=role)[0])
    pieces = moderator.pieces(text)
    assert not isinstance(pieces, Failure)  # it was judged
    points = moderator.model.encode_text(pieces)
    point = points[int(moderator.space.root_distance(points).argmax())]
    return _explained(moderator, moderation, point, pool, words=words)


def explain_image(
    moderator: Moderator,
    image: Picture,
    *,
    pool: Pool | None = None,
    role: str | None = None,
    cells: int = CELLS,
) -> Explanation:
    """Why a picture got its score.

    Raises:
        MediaError: the picture cannot be decoded.
        SafetyError: it cannot be judged: there is no score to explain.
    """
    picture = decode(image)
    moderation = _judged(moderator.moderate(images=[picture], role=role)[0])
    point = moderator.model.encode_image(picture)[0]
    heat = occlusion(moderator, picture, cells=cells)
    return _explained(moderator, moderation, point, pool, occlusion=heat)


def _judged(moderation: Moderation) -> Moderation:
    if moderation.failure is not None:
        raise SafetyError(f"there is no score to explain: {moderation.failure.message}")
    if moderation.score is None:
        raise SafetyError("there is no score to explain: the model has no root distances.")
    return moderation


def _explained(
    moderator: Moderator, moderation: Moderation, point: Tensor, pool: Pool | None, **parts: Any
) -> Explanation:
    stops: tuple[Stop, ...] = ()
    if pool is not None and isinstance(moderator.space, Lorentz):
        stops = captions_to_root(point, texts=pool.points, captions=pool.captions, space=moderator.space)
    scorer = moderator.scorer
    nearest = () if scorer is None else scorer.scorer.nearest(point, NEAREST)
    return Explanation(moderation, stops, tuple(Concept(*each) for each in nearest), **parts)


def word_contributions(moderator: Moderator, text: str) -> list[Word]:
    """Each word of a text with what the root distance loses when the word is left out.

    A text of one word is compared with nothing: its contribution is its whole root distance.

    Raises:
        ConfigError: a text without words or with more than `MOST_WORDS`.
    """
    found = list(_WORD.finditer(text))
    if not 0 < len(found) <= MOST_WORDS:
        raise ConfigError(f"the text has {len(found)} words, expected 1 to {MOST_WORDS} to explain.")
    whole = _distance(moderator, text)
    words = []
    for word in found:
        rest = (text[: word.start()] + text[word.end() :]).strip()
        without = _distance(moderator, rest) if rest else 0.0
        words.append(Word(word[0], word.start(), word.end(), whole - without))
    return words


def _distance(moderator: Moderator, text: str) -> float:
    """The root distance of a text: of its most unsafe window."""
    pieces = moderator.pieces(text)
    if isinstance(pieces, Failure):
        raise ConfigError(f"the text cannot be explained: {pieces.message}")
    return _finite(moderator.space.root_distance(moderator.model.encode_text(pieces))).max()


def _finite(distances: Tensor) -> np.ndarray:
    values = distances.double().numpy()
    if not np.isfinite(values).all():
        raise SafetyError("a root distance is not finite, so it explains nothing. Check the model.")
    return values


def occlusion(moderator: Moderator, image: Picture, *, cells: int = CELLS) -> np.ndarray:
    """How much nearer to the root a picture comes when a part of it is covered, (cells, cells) float64.

    Positive: what stands there makes the picture more unsafe. A cell has the mean over all covers that lie on
    it: squares of a quarter of the side in the mean colour of the picture, centred on each cell in turn
    (Zeiler and Fergus 2014). The map is of the square in the middle that the model sees, rows from the top.

    Raises:
        ConfigError: fewer than 2 cells, or more than the crop has pixels.
        MediaError: the picture cannot be decoded.
        SafetyError: a root distance that is not finite.
    """
    model = moderator.model
    crop = model.preprocess.crop(decode(image))
    size = len(crop)
    if not 2 <= cells <= size:
        raise ConfigError(f"cells is {cells}, expected 2 to {size}: the model sees {size} x {size} pixels.")
    colour = crop.reshape(-1, 3).mean(0).round().astype(np.uint8)
    edges = [round(index * size / cells) for index in range(cells + 1)]
    centres = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    half = size / 8
    spans = [slice(_within(centre - half, size), _within(centre + half, size)) for centre in centres]
    covers = list(itertools.product(spans, spans))
    pictures = [Image.fromarray(crop)]
    for cover in covers:
        covered = crop.copy()
        covered[cover] = colour
        pictures.append(Image.fromarray(covered))
    distances = _finite(moderator.space.root_distance(model.encode_image(pictures)))
    heat, times = np.zeros((size, size)), np.zeros((size, size))
    for cover, distance in zip(covers, distances[1:], strict=True):
        heat[cover] += distances[0] - distance
        times[cover] += 1
    heat /= np.maximum(times, 1)
    rows = np.add.reduceat(heat, edges[:-1], axis=0)
    areas = np.outer(np.diff(edges), np.diff(edges))
    return np.add.reduceat(rows, edges[:-1], axis=1) / areas


def _within(edge: float, size: int) -> int:
    return min(max(round(edge), 0), size)


def overlay(moderator: Moderator, image: Picture, heat: np.ndarray, *, side: int = 384) -> Image.Image:
    """The part of a picture that the model sees, with an occlusion map over it: the redder, the more unsafe.

    The reddest cell is the hottest of this picture, whatever its value; cells that make it safer stay clear.
    """
    size = moderator.model.preprocess.size
    seen = Image.fromarray(moderator.model.preprocess.crop(decode(image)))
    hottest = float(heat.max())
    strength = np.clip(heat, 0, None) / hottest if hottest > 0 else np.zeros_like(heat)
    if not math.isfinite(hottest):
        raise SafetyError("an occlusion map has a value that is not finite.")
    mask = Image.fromarray((200 * strength).round().astype(np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    grown = seen.resize((side, side), Image.Resampling.NEAREST if size < 96 else Image.Resampling.BICUBIC)
    return Image.composite(Image.new("RGB", (side, side), (230, 20, 20)), grown, mask)
