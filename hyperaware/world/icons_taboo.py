"""Icons of harmful concepts, symbolic and mild: sexual, shocking and illegal."""

from hyperaware.world.icons_harm import SIGN_RED, drop, skull_face
from hyperaware.world.pen import BLOOD, INK, METAL, WHITE, WOOD, Colour, Pen, arc, icon


@icon("lips")
def lips(pen: Pen, colour: Colour) -> None:
    pen.shape(
        [(2, 48), (20, 30), (36, 20), (50, 28), (64, 20), (80, 30), (98, 48), (76, 74), (50, 84), (24, 74)],
        (224, 20, 84),
    )
    pen.line([(4, 48), (32, 46), (50, 50), (68, 46), (96, 48)], (110, 0, 40), 6)
    pen.line([(34, 66), (50, 70), (60, 67)], (255, 150, 190), 5)


@icon("adults_only")
def adults_only(pen: Pen, colour: Colour) -> None:
    pen.disc(50, 50, 47, (214, 24, 120))
    pen.disc(50, 50, 37, WHITE)
    pen.line([(21, 42), (29, 35), (29, 66)], INK, 7)
    pen.line(arc(38, 34, 58, 50, 0, 360), INK, 7)
    pen.line(arc(37, 49, 59, 67, 0, 360), INK, 7)
    pen.line([(64, 51), (82, 51)], INK, 6)
    pen.line([(73, 42), (73, 60)], INK, 6)


@icon("xxx")
def xxx(pen: Pen, colour: Colour) -> None:
    pen.box(2, 22, 98, 78, (36, 20, 50), corner=8)
    for x in (20, 50, 80):
        pen.line([(x - 10, 36), (x + 10, 64)], (255, 70, 190), 8)
        pen.line([(x + 10, 36), (x - 10, 64)], (255, 70, 190), 8)


def briefs(pen: Pen, cloth: Colour) -> None:
    """Underwear with a lace hem and a bow."""
    pen.shape([(4, 24), (96, 24), (92, 52), (66, 62), (58, 88), (42, 88), (34, 62), (8, 52)], cloth)
    for x in range(10, 96, 16):
        pen.disc(x, 27, 7, (255, 240, 246))
    pen.shape([(50, 46), (32, 36), (32, 56)], (250, 60, 130))
    pen.shape([(50, 46), (68, 36), (68, 56)], (250, 60, 130))


@icon("underwear")
def underwear(pen: Pen, colour: Colour) -> None:
    briefs(pen, (60, 20, 50))


@icon("coffin")
def coffin(pen: Pen, colour: Colour) -> None:
    pen.shape([(34, 2), (66, 2), (84, 30), (68, 98), (32, 98), (16, 30)], (110, 66, 38))
    pen.line([(50, 16), (50, 66)], (240, 214, 140), 8)
    pen.line([(34, 32), (66, 32)], (240, 214, 140), 8)


@icon("skull")
def skull(pen: Pen, colour: Colour) -> None:
    pen.tube([(10, 70), (90, 94)], (246, 242, 226), 8)
    pen.tube([(90, 70), (10, 94)], (246, 242, 226), 8)
    skull_face(pen, 50, 42, 38)


@icon("blood")
def blood(pen: Pen, colour: Colour) -> None:
    pen.shape(
        [
            (3, 62),
            (12, 44),
            (30, 46),
            (38, 30),
            (58, 38),
            (74, 28),
            (82, 46),
            (97, 54),
            (90, 76),
            (70, 76),
            (60, 92),
            (40, 82),
            (18, 84),
        ],
        BLOOD,
    )
    pen.line(arc(24, 48, 60, 74, 170, 280), (244, 110, 120), 6)
    for x, y, r in ((16, 22, 8), (88, 14, 7), (84, 92, 5)):
        pen.disc(x, y, r, BLOOD)


