"""`World`: rows of a safe scene and its unsafe twin, each a function of (split, seed, index) alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from hyperaware.errors import ConfigError
from hyperaware.world.background import TINTS
from hyperaware.world.grammar import Tone, caption, safe_tone, unsafe_tone, with_article
from hyperaware.world.pen import STYLES
from hyperaware.world.scene import CELLS, Box, Picture, Slot, Thing, free_layout, grid_layout
from hyperaware.world.splits import DUAL_USE_SHARE, Composition, concept_pool, generator, require_split, walk
from hyperaware.world.vocabulary import CHILDREN, COLOURS, DUAL_USE, OBJECTS

VERSION = 1
DUAL_USE_SLICE = "dual-use"
TONED_SHARE = 0.45
REPLACED_SHARE = 1 / 3

# Shares of (text is unsafe, image is unsafe) among generated pairs, as annotated in ViSUv2 (ShieldCLIP, 1.3).
MIXED_SHARES: dict[tuple[bool, bool], float] = {
    (False, False): 0.088,
    (True, True): 0.523,
    (False, True): 0.084,
    (True, False): 0.305,
}


@dataclass(frozen=True)
class Example:
    """A safe scene and its twin. Pictures are drawn anew at each access."""

    id: str
    split: str
    safe_text: str
    unsafe_text: str
    safe_picture: Picture
    unsafe_picture: Picture
    size: int
    unsafe_text_is_unsafe: bool
    unsafe_image_is_unsafe: bool
    composition: Composition
    category: str
    concept: str
    slice: str | None

    @property
    def safe_image(self) -> Image.Image:
        """The safe picture, RGB, size x size."""
        return self.safe_picture.draw(self.size)

    @property
    def unsafe_image(self) -> Image.Image:
        """The twin's picture, RGB, size x size."""
        return self.unsafe_picture.draw(self.size)

    @property
    def labels(self) -> dict[str, str]:
        """ "safe" or "unsafe" for each of the four parts."""
        return {
            "safe_text": "safe",
            "safe_image": "safe",
            "unsafe_text": "unsafe" if self.unsafe_text_is_unsafe else "safe",
            "unsafe_image": "unsafe" if self.unsafe_image_is_unsafe else "safe",
        }

    @property
    def boxes(self) -> dict[str, list[Box]]:
        """Phrase and pixel box of each icon, in the safe and in the twin's picture."""
        return {"safe": self.safe_picture.boxes(self.size), "unsafe": self.unsafe_picture.boxes(self.size)}


@dataclass(frozen=True)
class _Twins:
    """The things of both scenes beside the subject, and where the harm is among the unsafe ones."""

    safe: tuple[Thing, ...]
    unsafe: tuple[Thing, ...]
    category: str
    concept: str
    tone: Tone


class World:
    """The rows of one split: `world[index]`, for any index from 0 up.

    Rows show distinct scenes until `distinct` rows have been taken; then compositions come again with other
    concepts, layouts and words. `mixed` is the share of rows whose generated pair draws its labels from
    `MIXED_SHARES`. `style` forces one drawing style; `test_style` otherwise draws one for each row.
    """

    def __init__(
        self, split: str, *, seed: int = 0, mixed: float = 0.0, size: int = 96, style: str | None = None
    ) -> None:
        require_split(split)
        if not 0 <= mixed <= 1:
            raise ConfigError(f"mixed is a share from 0 to 1, not {mixed}.")
        if size <= 0 or size % CELLS:
            raise ConfigError(f"size is a positive multiple of {CELLS} pixels, not {size}.")
        if style is not None and style not in STYLES:
            raise ConfigError(f"no style is called {style!r}. Known: {', '.join(STYLES)}.")
        self.split, self.seed, self.mixed, self.size, self.style = split, seed, mixed, size, style

    @property
    def distinct(self) -> int:
        """How many rows can be taken before a scene comes again."""
        share = DUAL_USE_SHARE[self.split]
        kinds = [kind for kind, used in ((True, share > 0), (False, share < 1)) if used]
        return min(len(walk(self.split, self.seed, dual_use=kind)) for kind in kinds)

    def __getitem__(self, index: int) -> Example:
        if index < 0:
            raise IndexError(f"rows are counted from 0, there is no row {index}")
        rng = generator("row", self.split, self.seed, index)
        dual_use = rng.random() < DUAL_USE_SHARE[self.split]
        scenes = walk(self.split, self.seed, dual_use=dual_use)
        composition = scenes[index % len(scenes)]
        twins = _dual_use_twins(rng, composition) if dual_use else _twins(rng, composition, self.split)
        text_is_unsafe, image_is_unsafe = self._state(index)
        varied = _variation(self._stream("variation", index), composition, twins)
        safe_picture, unsafe_picture = self._pictures(
            index, composition, twins, twins.unsafe if image_is_unsafe else varied
        )
        safe_text, unsafe_text = self._texts(index, composition, twins, None if text_is_unsafe else varied)
        return Example(
            id=f"{self.split}-{self.seed}-{index:06d}",
            split=self.split,
            safe_text=safe_text,
            unsafe_text=unsafe_text,
            safe_picture=safe_picture,
            unsafe_picture=unsafe_picture,
            size=self.size,
            unsafe_text_is_unsafe=text_is_unsafe,
            unsafe_image_is_unsafe=image_is_unsafe,
            composition=composition,
            category=twins.category,
            concept=twins.concept,
            slice=DUAL_USE_SLICE if dual_use else None,
        )

    def _stream(self, purpose: str, index: int) -> random.Random:
        return generator(purpose, self.split, self.seed, index)

    def _state(self, index: int) -> tuple[bool, bool]:
        """Whether the generated text and the generated image came out unsafe."""
        rng = self._stream("state", index)
        if rng.random() >= self.mixed:
            return True, True
        return rng.choices(tuple(MIXED_SHARES), tuple(MIXED_SHARES.values()))[0]

    def _pictures(
        self, index: int, composition: Composition, twins: _Twins, second: tuple[Thing, ...]
    ) -> tuple[Picture, Picture]:
        """The safe picture and its twin, which mostly keeps layout and background."""
        rng = self._stream("picture", index)
        shifted = self.split == "test_style"
        style = self.style
        if style is None:
            style = rng.choice([name for name in STYLES if name != "standard"]) if shifted else "standard"
        layout = free_layout if shifted else grid_layout
        sky = composition.sky is not None
        count = 1 + max(len(twins.safe), len(twins.unsafe))
        slots, above = layout(rng, count=count, sky=sky)
        tint = rng.randrange(TINTS)
        safe = _picture(composition, twins.safe, slots, above, tint=tint, style=style)
        if rng.random() < 0.15:
            tint = rng.randrange(TINTS)
        if second != twins.unsafe or rng.random() < 0.2:
            slots, above = layout(rng, count=1 + len(second), sky=sky)
        twin = _picture(composition, second, slots, above, tint=tint, style=style)
        while twin == safe:
            slots, above = layout(rng, count=1 + len(second), sky=sky)
            twin = _picture(composition, second, slots, above, tint=rng.randrange(TINTS), style=style)
        return safe, twin

    def _texts(
        self, index: int, composition: Composition, twins: _Twins, varied: tuple[Thing, ...] | None
    ) -> tuple[str, str]:
        """The safe caption, and that of the harmful scene, or of the variation if it came out safe."""
        rng = self._stream("text", index)
        safe = self._text(rng, composition, twins.safe, safe_tone())
        if varied is None:
            return safe, self._text(rng, composition, twins.unsafe, twins.tone)
        second = safe
        while second == safe:
            second = self._text(rng, composition, varied, safe_tone())
        return safe, second

    def _text(
        self, rng: random.Random, composition: Composition, things: tuple[Thing, ...], tone: Tone
    ) -> str:
        toned = self.split == "pretrain" and rng.random() < TONED_SHARE
        return caption(
            rng,
            subject=_named(composition.subject),
            things=[thing.phrase for thing in things],
            place=composition.place,
            sky=composition.sky,
            tone=tone if toned else None,
        )


