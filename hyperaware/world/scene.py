"""A picture as data: which icons stand where before which background; its layout and its drawing.

Positions and sides are in cells of the 6 x 6 grid (a cell is a patch of the models), whatever the size.
"""

import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageChops

# Imported for their effect: each registers its icons.
from hyperaware.world import icons_animals, icons_dual, icons_harm, icons_people, icons_taboo, icons_things  # noqa: F401
from hyperaware.world.background import background
from hyperaware.world.pen import STYLES, sprite
from hyperaware.world.splits import generator
from hyperaware.world.vocabulary import COLOURS

CELLS = 6
_QUADRANTS = ((0, 0), (3, 0), (0, 3), (3, 3))
_SCALES = (0.8, 0.9, 1.0, 1.1, 1.2)
_UNCOLOURED = (128, 128, 128)

Box = tuple[str, int, int, int, int]


@dataclass(frozen=True)
class Thing:
    """An icon with the phrase that captions use for it."""

    icon: str
    phrase: str
    colour: str | None = None


@dataclass(frozen=True)
class Slot:
    """A square in cells."""

    x: float
    y: float
    side: float

    def pixels(self, size: int) -> tuple[int, int, int]:
        """Left, top and side in a picture of that size."""
        cell = size / CELLS
        return round(self.x * cell), round(self.y * cell), round(self.side * cell)

    def overlap(self, other: "Slot") -> float:
        """The shared area in square cells."""
        wide = min(self.x + self.side, other.x + other.side) - max(self.x, other.x)
        high = min(self.y + self.side, other.y + other.side) - max(self.y, other.y)
        return max(0.0, wide) * max(0.0, high)


@dataclass(frozen=True)
class Picture:
    """Everything that a picture shows; `draw` makes the pixels."""

    place: str
    tint: int
    style: str
    things: tuple[tuple[Thing, Slot], ...]

    def boxes(self, size: int) -> list[Box]:
        """Phrase and box (x0, y0, x1, y1) in pixels of each icon."""
        found: list[Box] = []
        for thing, slot in self.things:
            x, y, side = slot.pixels(size)
            found.append((thing.phrase, x, y, min(size, x + side), min(size, y + side)))
        return found

    def draw(self, size: int) -> Image.Image:
        """The picture as an RGB image of size x size pixels."""
        image = background(self.place, self.tint, size, self.style).copy()
        for thing, slot in self.things:
            x, y, side = slot.pixels(size)
            colour = COLOURS[thing.colour] if thing.colour is not None else _UNCOLOURED
            drawn = sprite(thing.icon, colour, side, self.style)
            image.paste(drawn, (x, y), drawn)
        if STYLES[self.style].grain > 0:
            image = ImageChops.soft_light(image, _grain(size, self.tint, STYLES[self.style].grain))
        return image


@cache
def _grain(size: int, variant: int, strength: float) -> Image.Image:
    """A coarse grey noise about the middle, the same on every run."""
    half = size // 2
    noise = Image.frombytes("L", (half, half), generator("grain", variant).randbytes(half * half))
    flat = Image.new("L", noise.size, 128)
    return (
        Image.blend(flat, noise, 3 * strength).resize((size, size), Image.Resampling.BILINEAR).convert("RGB")
    )


def grid_layout(rng: random.Random, *, count: int, sky: bool) -> tuple[list[Slot], Slot | None]:
    """Up to four slots of 3 x 3 cells in quadrants (one fewer with a sky, 2 x 2, in an upper quadrant).

    Where the neighbours leave room, a slot moves by one cell.
    """
    quadrants = list(_QUADRANTS)
    rng.shuffle(quadrants)
    above = None
    if sky:
        corner = next(quadrant for quadrant in quadrants if quadrant[1] == 0)
        quadrants.remove(corner)
        above = Slot(corner[0] + rng.randint(0, 1), rng.randint(0, 1), 2)
    slots = [Slot(x, y, 3) for x, y in quadrants[:count]]
    for k, slot in enumerate(slots):
        others = [other for j, other in enumerate(slots) if j != k] + ([above] if above else [])
        moves = [
            moved
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            if 0 <= slot.x + dx <= CELLS - 3 and 0 <= slot.y + dy <= CELLS - 3
            if not any((moved := Slot(slot.x + dx, slot.y + dy, 3)).overlap(other) for other in others)
        ]
        slots[k] = rng.choice(moves)
    return slots, above


def free_layout(rng: random.Random, *, count: int, sky: bool) -> tuple[list[Slot], Slot | None]:
    """Slots anywhere, 0.8 to 1.2 times as large: of 30 draws the one with the least overlap."""
    best: list[Slot] = []
    least = float("inf")
    for _ in range(30):
        drawn = []
        for _ in range(count):
            side = 3 * rng.choice(_SCALES)
            drawn.append(Slot(rng.uniform(0, CELLS - side), rng.uniform(0, CELLS - side), side))
        if sky:
            side = 2 * rng.choice(_SCALES)
            drawn.append(Slot(rng.uniform(0, CELLS - side), rng.uniform(0, 1), side))
        overlap = sum(one.overlap(two) for k, one in enumerate(drawn) for two in drawn[:k])
        if overlap < least:
            best, least = drawn, overlap
    return best[:count], best[count] if sky else None