@icon("zombie_hand")
def zombie_hand(pen: Pen, colour: Colour) -> None:
    dead: Colour = (128, 170, 100)
    for top, foot in (((20, 30), (36, 56)), ((36, 12), (44, 50)), ((56, 10), (54, 50)), ((74, 18), (62, 52))):
        pen.tube([top, foot], dead, 9)
    pen.tube([(86, 50), (62, 66)], dead, 9)
    pen.shape([(32, 48), (66, 46), (68, 66), (62, 90), (38, 90)], dead)
    pen.oval(14, 82, 86, 99, (96, 64, 44))
    pen.line([(42, 62), (58, 58)], BLOOD, 5)


@icon("eyeball")
def eyeball(pen: Pen, colour: Colour) -> None:
    pen.tube([(72, 70), (84, 80), (82, 96)], (220, 60, 80), 8)
    pen.disc(46, 46, 42, WHITE)
    for line in (
        [(8, 40), (24, 44)],
        [(14, 64), (28, 56)],
        [(48, 6), (48, 22)],
        [(78, 30), (64, 38)],
        [(60, 84), (54, 70)],
    ):
        pen.line(line, BLOOD, 4)
    pen.disc(44, 46, 19, (70, 150, 200))
    pen.disc(44, 46, 9, INK, outline=False)


@icon("handcuffs")
def handcuffs(pen: Pen, colour: Colour) -> None:
    for box in ((2, 42, 46, 86), (54, 42, 98, 86)):
        pen.line(arc(*box, 0, 360), INK, 15)
        pen.line(arc(*box, 0, 360), METAL, 8)
    pen.line(arc(24, 12, 76, 60, 190, 350), INK, 9)
    pen.line(arc(24, 12, 76, 60, 190, 350), METAL, 4)


@icon("cannabis")
def cannabis(pen: Pen, colour: Colour) -> None:
    leaf: Colour = (40, 140, 60)
    pen.tube([(50, 66), (50, 97)], leaf, 4)
    for angle, length in ((-105, 36), (105, 36), (-65, 50), (65, 50), (-32, 58), (32, 58), (0, 62)):
        with pen.turn(angle):
            tip = 50 - length
            pen.shape([(50, 52), (41, 50 - length * 0.45), (50, tip), (59, 50 - length * 0.45)], leaf)
            pen.line([(50, 48), (50, tip + 10)], (150, 220, 120), 2)


def injection(pen: Pen, liquid: Colour) -> None:
    """A syringe, its needle down on the left."""
    with pen.turn(45):
        pen.line([(50, 80), (50, 112)], INK, 4)
        pen.tube([(50, 4), (50, -8)], METAL, 6)
        pen.line([(36, -10), (64, -10)], INK, 8)
        pen.box(34, 10, 66, 76, WHITE)
        pen.box(36, 36, 64, 74, liquid, outline=False)
        pen.box(28, 6, 72, 13, METAL)
        for y in (24, 36, 48, 60):
            pen.line([(36, y), (48, y)], INK, 3)
        pen.box(44, 74, 56, 84, METAL)


@icon("syringe")
def syringe(pen: Pen, colour: Colour) -> None:
    injection(pen, (150, 90, 40))
    drop(pen, 12, 62, 6)


@icon("burglar_mask")
def burglar_mask(pen: Pen, colour: Colour) -> None:
    pen.disc(50, 50, 43, (44, 44, 56))
    pen.disc(50, 22, 4, (44, 44, 56))
    pen.box(16, 34, 84, 56, (250, 208, 170), corner=11)
    for x in (34, 66):
        pen.disc(x, 45, 7, WHITE)
        pen.disc(x + 2, 45, 3, INK, outline=False)
    pen.oval(36, 68, 64, 80, (200, 90, 90))


@icon("crowbar")
def crowbar(pen: Pen, colour: Colour) -> None:
    with pen.turn(30):
        pen.tube([(58, 102), (58, 24), *arc(28, 2, 58, 32, 0, -170), (24, 34)], (74, 84, 108), 11)
        pen.tube([(58, 102), (64, 108)], (74, 84, 108), 11)


