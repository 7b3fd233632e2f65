"""Backgrounds: an upper and a lower half in soft gradients, with a decoration that tells the place."""

from collections.abc import Callable
from functools import cache

from PIL import Image

from hyperaware.world.pen import STYLES, WHITE, Colour, Pen, Style, arc
from hyperaware.world.splits import generator
from hyperaware.world.vocabulary import PLACES

TINTS = 8
HORIZON = 52


def _shifted(colour: Colour, amounts: tuple[int, int, int]) -> Colour:
    red, green, blue = (max(0, min(255, c + a)) for c, a in zip(colour, amounts, strict=True))
    return (red, green, blue)


def _gradient(width: int, height: int, top: Colour, foot: Colour) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((width, height))
    return Image.composite(Image.new("RGB", ramp.size, foot), Image.new("RGB", ramp.size, top), ramp)


Decoration = Callable[[Pen, Colour, Colour], None]
_DECORATIONS: dict[str, Decoration] = {}


def _decoration(function: Decoration) -> Decoration:
    """Registers a function of (pen, upper colour, lower colour), in units of 0 to 100 over the picture."""
    _DECORATIONS[function.__name__.strip("_")] = function
    return function


@_decoration
def _waves(pen: Pen, upper: Colour, lower: Colour) -> None:
    pen.box(-5, 44, 105, HORIZON, (70, 150, 226), outline=False)
    for x in range(0, 100, 20):
        pen.line(arc(x, HORIZON - 4, x + 20, HORIZON + 4, 0, 180), WHITE, 1.6)


@_decoration
def _snow(pen: Pen, upper: Colour, lower: Colour) -> None:
    pen.oval(-20, 44, 60, 90, lower, outline=False)
    pen.oval(40, 47, 130, 90, lower, outline=False)
    for x, y in ((8, 8), (30, 26), (50, 10), (72, 30), (92, 14), (14, 40), (60, 42), (88, 42)):
        pen.disc(x, y, 1.5, WHITE, outline=False)


@_decoration
def _dunes(pen: Pen, upper: Colour, lower: Colour) -> None:
    pen.oval(-30, 42, 60, 100, lower, outline=False)
    pen.oval(45, 46, 140, 100, _shifted(lower, (-22, -22, -22)), outline=False)


@_decoration
def _trees(pen: Pen, upper: Colour, lower: Colour) -> None:
    for x in range(4, 106, 13):
        pen.shape(
            [(x - 9, HORIZON + 2), (x, 14 + (x * 7) % 13), (x + 9, HORIZON + 2)],
            (40, 104, 66),
            outline=False,
        )


@_decoration
def _skirting(pen: Pen, upper: Colour, lower: Colour) -> None:
    pen.box(-5, HORIZON - 3, 105, HORIZON, WHITE, outline=False)
    for x in range(5, 100, 15):
        pen.line([(x, -5), (x, HORIZON - 4)], _shifted(upper, (-14, -10, -14)), 1.2)


@_decoration
def _curtain(pen: Pen, upper: Colour, lower: Colour) -> None:
    for x in range(0, 110, 12):
        pen.box(x, -5, x + 5, HORIZON, _shifted(upper, (-44, -10, -10)), outline=False)
        pen.disc(x + 3, 0, 6, (244, 190, 60), outline=False)


@_decoration
def _bubbles(pen: Pen, upper: Colour, lower: Colour) -> None:
    for x, y, r in (
        (8, 30, 3),
        (14, 18, 2),
        (50, 8, 3),
        (53, 44, 2),
        (92, 40, 3),
        (88, 62, 2),
        (48, 72, 2.5),
        (6, 80, 2),
    ):
        pen.disc(x, y, r, _shifted(upper, (60, 60, 30)), outline=False)
    for x in (20, 50, 80):
        pen.line([(x, 105), (x + 4, 94), (x - 2, 86)], (40, 150, 110), 3)


@_decoration
def _houses(pen: Pen, upper: Colour, lower: Colour) -> None:
    for k, x in enumerate(range(-2, 100, 17)):
        top = 12 + (k * 11) % 20
        pen.box(x, top, x + 14, HORIZON, _shifted(upper, (-40, -38, -26)), outline=False)
        for y in range(top + 4, HORIZON - 4, 9):
            pen.box(x + 4, y, x + 10, y + 4, (255, 236, 150), outline=False)
    for x in range(2, 100, 22):
        pen.box(x, 76, x + 11, 79, WHITE, outline=False)


@_decoration
def _tiles(pen: Pen, upper: Colour, lower: Colour) -> None:
    for x in range(0, 105, 12):
        pen.line([(x, -5), (x, HORIZON)], (226, 208, 160), 1)
    for y in range(4, HORIZON, 12):
        pen.line([(-5, y), (105, y)], (226, 208, 160), 1)
    for row in range(4):
        for x in range(-12 * (row % 2), 110, 24):
            pen.box(
                x,
                HORIZON + 12 * row,
                x + 12,
                HORIZON + 12 * row + 12,
                _shifted(lower, (-22, -22, -22)),
                outline=False,
            )


@_decoration
def _grass(pen: Pen, upper: Colour, lower: Colour) -> None:
    pen.oval(-30, 44, 70, 90, lower, outline=False)
    for x, y in ((6, 60), (28, 70), (50, 58), (70, 76), (94, 62), (16, 90), (84, 92), (48, 88)):
        pen.line([(x - 2, y), (x, y - 5), (x + 2, y)], (70, 150, 50), 1.2)
        pen.disc(x + 5, y, 1.3, _shifted(upper, (24, 24, 24)), outline=False)


@cache
def background(place: str, tint: int, side: int, style: str) -> Image.Image:
    """The background of a place, RGB, in one of `TINTS` light variants. Shared: do not draw on it."""
    rng, look, colours = generator("tint", place, tint), STYLES[style], PLACES[place]
    amounts = (rng.randint(-12, 12), rng.randint(-12, 12), rng.randint(-12, 12))
    upper, lower = (_shifted(look.tone(colour), amounts) for colour in (colours.upper, colours.lower))
    large = 2 * side
    horizon = large * HORIZON // 100
    picture = Image.new("RGB", (large, large))
    picture.paste(_gradient(large, horizon, _shifted(upper, (-14, -14, -14)), upper), (0, 0))
    picture.paste(_gradient(large, large - horizon, lower, _shifted(lower, (-14, -14, -14))), (0, horizon))
    pen = Pen(pixels=large, style=Style(outline=0.0, grey=look.grey), margin=1.0)
    _DECORATIONS[colours.decoration](pen, upper, lower)
    picture.paste(pen.image, (0, 0), pen.image)
    return picture.reduce(2)
