"""Icons of harmful concepts, symbolic and mild: hate, harassment, violence and self-harm."""

from hyperaware.world.pen import BLOOD, INK, METAL, SKIN, WHITE, WOOD, Colour, Pen, Point, arc, icon

SIGN_RED: Colour = (222, 24, 36)
ROPE: Colour = (206, 160, 96)


def drop(pen: Pen, x: float, y: float, size: float) -> None:
    """A drop of blood whose tip is at (x, y)."""
    below = arc(x - size, y + size, x + size, y + 3 * size, -20, 200)
    pen.shape([(x, y), *below], BLOOD)


@icon("no_people")
def no_people(pen: Pen, colour: Colour) -> None:
    pen.disc(50, 50, 46, SIGN_RED)
    pen.disc(50, 50, 35, WHITE)
    pen.disc(50, 32, 10, INK, outline=False)
    pen.shape([(36, 46), (64, 46), (60, 78), (40, 78)], INK, outline=False)
    pen.line([(24, 24), (76, 76)], SIGN_RED, 10)


@icon("stop_hand")
def stop_hand(pen: Pen, colour: Colour) -> None:
    pen.shape(
        [(30, 3), (70, 3), (97, 30), (97, 70), (70, 97), (30, 97), (3, 70), (3, 30)],
        SIGN_RED,
    )
    for x, y in ((34, 28), (45, 20), (56, 20), (67, 28)):
        pen.line([(x, y), (x, 56)], WHITE, 9)
    pen.box(30, 48, 71, 80, WHITE, corner=9, outline=False)
    pen.line([(32, 66), (20, 50)], WHITE, 9)


@icon("crossed_face")
def crossed_face(pen: Pen, colour: Colour) -> None:
    pen.box(4, 4, 96, 96, WHITE, corner=4)
    pen.disc(50, 52, 34, (190, 130, 80))
    for x in (38, 62):
        pen.disc(x, 40, 5, INK, outline=False)
    pen.line(arc(34, 62, 66, 84, 205, 335), INK, 5)
    pen.line([(8, 8), (92, 92)], SIGN_RED, 8)
    pen.line([(92, 8), (8, 92)], SIGN_RED, 8)


@icon("burning_flag")
def burning_flag(pen: Pen, colour: Colour) -> None:
    pen.tube([(14, 6), (14, 96)], WOOD, 6)
    pen.shape([(18, 10), (60, 16), (94, 8), (94, 54), (60, 62), (18, 56)], (60, 120, 210))
    pen.box(19, 28, 92, 38, WHITE, outline=False)
    fire = [
        (40, 80),
        (36, 54),
        (48, 62),
        (52, 30),
        (66, 52),
        (76, 36),
        (80, 56),
        (94, 48),
        (90, 80),
        (66, 94),
    ]
    pen.shape(fire, (250, 110, 20))
    pen.shape([(52, 80), (56, 60), (66, 70), (76, 58), (80, 80), (66, 90)], (255, 220, 60), outline=False)


@icon("swear_bubble")
def swear_bubble(pen: Pen, colour: Colour) -> None:
    pen.shape([(24, 68), (46, 68), (18, 96)], WHITE)
    pen.box(3, 10, 97, 72, WHITE, corner=14)
    pen.box(26, 60, 43, 70, WHITE, outline=False)
    red: Colour = (214, 20, 30)
    for x in (14, 22):
        pen.line([(x + 4, 26), (x, 54)], red, 4)
    pen.line([(10, 34), (32, 34)], red, 4)
    pen.line([(9, 46), (31, 46)], red, 4)
    pen.line([(46, 22), (46, 44)], red, 8)
    pen.disc(46, 55, 4.5, red, outline=False)
    pen.line([(86, 24), (62, 56)], red, 5)
    pen.line(arc(58, 23, 71, 37, 0, 360), red, 4)
    pen.line(arc(77, 43, 90, 57, 0, 360), red, 4)


def pointing_hand(pen: Pen, y: float, skin: Colour) -> None:
    """A fist whose finger points left."""
    pen.box(78, y - 13, 98, y + 17, (70, 70, 90))
    pen.box(46, y - 15, 82, y + 19, skin, corner=8)
    pen.box(3, y - 13, 58, y + 1, skin, corner=6)
    pen.line([(58, y + 3), (72, y + 3)], INK, 2.5)
    pen.line([(58, y + 11), (72, y + 11)], INK, 2.5)


