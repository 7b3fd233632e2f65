"""Drawing icons: a pen in units of 0 to 100, drawn large and shrunk once into a cached sprite.

Every shape becomes a polygon or a polyline, so one transformation (`turn`) works for all of them. An icon is
a function of a pen and a colour, registered by name with `icon`; `sprite` draws it in a size and a style.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (40, 36, 48)
WHITE: Colour = (252, 252, 250)
SKIN: Colour = (250, 208, 170)
BLOOD: Colour = (196, 16, 34)
METAL: Colour = (196, 204, 214)
WOOD: Colour = (140, 88, 48)
SUPERSAMPLING = 4
MARGIN = 0.94  # shapes shrink a little about the middle, so that outline and rim are not cut off


@dataclass(frozen=True)
class Style:
    """How icons look: outline (in hundredths of the icon), share of grey, white rim, grain of the picture."""

    outline: float = 3.5
    grey: float = 0.0
    rim: bool = True
    grain: float = 0.0

    def tone(self, colour: Colour) -> Colour:
        """The colour as this style shows it: mixed with a warm grey by the share `grey`."""
        return tuple(round(c + self.grey * (g - c)) for c, g in zip(colour, (168, 160, 150), strict=True))  # type: ignore[return-value]


STYLES: dict[str, Style] = {
    "standard": Style(),
    "sketch": Style(outline=7.0, rim=False),
    "flat": Style(outline=0.0, rim=False),
    "muted": Style(grey=0.45),
    "grain": Style(outline=2.0, grey=0.15, rim=False, grain=0.12),
}


class Pen:
    """Draws shapes with an outline on a transparent square whose side is 100 units."""

    def __init__(self, *, pixels: int, style: Style, margin: float = MARGIN) -> None:
        self.image = Image.new("RGBA", (pixels, pixels), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)
        self._scale = pixels / 100
        self._style = style
        self._angle = 0.0
        self._margin = margin

    @contextmanager
    def turn(self, degrees: float) -> Iterator[None]:
        """Within the block, everything is turned clockwise about the middle of the icon."""
        self._angle += math.radians(degrees)
        yield
        self._angle -= math.radians(degrees)

    def _place(self, points: Sequence[Point]) -> list[Point]:
        cos, sin = math.cos(self._angle), math.sin(self._angle)
        turned = [(cos * (x - 50) - sin * (y - 50), sin * (x - 50) + cos * (y - 50)) for x, y in points]
        return [
            ((50 + self._margin * x) * self._scale, (50 + self._margin * y) * self._scale) for x, y in turned
        ]

    def shape(self, points: Sequence[Point], fill: Colour, *, outline: bool = True) -> None:
        """A closed polygon, filled and outlined in ink."""
        placed = self._place(points)
        self._draw.polygon(placed, fill=self._style.tone(fill))
        if outline and self._style.outline > 0:
            width = max(1, round(self._style.outline * self._scale))
            self._draw.line([*placed, *placed[:2]], fill=self._style.tone(INK), width=width, joint="curve")

    def line(self, points: Sequence[Point], colour: Colour = INK, width: float = 4.0) -> None:
        """A polyline with round ends and no outline."""
        placed = self._place(points)
        fill, thick = self._style.tone(colour), max(1, round(width * self._scale))
        self._draw.line(placed, fill=fill, width=thick, joint="curve")
        r = thick / 2
        for x, y in (placed[0], placed[-1]):
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def tube(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """A thick polyline with an outline."""
        if self._style.outline > 0:
            self.line(points, INK, width + 2 * self._style.outline)
        self.line(points, colour, width)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, *, outline: bool = True) -> None:
        """An ellipse in the given box."""
        self.shape(arc(x0, y0, x1, y1, 0, 360), fill, outline=outline)

    def disc(self, x: float, y: float, radius: float, fill: Colour, *, outline: bool = True) -> None:
        """A circle about a point."""
        self.oval(x - radius, y - radius, x + radius, y + radius, fill, outline=outline)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour,
        *,
        corner: float = 0,
        outline: bool = True,
    ) -> None:
        """A rectangle, with corners of the given radius."""
        d = 2 * corner
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        if corner > 0:
            points = (
                arc(x0, y0, x0 + d, y0 + d, 180, 270)
                + arc(x1 - d, y0, x1, y0 + d, 270, 360)
                + arc(x1 - d, y1 - d, x1, y1, 0, 90)
                + arc(x0, y1 - d, x0 + d, y1, 90, 180)
            )
        self.shape(points, fill, outline=outline)


def arc(x0: float, y0: float, x1: float, y1: float, start: float, stop: float) -> list[Point]:
    """Points of the ellipse in the box from `start` to `stop` degrees, clockwise from three o'clock."""
    steps = max(4, round(abs(stop - start) / 9))
    cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    angles = [math.radians(start + (stop - start) * k / steps) for k in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


Icon = Callable[[Pen, Colour], None]
ICONS: dict[str, Icon] = {}


def icon(name: str) -> Callable[[Icon], Icon]:
    """Registers a function of (pen, colour) as the icon of that name."""

    def register(function: Icon) -> Icon:
        if name in ICONS:
            raise ValueError(f"two icons are called {name!r}")
        ICONS[name] = function
        return function

    return register


@lru_cache(maxsize=4096)
def sprite(name: str, colour: Colour, side: int, style: str) -> Image.Image:
    """The icon as an RGBA picture of side x side pixels. Shared: do not draw on it."""
    look = STYLES[style]
    pixels = side * SUPERSAMPLING
    pen = Pen(pixels=pixels, style=look)
    ICONS[name](pen, colour)
    drawn = pen.image
    if look.rim:
        radius = max(1, round(0.025 * pixels))
        spread = drawn.getchannel("A")
        for _ in range(radius):  # the same as one filter of 2 * radius + 1, several times faster
            spread = spread.filter(ImageFilter.MaxFilter(3))
        rim = Image.new("RGBA", drawn.size, (*WHITE, 255))
        rim.putalpha(spread)
        drawn = Image.alpha_composite(rim, drawn)
    return drawn.reduce(SUPERSAMPLING)