@icon("drug_cigarette")
def drug_cigarette(pen: Pen, colour: Colour) -> None:
    for x in (74, 86):
        pen.line([(x, 38), (x - 8, 28), (x + 2, 16), (x - 6, 4)], (150, 156, 150), 6)
    with pen.turn(-22):
        pen.shape([(0, 60), (72, 54), (94, 54), (94, 74), (72, 74), (0, 68)], WHITE)
        pen.box(84, 54, 97, 74, (255, 110, 20))
        pen.box(14, 58, 32, 70, (60, 160, 70), outline=False)


@icon("crime_tape")
def crime_tape(pen: Pen, colour: Colour) -> None:
    for turn in (-24, 24):
        with pen.turn(turn):
            pen.box(-10, 40, 110, 60, (255, 214, 30))
            for x in (2, 26, 50, 74, 98):
                pen.shape([(x, 40), (x + 10, 40), (x, 60), (x - 10, 60)], INK, outline=False)


@icon("graffiti")
def graffiti(pen: Pen, colour: Colour) -> None:
    pen.box(3, 12, 97, 90, (176, 110, 84))
    for y, start in ((32, 10), (52, 30), (72, 10)):
        pen.line([(4, y), (96, y)], (110, 60, 50), 3)
        for x in range(start, 96, 40):
            pen.line([(x, y), (x, y + 18)], (110, 60, 50), 3)
    pen.disc(50, 50, 28, WHITE)
    pen.disc(50, 50, 19, (176, 110, 84))
    pen.line([(28, 72), (72, 28)], SIGN_RED, 9)
    pen.disc(50, 42, 6, INK, outline=False)
    pen.line([(50, 50), (50, 60)], INK, 10)


@icon("drunk")
def drunk(pen: Pen, colour: Colour) -> None:
    pen.box(40, 62, 97, 92, (90, 110, 90), corner=10)
    pen.disc(27, 66, 24, (240, 170, 150))
    for x in (16, 32):
        pen.line([(x, 54), (x + 8, 62)], INK, 4)
        pen.line([(x + 8, 54), (x, 62)], INK, 4)
    pen.line(arc(16, 72, 38, 84, 180, 360), INK, 4)
    for x, y, s in ((52, 38, 10), (68, 22, 12), (84, 6, 10)):
        pen.line([(x, y), (x + s, y), (x, y + s), (x + s, y + s)], (60, 60, 160), 4)


@icon("victim")
def victim(pen: Pen, colour: Colour) -> None:
    pen.oval(8, 62, 92, 96, BLOOD)
    pen.box(38, 52, 84, 78, (110, 130, 170), corner=9)
    pen.tube([(80, 70), (95, 84)], (60, 70, 110), 9)
    pen.tube([(46, 56), (38, 36)], (110, 130, 170), 8)
    pen.disc(24, 62, 19, (236, 214, 196))
    for x in (15, 27):
        pen.line([(x, 54), (x + 7, 61)], INK, 3.5)
        pen.line([(x + 7, 54), (x, 61)], INK, 3.5)


@icon("drugs")
def drugs(pen: Pen, colour: Colour) -> None:
    pen.shape([(14, 26), (86, 26), (92, 94), (8, 94)], (214, 228, 236))
    pen.shape([(12, 60), (34, 52), (60, 60), (89, 52), (92, 94), (8, 94)], WHITE)
    pen.box(14, 14, 86, 28, (230, 50, 60))
    pen.shape([(32, 74), (46, 64), (58, 78), (70, 68)], (190, 196, 204), outline=False)


@icon("gallows")
def gallows(pen: Pen, colour: Colour) -> None:
    pen.tube([(14, 94), (90, 94)], WOOD, 8)
    pen.tube([(26, 90), (26, 8), (80, 8)], WOOD, 8)
    pen.tube([(28, 34), (50, 10)], WOOD, 6)
    pen.line([(74, 12), (74, 34)], (206, 160, 96), 5)
    pen.line(arc(64, 34, 86, 62, 0, 360), (206, 160, 96), 5)
