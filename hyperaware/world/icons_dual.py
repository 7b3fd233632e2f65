"""Icons of things that are harmless in one scene and harmful in another, and of their harmless company."""

from hyperaware.world.icons_harm import blade, chopper, gun, hanging_rope
from hyperaware.world.icons_taboo import briefs, injection
from hyperaware.world.icons_things import CREAM, GLASS, darker
from hyperaware.world.pen import INK, METAL, WHITE, WOOD, Colour, Pen, arc, icon

RED: Colour = (224, 40, 46)
WATER: Colour = (70, 160, 240)


@icon("kitchen_knife")
def kitchen_knife(pen: Pen, colour: Colour) -> None:
    blade(pen, colour, bloody=False)


@icon("bloody_knife")
def bloody_knife(pen: Pen, colour: Colour) -> None:
    blade(pen, colour, bloody=True)


@icon("hand_axe")
def hand_axe(pen: Pen, colour: Colour) -> None:
    chopper(pen, colour, bloody=False)


@icon("bloody_axe")
def bloody_axe(pen: Pen, colour: Colour) -> None:
    chopper(pen, colour, bloody=True)


@icon("injection")
def coloured_injection(pen: Pen, colour: Colour) -> None:
    injection(pen, colour)


@icon("coloured_pills")
def coloured_pills(pen: Pen, colour: Colour) -> None:
    for (x0, y0), (x1, y1) in (((18, 22), (44, 40)), ((62, 50), (86, 30)), ((26, 76), (58, 84))):
        pen.tube([(x0, y0), (x1, y1)], WHITE, 20)
        pen.line([(x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2)], colour, 20)


@icon("bottle")
def bottle(pen: Pen, colour: Colour) -> None:
    pen.box(42, 2, 58, 14, INK)
    pen.shape([(42, 12), (58, 12), (58, 32), (74, 46), (74, 96), (26, 96), (26, 46), (42, 32)], colour)
    pen.box(26, 56, 74, 80, CREAM)
    pen.disc(50, 68, 6, darker(colour), outline=False)


@icon("water_pistol")
def water_pistol(pen: Pen, colour: Colour) -> None:
    pen.oval(40, 2, 86, 28, GLASS)
    gun(pen, colour, darker(colour))


@icon("coloured_pistol")
def coloured_pistol(pen: Pen, colour: Colour) -> None:
    gun(pen, (84, 88, 100), colour)
    pen.shape([(3, 14), (-3, 22), (6, 34), (-3, 46), (3, 54)], (255, 180, 30))


@icon("rope_coil")
def rope_coil(pen: Pen, colour: Colour) -> None:
    pen.tube([(76, 60), (92, 78), (88, 95)], colour, 7)
    for inset in (0, 13, 26):
        box = (8 + inset, 8 + inset, 88 - inset, 84 - inset)
        pen.line(arc(*box, 0, 360), INK, 13)
        pen.line(arc(*box, 0, 360), colour, 7)


@icon("coloured_noose")
def coloured_noose(pen: Pen, colour: Colour) -> None:
    hanging_rope(pen, colour)


@icon("swimsuit")
def swimsuit(pen: Pen, colour: Colour) -> None:
    pen.shape(
        [
            (20, 2),
            (32, 2),
            (36, 26),
            (64, 26),
            (68, 2),
            (80, 2),
            (78, 30),
            (72, 50),
            (84, 78),
            (60, 96),
            (40, 96),
            (16, 78),
            (28, 50),
            (22, 30),
        ],
        colour,
    )
    pen.line([(31, 50), (69, 50)], WHITE, 7)


@icon("coloured_underwear")
def coloured_underwear(pen: Pen, colour: Colour) -> None:
    briefs(pen, colour)


@icon("spray_can")
def spray_can(pen: Pen, colour: Colour) -> None:
    pen.box(44, 6, 58, 20, WHITE)
    for y in (2, 12, 22):
        pen.disc(30 - abs(12 - y), y + 2, 5, colour)
    pen.box(34, 16, 68, 32, METAL, corner=6)
    pen.box(26, 28, 76, 96, colour, corner=5)
    pen.box(26, 50, 76, 70, WHITE)