@icon("mocking_fingers")
def mocking_fingers(pen: Pen, colour: Colour) -> None:
    pointing_hand(pen, 25, SKIN)
    pointing_hand(pen, 72, (190, 130, 86))


@icon("broken_heart")
def broken_heart(pen: Pen, colour: Colour) -> None:
    left: list[Point] = [(46, 92), *arc(3, 10, 47, 58, 160, 330), (36, 40), (52, 52), (40, 68)]
    right: list[Point] = [(56, 94), (52, 70), (64, 54), (49, 40), *arc(54, 14, 97, 60, 200, 380)]
    pen.shape(left, (150, 24, 70))
    pen.shape(right, (150, 24, 70))


@icon("thumbs_down")
def thumbs_down(pen: Pen, colour: Colour) -> None:
    pen.shape([(36, 48), (58, 48), (58, 88), (50, 97), (40, 92)], SKIN)
    for y in (14, 26, 38, 50):
        pen.box(50, y - 5, 90, y + 8, SKIN, corner=6)
    pen.box(24, 8, 66, 60, SKIN, corner=8)
    pen.box(50, 12, 67, 56, SKIN, outline=False)
    pen.box(4, 6, 26, 62, (40, 90, 200))


@icon("mocking_face")
def mocking_face(pen: Pen, colour: Colour) -> None:
    pen.disc(50, 46, 43, (160, 210, 60))
    pen.line([(22, 26), (42, 36)], INK, 6)
    pen.line([(78, 26), (58, 36)], INK, 6)
    for x in (34, 66):
        pen.disc(x, 42, 5.5, INK, outline=False)
    pen.shape([(22, 54), (78, 54), (68, 72), (32, 72)], (90, 20, 30))
    pen.box(40, 60, 62, 96, (240, 80, 120), corner=10)
    pen.line([(51, 64), (51, 84)], (180, 40, 80), 3)


def gun(pen: Pen, metal: Colour, grip: Colour) -> None:
    """A pistol that points left."""
    pen.line(arc(38, 42, 60, 66, 0, 180), INK, 5)
    pen.shape([(62, 44), (88, 44), (97, 90), (74, 92)], grip)
    pen.box(3, 20, 94, 48, metal, corner=3)
    pen.line([(12, 34), (60, 34)], INK, 4)


@icon("pistol")
def pistol(pen: Pen, colour: Colour) -> None:
    gun(pen, (84, 88, 100), (60, 44, 36))
    pen.box(80, 11, 90, 22, (84, 88, 100))


def chopper(pen: Pen, handle: Colour, *, bloody: bool) -> None:
    """An axe, its head up on the left."""
    with pen.turn(25):
        pen.tube([(60, 8), (60, 104)], handle, 9)
        pen.shape([(66, 16), (66, 46), (46, 50), (20, 66), (12, 34), (18, 6), (44, 14)], METAL)
        if bloody:
            pen.shape([(20, 66), (12, 34), (18, 6), (34, 11), (26, 22), (36, 36), (26, 46), (35, 57)], BLOOD)
    if bloody:
        drop(pen, 14, 66, 8)
        drop(pen, 78, 12, 6)


@icon("axe")
def axe(pen: Pen, colour: Colour) -> None:
    chopper(pen, WOOD, bloody=True)


@icon("bomb")
def bomb(pen: Pen, colour: Colour) -> None:
    pen.line(arc(54, 8, 84, 34, 180, 320), ROPE, 6)
    pen.shape([(84, 2), (88, 12), (98, 14), (89, 20), (92, 30), (83, 23), (74, 28), (78, 18)], (255, 190, 30))
    pen.box(42, 18, 64, 34, (60, 60, 72))
    pen.disc(46, 62, 35, (48, 48, 60))
    pen.line(arc(20, 36, 66, 84, 190, 250), WHITE, 6)


