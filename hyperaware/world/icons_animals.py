"""Icons of animals, and of what hangs in the sky."""

import math

from hyperaware.world.pen import INK, WHITE, Colour, Pen, Point, arc, icon

SUN: Colour = (255, 205, 40)


def eyes(pen: Pen, y: float, apart: float, radius: float = 4.5) -> None:
    """Two round eyes about the middle line."""
    for x in (50 - apart, 50 + apart):
        pen.disc(x, y, radius, INK, outline=False)


def mouth(pen: Pen, y: float) -> None:
    """Two small arcs below a nose."""
    pen.line(arc(38, y - 5, 50, y + 5, 10, 170), INK, 3)
    pen.line(arc(50, y - 5, 62, y + 5, 10, 170), INK, 3)


def star_points(x: float, y: float, outer: float, inner: float, tips: int = 5) -> list[Point]:
    """The corners of a star, first tip upwards."""
    radii = [outer, inner] * tips
    angles = [math.pi * (k / tips - 0.5) for k in range(2 * tips)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


@icon("cat")
def cat(pen: Pen, colour: Colour) -> None:
    fur = (248, 164, 54)
    pen.shape([(14, 50), (14, 6), (46, 28)], fur)
    pen.shape([(86, 50), (86, 6), (54, 28)], fur)
    pen.oval(10, 22, 90, 92, fur)
    for x in (40, 50, 60):
        pen.line([(x, 26), (x, 36)], (190, 100, 20), 4)
    eyes(pen, 52, 17, 6)
    pen.shape([(44, 63), (56, 63), (50, 70)], (230, 90, 110))
    mouth(pen, 73)
    for side in (-1, 1):
        for y in (64, 72):
            pen.line([(50 + side * 24, y), (50 + side * 45, y - 3)], INK, 2)


@icon("dog")
def dog(pen: Pen, colour: Colour) -> None:
    pen.oval(16, 12, 84, 90, (222, 184, 140))
    pen.oval(2, 14, 30, 70, (110, 70, 44))
    pen.oval(70, 14, 98, 70, (110, 70, 44))
    pen.oval(54, 28, 76, 54, (150, 100, 64), outline=False)
    eyes(pen, 42, 15, 5)
    pen.oval(30, 52, 70, 86, WHITE)
    pen.oval(40, 52, 60, 66, INK)
    pen.box(43, 74, 57, 95, (240, 90, 120), corner=6)


@icon("rabbit")
def rabbit(pen: Pen, colour: Colour) -> None:
    fur = (226, 222, 228)
    for x in (32, 68):
        pen.oval(x - 13, 2, x + 13, 58, fur)
        pen.oval(x - 5, 10, x + 5, 46, (255, 170, 190), outline=False)
    pen.oval(15, 38, 85, 95, fur)
    eyes(pen, 60, 16, 5)
    pen.oval(45, 66, 55, 74, (240, 110, 140), outline=False)
    mouth(pen, 76)
    pen.box(44, 81, 56, 92, WHITE)


@icon("bear")
def bear(pen: Pen, colour: Colour) -> None:
    fur = (146, 92, 52)
    for x in (21, 79):
        pen.disc(x, 24, 17, fur)
        pen.disc(x, 24, 8, (200, 150, 110), outline=False)
    pen.oval(9, 14, 91, 94, fur)
    eyes(pen, 46, 17, 5)
    pen.oval(30, 54, 70, 88, (224, 184, 144))
    pen.oval(42, 56, 58, 68, INK)
    mouth(pen, 74)


@icon("fish")
def fish(pen: Pen, colour: Colour) -> None:
    scales = (64, 200, 190)
    pen.shape([(66, 50), (97, 20), (90, 50), (97, 80)], (255, 150, 60))
    pen.shape([(36, 26), (56, 6), (64, 30)], (255, 150, 60))
    pen.oval(3, 20, 76, 80, scales)
    pen.disc(24, 42, 9, WHITE)
    pen.disc(22, 42, 4, INK, outline=False)
    pen.line(arc(8, 48, 30, 66, 20, 100), INK, 3)
    for x in (40, 54):
        pen.line(arc(x - 8, 36, x + 8, 64, -70, 70), (24, 120, 130), 4)


@icon("owl")
def owl(pen: Pen, colour: Colour) -> None:
    feathers = (128, 96, 150)
    pen.shape([(16, 30), (14, 4), (42, 18)], feathers)
    pen.shape([(84, 30), (86, 4), (58, 18)], feathers)
    pen.oval(12, 12, 88, 95, feathers)
    pen.oval(30, 54, 70, 93, (232, 214, 190))
    for x in (33, 67):
        pen.disc(x, 38, 18, WHITE)
        pen.disc(x, 38, 8, INK, outline=False)
    pen.shape([(43, 47), (57, 47), (50, 62)], SUN)


@icon("sun")
def sun(pen: Pen, colour: Colour) -> None:
    pen.shape(star_points(50, 50, 48, 33, 10), (255, 160, 30))
    pen.disc(50, 50, 27, SUN)


@icon("moon")
def moon(pen: Pen, colour: Colour) -> None:
    outer = arc(14, 6, 90, 94, 60, 300)
    inner = arc(38, 12, 96, 88, 290, 70)
    pen.shape(outer + inner, (255, 240, 170))


@icon("rain cloud")
def rain_cloud(pen: Pen, colour: Colour) -> None:
    grey = (168, 178, 196)
    for x in (28, 50, 72):
        pen.line([(x + 3, 68), (x - 5, 92)], (30, 100, 230), 7)
    for x, y, r in ((26, 46, 20), (74, 46, 20), (50, 32, 26)):
        pen.disc(x, y, r, grey)
    pen.box(24, 42, 76, 66, grey, corner=8)
    pen.box(28, 36, 72, 60, grey, outline=False)


@icon("star")
def star(pen: Pen, colour: Colour) -> None:
    pen.shape(star_points(50, 54, 50, 20), (255, 226, 90))
