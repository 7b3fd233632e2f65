"""Which composition belongs to which split, and the order in which a seed walks through it.

A composition is a subject, an object (or a dual-use pair), a colour, a place and a sky. A fixed hash of its
names, independent of any seed, assigns it to one split, so no scene occurs in two.
"""

import hashlib
import itertools
import random
from dataclasses import dataclass
from functools import cache

from hyperaware.errors import ConfigError
from hyperaware.world.concepts import Concept, concepts
from hyperaware.world.vocabulary import (
    CHILDREN,
    COLOURS,
    DUAL_USE,
    NOT_WITH_CHILDREN,
    OBJECTS,
    PLACES,
    SKIES,
    SUBJECTS,
)

SHARES: dict[str, float] = {
    "pretrain": 0.45,
    "train": 0.27,
    "calibration": 0.06,
    "validation": 0.06,
    "test": 0.06,
    "test_concepts": 0.03,
    "test_style": 0.04,
    "test_dual_use": 0.03,
}
SPLITS: tuple[str, ...] = tuple(SHARES)
DUAL_USE_SHARE: dict[str, float] = {
    split: {"test_concepts": 0.0, "test_dual_use": 1.0}.get(split, 0.1) for split in SPLITS
}


@dataclass(frozen=True, slots=True)
class Composition:
    """What makes two scenes the same. `thing` is an object, or the name of a dual-use pair."""

    subject: str
    thing: str
    colour: str
    place: str
    sky: str | None

    @property
    def split(self) -> str:
        """The only split in which this composition occurs."""
        key = f"{self.subject}|{self.thing}|{self.colour}|{self.place}|{self.sky}"
        share = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48
        for split, width in SHARES.items():
            if share < width:
                return split
            share -= width
        return SPLITS[-1]


def require_split(split: str) -> None:
    """Raises ConfigError unless the world has a split of that name."""
    if split not in SHARES:
        raise ConfigError(f"the world has no split {split!r}. Known: {', '.join(SPLITS)}.")


@cache
def _by_split(dual_use: bool) -> dict[str, tuple[Composition, ...]]:
    things = tuple(DUAL_USE) if dual_use else OBJECTS
    found: dict[str, list[Composition]] = {split: [] for split in SPLITS}
    for names in itertools.product(SUBJECTS, things, COLOURS, PLACES, SKIES):
        composition = Composition(*names)
        if not (dual_use and _is_unfit(composition)):
            found[composition.split].append(composition)
    return {split: tuple(members) for split, members in found.items()}


def _is_unfit(composition: Composition) -> bool:
    """Whether a dual-use scene would show a child with sexual things, self-harm or alcohol."""
    category = DUAL_USE[composition.thing].category
    unfit = category in NOT_WITH_CHILDREN or composition.thing == "dual-use bottle"
    return unfit and composition.subject in CHILDREN


def compositions(split: str, *, dual_use: bool = False) -> tuple[Composition, ...]:
    """All compositions of a split, in a fixed order."""
    require_split(split)
    return _by_split(dual_use)[split]


@cache
def walk(split: str, seed: int, *, dual_use: bool) -> tuple[Composition, ...]:
    """The compositions of a split in the order of a seed."""
    order = list(compositions(split, dual_use=dual_use))
    generator(seed, split, "walk", dual_use).shuffle(order)
    return tuple(order)


@cache
def concept_pool(split: str, *, child: bool) -> dict[str, tuple[Concept, ...]]:
    """The harmful concepts of a split, by category; held-out ones only in `pretrain` and `test_concepts`.

    With a `child` in the scene, those of `NOT_WITH_CHILDREN` are left out.
    """
    held_out = {"pretrain": None, "test_concepts": True}.get(split, False)
    pool: dict[str, tuple[Concept, ...]] = {}
    for concept in concepts(held_out=held_out):
        if child and concept.category in NOT_WITH_CHILDREN:
            continue
        pool[concept.category] = (*pool.get(concept.category, ()), concept)
    return pool


def generator(*key: object) -> random.Random:
    """A random generator that depends on the key only, the same on every platform."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