def blade(pen: Pen, handle: Colour, *, bloody: bool) -> None:
    """A big knife, its tip up on the right."""
    with pen.turn(45):
        pen.shape([(40, 62), (40, -4), (52, -12), (66, 14), (66, 62)], METAL)
        if bloody:
            pen.shape(
                [(40, 24), (40, -4), (52, -12), (66, 14), (66, 36), (58, 26), (50, 38), (46, 22)], BLOOD
            )
        pen.box(34, 60, 72, 68, INK)
        pen.box(44, 68, 62, 106, handle, corner=6)
    if bloody:
        drop(pen, 84, 52, 8)
        drop(pen, 66, 64, 6)


@icon("knife")
def knife(pen: Pen, colour: Colour) -> None:
    blade(pen, (70, 46, 34), bloody=True)


@icon("dynamite")
def dynamite(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 26), (54, 12), (70, 8)], INK, 4)
    pen.shape([(70, -2), (76, 4), (86, 4), (80, 11), (82, 20), (73, 15), (64, 18)], (255, 200, 40))
    for x in (24, 50, 76):
        pen.box(x - 13, 26, x + 13, 96, (216, 40, 40), corner=4)
    pen.box(8, 50, 92, 64, (50, 46, 50))


def hanging_rope(pen: Pen, rope: Colour) -> None:
    """A noose."""
    pen.tube([(50, 1), (50, 34)], rope, 7)
    pen.line(arc(22, 40, 78, 95, 0, 360), INK, 15)
    pen.line(arc(22, 40, 78, 95, 0, 360), rope, 8)
    for y in (24, 33, 42):
        pen.box(38, y, 62, y + 9, rope, corner=3)


@icon("noose")
def noose(pen: Pen, colour: Colour) -> None:
    hanging_rope(pen, ROPE)


@icon("pills")
def pills(pen: Pen, colour: Colour) -> None:
    pen.box(28, 18, 72, 78, (250, 140, 30), corner=5)
    pen.box(24, 4, 76, 20, WHITE, corner=3)
    pen.box(28, 34, 72, 60, WHITE)
    pen.line([(40, 38), (60, 56)], INK, 5)
    pen.line([(60, 38), (40, 56)], INK, 5)
    for x in (14, 42, 78):
        pen.oval(x - 11, 82, x + 11, 96, WHITE)


@icon("razor")
def razor(pen: Pen, colour: Colour) -> None:
    with pen.turn(-18):
        pen.box(4, 24, 96, 76, METAL, corner=6)
        pen.box(20, 44, 80, 56, INK, corner=5)
        for x in (28, 50, 72):
            pen.disc(x, 50, 8, INK, outline=False)
        pen.shape([(6, 68), (30, 66), (60, 70), (94, 66), (92, 76), (8, 76)], BLOOD, outline=False)
    drop(pen, 70, 70, 7)


def skull_face(pen: Pen, x: float, y: float, size: float) -> None:
    """A skull of about 2 x size in height."""
    bone: Colour = (246, 242, 226)
    pen.box(x - 0.5 * size, y + 0.4 * size, x + 0.5 * size, y + size, bone, corner=0.1 * size)
    pen.oval(x - 0.9 * size, y - size, x + 0.9 * size, y + 0.7 * size, bone)
    pen.box(x - 0.4 * size, y + 0.4 * size, x + 0.4 * size, y + 0.75 * size, bone, outline=False)
    for side in (-1, 1):
        pen.disc(x + side * 0.38 * size, y - 0.1 * size, 0.25 * size, INK, outline=False)
        pen.line(
            [(x + side * 0.18 * size, y + 0.7 * size), (x + side * 0.18 * size, y + 0.95 * size)],
            INK,
            0.1 * size,
        )
    pen.shape(
        [(x, y + 0.15 * size), (x + 0.14 * size, y + 0.4 * size), (x - 0.14 * size, y + 0.4 * size)], INK
    )


@icon("poison")
def poison(pen: Pen, colour: Colour) -> None:
    pen.box(40, 2, 60, 14, WOOD)
    pen.box(38, 12, 62, 36, (60, 150, 70))
    pen.box(16, 30, 84, 96, (60, 150, 70), corner=12)
    pen.box(40, 28, 60, 40, (60, 150, 70), outline=False)
    skull_face(pen, 50, 62, 24)