@icon("megaphone")
def megaphone(pen: Pen, colour: Colour) -> None:
    pen.shape([(58, 56), (74, 56), (78, 92), (62, 92)], INK)
    pen.shape([(12, 8), (64, 32), (64, 60), (12, 86)], colour)
    pen.box(62, 30, 92, 62, WHITE, corner=6)
    pen.oval(3, 8, 22, 86, darker(colour))


@icon("bread")
def bread(pen: Pen, colour: Colour) -> None:
    pen.oval(3, 76, 97, 96, WOOD)
    pen.box(12, 40, 88, 86, (220, 156, 84), corner=10)
    pen.oval(6, 24, 94, 60, (220, 156, 84))
    for x in (30, 50, 70):
        pen.line([(x - 5, 44), (x + 5, 30)], (255, 226, 170), 6)


@icon("first_aid")
def first_aid(pen: Pen, colour: Colour) -> None:
    pen.line(arc(34, 8, 66, 40, 180, 360), INK, 7)
    pen.box(5, 24, 95, 92, WHITE, corner=10)
    pen.box(42, 34, 58, 82, RED, outline=False)
    pen.box(26, 50, 74, 66, RED, outline=False)


@icon("glass_of_water")
def glass_of_water(pen: Pen, colour: Colour) -> None:
    pen.shape([(18, 8), (82, 8), (72, 95), (28, 95)], (236, 246, 252))
    pen.shape([(22, 36), (78, 36), (72, 93), (28, 93)], WATER)
    pen.line([(34, 46), (38, 82)], WHITE, 5)


@icon("dinner")
def dinner(pen: Pen, colour: Colour) -> None:
    pen.disc(50, 54, 34, WHITE)
    pen.disc(50, 54, 22, (230, 232, 240))
    pen.oval(36, 44, 64, 60, (190, 110, 60))
    pen.disc(44, 64, 6, (80, 170, 70))
    pen.disc(57, 64, 6, (240, 90, 50))
    pen.line([(7, 24), (7, 90)], INK, 6)
    pen.line([(2, 24), (12, 24)], INK, 6)
    pen.line([(93, 24), (93, 90)], INK, 6)


@icon("bucket")
def bucket(pen: Pen, colour: Colour) -> None:
    pen.line(arc(16, 2, 84, 70, 180, 360), INK, 5)
    pen.shape([(12, 34), (88, 34), (76, 95), (24, 95)], (250, 214, 60))
    pen.oval(12, 24, 88, 46, WATER)
    pen.line([(30, 36), (50, 33)], WHITE, 4)


@icon("rowing_boat")
def rowing_boat(pen: Pen, colour: Colour) -> None:
    pen.tube([(74, 10), (40, 92)], CREAM, 5)
    pen.shape([(2, 44), (98, 44), (82, 78), (18, 78)], WOOD)
    pen.line([(8, 54), (92, 54)], (90, 54, 30), 4)
    pen.line([(4, 88), (20, 82), (36, 88), (52, 82), (68, 88), (84, 82), (96, 88)], WATER, 7)


@icon("firewood")
def firewood(pen: Pen, colour: Colour) -> None:
    for x, y in ((27, 72), (73, 72), (50, 34)):
        pen.disc(x, y, 23, (110, 70, 40))
        pen.disc(x, y, 16, (232, 190, 130))
        pen.disc(x, y, 7, (190, 130, 80))


@icon("parasol")
def parasol(pen: Pen, colour: Colour) -> None:
    with pen.turn(12):
        pen.tube([(50, 30), (50, 96)], WOOD, 5)
        pen.shape([*arc(4, 2, 96, 90, 180, 360)], WHITE)
        pen.shape([*arc(4, 2, 96, 90, 180, 225), (36, 46)], RED)
        pen.shape([(42, 46), *arc(4, 2, 96, 90, 255, 290), (60, 46)], RED)
        pen.shape([(78, 46), *arc(4, 2, 96, 90, 325, 360)], RED)
    pen.oval(24, 86, 72, 98, (240, 210, 140))


@icon("painting")
def painting(pen: Pen, colour: Colour) -> None:
    pen.box(4, 10, 96, 90, (214, 164, 60))
    pen.box(14, 20, 86, 80, (160, 214, 250))
    pen.shape([(14, 80), (14, 64), (38, 40), (56, 60), (68, 50), (86, 68), (86, 80)], (70, 160, 80))
    pen.disc(72, 33, 8, (255, 210, 50), outline=False)
