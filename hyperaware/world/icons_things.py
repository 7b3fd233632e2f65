"""Icons of harmless objects; the colour of each is free."""

import math

from hyperaware.world.icons_animals import star_points
from hyperaware.world.pen import INK, METAL, WHITE, WOOD, Colour, Pen, arc, icon

CREAM: Colour = (255, 236, 200)
GLASS: Colour = (190, 226, 250)


def darker(colour: Colour) -> Colour:
    """The colour in shadow."""
    return (round(colour[0] * 0.7), round(colour[1] * 0.7), round(colour[2] * 0.7))


@icon("umbrella")
def umbrella(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 45), (50, 84), *arc(50, 76, 68, 96, 180, 0)], INK, 6)
    pen.shape([*arc(4, 6, 96, 98, 180, 360), (80, 46), (66, 52), (50, 46), (34, 52), (20, 46)], colour)
    pen.line([(50, 8), (34, 50)], darker(colour), 3)
    pen.line([(50, 8), (66, 50)], darker(colour), 3)


@icon("gift")
def gift(pen: Pen, colour: Colour) -> None:
    ribbon = (255, 210, 40) if colour[2] > 80 or colour[1] < 150 else (220, 40, 60)
    for x in (34, 66):
        pen.oval(x - 16, 6, x + 16, 28, ribbon)
    pen.box(12, 40, 88, 95, colour)
    pen.box(6, 26, 94, 46, colour)
    pen.box(42, 26, 58, 95, ribbon)


@icon("cup")
def cup(pen: Pen, colour: Colour) -> None:
    pen.line(arc(56, 36, 94, 76, -80, 80), INK, 12)
    pen.line(arc(56, 36, 94, 76, -80, 80), colour, 6)
    pen.shape([(12, 24), (74, 24), (68, 92), (18, 92)], colour)
    pen.oval(12, 16, 74, 32, (110, 64, 36))


@icon("book")
def book(pen: Pen, colour: Colour) -> None:
    pen.box(14, 80, 86, 94, WHITE)
    pen.box(14, 6, 86, 84, colour, corner=4)
    pen.line([(26, 8), (26, 82)], darker(colour), 4)
    pen.line([(38, 26), (74, 26)], WHITE, 6)
    pen.line([(38, 42), (64, 42)], WHITE, 6)


@icon("kite")
def kite(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 70), (44, 80), (56, 88), (48, 97)], INK, 4)
    pen.shape([(50, 2), (86, 34), (50, 76), (14, 34)], colour)
    pen.line([(50, 4), (50, 74)], darker(colour), 4)
    pen.line([(16, 34), (84, 34)], darker(colour), 4)


@icon("ball")
def ball(pen: Pen, colour: Colour) -> None:
    pen.disc(50, 50, 44, colour)
    pen.shape([*arc(32, 6, 68, 94, 90, 270), *arc(18, 6, 82, 94, 270, 90)][:42], WHITE, outline=False)
    pen.line(arc(-30, 4, 34, 96, -50, 50), WHITE, 7)
    pen.line(arc(66, 4, 130, 96, 130, 230), WHITE, 7)
    pen.disc(50, 50, 12, WHITE)


@icon("candle")
def candle(pen: Pen, colour: Colour) -> None:
    pen.oval(20, 82, 80, 97, METAL)
    pen.box(34, 36, 66, 90, colour, corner=3)
    pen.line([(50, 36), (50, 28)], INK, 4)
    pen.shape([(50, 2), (62, 18), (58, 30), (42, 30), (38, 18)], (255, 170, 30))
    pen.oval(46, 16, 54, 29, (255, 240, 140), outline=False)


@icon("flower")
def flower(pen: Pen, colour: Colour) -> None:
    pen.tube([(50, 54), (50, 94)], (60, 160, 70), 6)
    pen.shape([(50, 86), (74, 68), (80, 80)], (60, 160, 70))
    for k in range(6):
        angle = math.pi * k / 3
        pen.disc(50 + 21 * math.cos(angle), 34 + 21 * math.sin(angle), 13, colour)
    pen.disc(50, 34, 12, (90, 60, 30) if colour[1] > 190 and colour[2] < 90 else (255, 220, 60))


@icon("mushroom")
def mushroom(pen: Pen, colour: Colour) -> None:
    pen.box(36, 48, 64, 95, CREAM, corner=8)
    pen.shape([*arc(6, 6, 94, 106, 180, 360), (94, 58), (6, 58)], colour)
    for x, y, r in ((50, 24, 8), (26, 42, 7), (74, 42, 7)):
        pen.disc(x, y, r, WHITE, outline=False)


@icon("cake")
def cake(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 34), (50, 18)], (255, 250, 240), 7)
    pen.oval(45, 4, 55, 18, (255, 170, 30))
    pen.box(10, 54, 90, 92, CREAM, corner=4)
    pen.shape(
        [
            (10, 36),
            (90, 36),
            (90, 58),
            (80, 68),
            (70, 58),
            (60, 68),
            (50, 58),
            (40, 68),
            (30, 58),
            (20, 68),
            (10, 58),
        ],
        colour,
    )