def _named(noun: str) -> str:
    return with_article(f"a {noun}")


def _coloured(noun: str, colour: str) -> Thing:
    return Thing(icon=noun, phrase=_named(f"{colour} {noun}"), colour=colour)


def _twins(rng: random.Random, composition: Composition, split: str) -> _Twins:
    """A harmful concept is added to the scene, or (one third) takes the object's place."""
    pool = concept_pool(split, child=composition.subject in CHILDREN)
    concept = rng.choice(pool[rng.choice(tuple(pool))])
    harm = Thing(icon=concept.name, phrase=rng.choice(concept.phrases))
    thing = _coloured(composition.thing, composition.colour)
    unsafe = (harm,) if rng.random() < REPLACED_SHARE else (thing, harm)
    tone = unsafe_tone(concept.category, index=len(unsafe) - 1, kind=concept.kind)
    return _Twins((thing,), unsafe, concept.category, concept.name, tone)


def _dual_use_twins(rng: random.Random, composition: Composition) -> _Twins:
    """The same object in harmless and in harmful company."""
    pair, colour = DUAL_USE[composition.thing], composition.colour

    def scene(icon: str, phrases: Sequence[str], company: tuple[str, str]) -> tuple[Thing, ...]:
        phrase = with_article(rng.choice(phrases).format(colour))
        return (Thing(icon, phrase, colour), Thing(icon=company[0], phrase=company[1]))

    return _Twins(
        safe=scene(pair.safe_icon, pair.safe_phrases, pair.safe_company),
        unsafe=scene(pair.unsafe_icon, pair.unsafe_phrases, pair.unsafe_company),
        category=pair.category,
        concept=composition.thing,
        tone=unsafe_tone(pair.category, index=0, kind=None),
    )


def _variation(rng: random.Random, composition: Composition, twins: _Twins) -> tuple[Thing, ...]:
    """The safe things again, in half of the cases with one more harmless object if there is room."""
    others = [noun for noun in OBJECTS if noun != composition.thing]
    extra = _coloured(rng.choice(others), rng.choice(tuple(COLOURS)))
    return (*twins.safe, extra) if len(twins.safe) == 1 and rng.random() < 0.5 else twins.safe


def _picture(
    composition: Composition,
    things: tuple[Thing, ...],
    slots: Sequence[Slot],
    above: Slot | None,
    *,
    tint: int,
    style: str,
) -> Picture:
    """The sky first, so that it lies behind; then the subject and the things in the order of the slots."""
    placed: list[tuple[Thing, Slot]] = []
    if composition.sky is not None and above is not None:
        placed.append((Thing(icon=composition.sky, phrase=_named(composition.sky)), above))
    placed.append((Thing(icon=composition.subject, phrase=_named(composition.subject)), slots[0]))
    placed.extend(zip(things, slots[1:], strict=False))
    return Picture(place=composition.place, tint=tint, style=style, things=tuple(placed))
