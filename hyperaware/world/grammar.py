"""Captions: a small grammar with varied order and wording, all in lower case.

Words of tone and kind ("a gruesome picture of ...", "a deadly weapon like an axe") come in through a `Tone`,
which only the split `pretrain` gives.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hyperaware.world.concepts import CATEGORY_TONES, SAFE_TONES, UNSAFE_TONES
from hyperaware.world.vocabulary import PLACES, SKY_PHRASES

_CORES: dict[int, tuple[str, ...]] = {
    1: (
        "{s} with {a}",
        "{s} and {a}",
        "{s} holding {a}",
        "{s} near {a}",
        "{a} and {s}",
        "{a} beside {s}",
        "{a} next to {s}",
    ),
    2: (
        "{s} with {a} and {b}",
        "{s} holding {a} and {b}",
        "{s}, {a} and {b}",
        "{s} with {a} near {b}",
        "{a} and {b} near {s}",
        "{a} beside {s} with {b}",
        "{a}, {b} and {s}",
    ),
}
_PREFIXES: tuple[str, ...] = ("", "", "a picture of ", "a photo of ")
_TONED_PREFIXES: tuple[str, ...] = ("a {} picture of ", "a {} photo of ", "a {} scene with ")


@dataclass(frozen=True)
class Tone:
    """Words of judgement about the thing at `index`: adjectives, and its hypernym if it has one."""

    adjectives: tuple[str, ...]
    index: int
    kind: str | None = None


def safe_tone() -> Tone:
    """The tone of a safe caption: about its first thing."""
    return Tone(SAFE_TONES, index=0)


def unsafe_tone(category: str, *, index: int, kind: str | None) -> Tone:
    """The tone of a harmful caption: words of its category weigh as much as general ones."""
    return Tone((*CATEGORY_TONES[category] * 2, *UNSAFE_TONES), index=index, kind=kind)


def with_article(text: str) -> str:
    """The text with "a" turned into "an" before a vowel.

    >>> with_article("a orange umbrella and a owl")
    'an orange umbrella and an owl'
    """
    return re.sub(r"\ba(?= [aeiou])", "an", text)


def qualified(phrase: str, adjective: str) -> str:
    """The phrase with an adjective after its article.

    >>> qualified("an axe", "deadly"), qualified("handcuffs", "illegal")
    ('a deadly axe', 'illegal handcuffs')
    """
    found = re.match(r"an? (.*)", phrase)
    return with_article(f"a {adjective} {found[1]}") if found else f"{adjective} {phrase}"


def _toned(rng: random.Random, things: list[str], tone: Tone) -> tuple[str, list[str]]:
    """A prefix of tone (empty if the tone is in a thing), and the things, one of them perhaps qualified."""
    adjective = rng.choice(tone.adjectives)
    name = things[tone.index]
    draw = rng.random()
    if tone.kind is not None and draw < 0.3:
        kind = qualified(tone.kind, adjective)
        things[tone.index] = kind if draw < 0.1 else f"{kind} like {name}"
        return "", things
    if draw < 0.55:
        things[tone.index] = qualified(name, adjective)
        return "", things
    if tone.kind is not None and draw > 0.85:
        things[tone.index] = qualified(name, rng.choice(tone.adjectives))
    return with_article(rng.choice(_TONED_PREFIXES).format(adjective)), things


def caption(
    rng: random.Random,
    *,
    subject: str,
    things: Sequence[str],
    place: str,
    sky: str | None,
    tone: Tone | None = None,
) -> str:
    """One caption that names the subject, every thing, the place, and the sky if there is one."""
    named, prefix, opening = list(things), rng.choice(_PREFIXES), ""
    if tone is not None:
        opening, named = _toned(rng, named, tone)
    if rng.random() < 0.5:
        named.reverse()
    core = rng.choice(_CORES[len(named)]).format(s=subject, **dict(zip("ab", named, strict=False)))
    scene = [rng.choice(PLACES[place].phrases)]
    if sky is not None:
        scene.insert(rng.choice((0, 1, 1)), rng.choice(SKY_PHRASES[sky]))
    if not opening and rng.random() < 0.3:
        return f"{' '.join(scene)}, {core}"
    return f"{opening or prefix}{core} {' '.join(scene)}"