@icon("ice cream")
def ice_cream(pen: Pen, colour: Colour) -> None:
    pen.shape([(26, 46), (74, 46), (50, 97)], (222, 166, 96))
    pen.line([(40, 50), (58, 78)], WOOD, 2.5)
    pen.line([(60, 50), (42, 78)], WOOD, 2.5)
    pen.disc(50, 28, 26, colour)
    pen.box(22, 38, 78, 52, colour, corner=7)
    pen.disc(58, 14, 6, WHITE, outline=False)


@icon("balloon")
def balloon(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 70), (44, 82), (54, 97)], INK, 3.5)
    pen.shape([(42, 76), (58, 76), (50, 64)], colour)
    pen.oval(20, 2, 80, 70, colour)
    pen.line(arc(30, 12, 62, 56, 190, 250), WHITE, 6)


@icon("hat")
def hat(pen: Pen, colour: Colour) -> None:
    pen.oval(2, 62, 98, 90, colour)
    pen.shape([(24, 76), (28, 18), (50, 24), (72, 18), (76, 76)], colour)
    pen.shape([(25, 58), (75, 58), (76, 72), (24, 72)], INK)


@icon("car")
def car(pen: Pen, colour: Colour) -> None:
    pen.shape([(20, 50), (34, 24), (68, 24), (84, 50)], colour)
    pen.shape([(30, 48), (38, 31), (49, 31), (49, 48)], GLASS)
    pen.shape([(55, 48), (55, 31), (65, 31), (74, 48)], GLASS)
    pen.box(3, 47, 97, 74, colour, corner=8)
    for x in (26, 74):
        pen.disc(x, 74, 13, (60, 58, 70))
        pen.disc(x, 74, 5, METAL, outline=False)


@icon("boat")
def boat(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 6), (50, 70)], INK, 5)
    pen.shape([(55, 8), (90, 60), (55, 60)], WHITE)
    pen.shape([(45, 18), (45, 60), (16, 60)], CREAM)
    pen.shape([(4, 68), (96, 68), (80, 94), (20, 94)], colour)


@icon("guitar")
def guitar(pen: Pen, colour: Colour) -> None:
    with pen.turn(35):
        pen.box(38, -8, 62, 6, INK)
        pen.tube([(50, 4), (50, 50)], WOOD, 9)
        pen.disc(50, 54, 18, colour)
        pen.disc(50, 80, 24, colour)
        pen.box(36, 56, 64, 72, colour, outline=False)
        pen.disc(50, 66, 8, INK, outline=False)
        pen.line([(42, 86), (58, 86)], INK, 5)


@icon("teapot")
def teapot(pen: Pen, colour: Colour) -> None:
    pen.line(arc(64, 34, 98, 78, -90, 90), INK, 12)
    pen.line(arc(64, 34, 98, 78, -90, 90), colour, 6)
    pen.shape([(2, 30), (14, 28), (34, 58), (26, 76)], colour)
    pen.oval(18, 30, 82, 92, colour)
    pen.oval(32, 24, 68, 38, darker(colour))
    pen.disc(50, 19, 7, colour)


@icon("chair")
def chair(pen: Pen, colour: Colour) -> None:
    for x in (26, 74):
        pen.tube([(x, 66), (x, 94)], WOOD, 7)
    pen.box(22, 4, 78, 56, colour, corner=6)
    pen.line([(40, 14), (40, 46)], darker(colour), 5)
    pen.line([(60, 14), (60, 46)], darker(colour), 5)
    pen.box(14, 56, 86, 72, colour, corner=4)


@icon("lamp")
def lamp(pen: Pen, colour: Colour) -> None:
    pen.tube([(50, 50), (50, 88)], METAL, 6)
    pen.oval(26, 84, 74, 97, METAL)
    pen.shape([(32, 6), (68, 6), (90, 54), (10, 54)], colour)
    pen.disc(50, 58, 7, (255, 240, 140))


@icon("drum")
def drum(pen: Pen, colour: Colour) -> None:
    pen.tube([(8, 4), (38, 26)], WOOD, 5)
    pen.tube([(92, 4), (62, 26)], WOOD, 5)
    pen.shape([(10, 38), (90, 38), (90, 84), *arc(10, 74, 90, 96, 0, 180), (10, 84)], colour)
    pen.line([(12, 50), (30, 84), (50, 54), (70, 84), (88, 50)], WHITE, 5)
    pen.oval(10, 26, 90, 50, CREAM)


@icon("trophy")
def trophy(pen: Pen, colour: Colour) -> None:
    gold = (252, 204, 60)
    for box in ((4, 12, 40, 48), (60, 12, 96, 48)):
        pen.line(arc(*box, 0, 360), INK, 9)
        pen.line(arc(*box, 0, 360), gold, 4)
    pen.box(44, 54, 56, 82, gold)
    pen.shape([(22, 6), (78, 6), (70, 50), (58, 62), (42, 62), (30, 50)], gold)
    pen.box(26, 80, 74, 95, WOOD)
    pen.shape(star_points(50, 30, 13, 5.5), WHITE, outline=False)
