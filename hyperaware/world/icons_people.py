"""Icons of people and of the robot."""

from hyperaware.world.pen import INK, METAL, SKIN, WHITE, Colour, Pen, arc, icon

BROWN: Colour = (112, 66, 34)
GOLD: Colour = (250, 200, 40)
GREY: Colour = (206, 206, 212)


def body(pen: Pen, clothes: Colour) -> None:
    """Shoulders and trunk."""
    pen.shape([(34, 60), (66, 60), (80, 95), (20, 95)], clothes)


def face(pen: Pen, skin: Colour = SKIN) -> None:
    """A round smiling head."""
    pen.disc(50, 38, 23, skin)
    pen.disc(42, 36, 3.4, INK, outline=False)
    pen.disc(58, 36, 3.4, INK, outline=False)
    pen.line(arc(40, 34, 60, 52, 25, 155), INK, 3)


def cap_of_hair(pen: Pen, colour: Colour) -> None:
    """Short hair: the upper part of the head."""
    pen.shape([*arc(26, 13, 74, 61, 195, 345), (62, 27), (50, 30), (38, 27)], colour)


@icon("boy")
def boy(pen: Pen, colour: Colour) -> None:
    body(pen, (44, 110, 214))
    face(pen)
    cap_of_hair(pen, (150, 90, 40))
    pen.shape([(44, 17), (50, 5), (57, 17)], (150, 90, 40))


@icon("girl")
def girl(pen: Pen, colour: Colour) -> None:
    hair = (232, 150, 40)
    for x in (17, 83):
        pen.oval(x - 11, 26, x + 11, 62, hair)
        pen.disc(x, 28, 6, (240, 70, 130))
    body(pen, (255, 130, 184))
    face(pen)
    cap_of_hair(pen, hair)


@icon("man")
def man(pen: Pen, colour: Colour) -> None:
    body(pen, (44, 150, 80))
    face(pen)
    cap_of_hair(pen, (34, 30, 36))
    pen.shape([(36, 43), (50, 40), (64, 43), (58, 49), (50, 46), (42, 49)], (34, 30, 36), outline=False)


@icon("woman")
def woman(pen: Pen, colour: Colour) -> None:
    pen.shape([*arc(20, 8, 80, 68, 180, 360), (84, 72), (16, 72)], (110, 36, 30))
    body(pen, (150, 70, 190))
    face(pen, (216, 158, 112))
    pen.shape([*arc(26, 13, 74, 61, 190, 350), (50, 24)], (110, 36, 30))


@icon("old man")
def old_man(pen: Pen, colour: Colour) -> None:
    body(pen, (120, 104, 92))
    face(pen)
    pen.shape([(27, 40), (40, 48), (50, 45), (60, 48), (73, 40), (66, 66), (50, 78), (34, 66)], GREY)
    for x in (24, 76):
        pen.disc(x, 30, 8, GREY)
    for x in (41, 59):
        pen.disc(x, 36, 7.5, WHITE)
        pen.disc(x, 36, 2.5, INK, outline=False)


@icon("king")
def king(pen: Pen, colour: Colour) -> None:
    body(pen, (190, 30, 60))
    pen.box(20, 84, 80, 95, WHITE)
    face(pen)
    pen.shape([(30, 46), (42, 50), (58, 50), (70, 46), (62, 64), (50, 70), (38, 64)], BROWN)
    pen.shape([(24, 26), (20, 3), (36, 13), (50, 1), (64, 13), (80, 3), (76, 26)], GOLD)
    pen.disc(50, 17, 4, (220, 40, 60), outline=False)


@icon("wizard")
def wizard(pen: Pen, colour: Colour) -> None:
    robe = (70, 60, 170)
    body(pen, robe)
    face(pen)
    pen.shape([(30, 46), (43, 51), (57, 51), (70, 46), (62, 72), (50, 92), (38, 72)], WHITE)
    pen.shape([(16, 30), (84, 30), (64, 22), (54, 1), (36, 22)], robe)
    for x, y in ((45, 22), (56, 15)):
        pen.disc(x, y, 3.4, GOLD, outline=False)


@icon("builder")
def builder(pen: Pen, colour: Colour) -> None:
    body(pen, (255, 140, 20))
    pen.box(28, 74, 72, 81, (240, 240, 110), outline=False)
    face(pen)
    pen.shape(arc(24, 5, 76, 57, 180, 360), (255, 205, 20))
    pen.box(18, 27, 82, 34, (255, 205, 20), corner=3)
    pen.box(45, 4, 55, 28, (240, 180, 10))


@icon("chef")
def chef(pen: Pen, colour: Colour) -> None:
    body(pen, WHITE)
    for y in (72, 84):
        pen.disc(50, y, 3, INK, outline=False)
    face(pen)
    pen.shape([(38, 60), (62, 60), (50, 68)], (220, 40, 40))
    for x, y in ((32, 13), (68, 13), (50, 10)):
        pen.disc(x, y, 13, WHITE)
    pen.box(31, 14, 69, 28, WHITE)
    pen.box(33, 12, 67, 20, WHITE, outline=False)


@icon("nurse")
def nurse(pen: Pen, colour: Colour) -> None:
    pen.shape([*arc(22, 10, 78, 66, 180, 360), (78, 56), (22, 56)], (60, 40, 34))
    body(pen, (120, 205, 225))
    face(pen, (160, 104, 70))
    pen.shape([(28, 26), (32, 6), (68, 6), (72, 26)], WHITE)
    pen.box(46, 8, 54, 24, (220, 30, 40), outline=False)
    pen.box(41, 12, 59, 20, (220, 30, 40), outline=False)
    pen.box(44, 76, 56, 88, WHITE, outline=False)


@icon("astronaut")
def astronaut(pen: Pen, colour: Colour) -> None:
    pen.box(14, 58, 86, 90, (150, 158, 170), corner=8)
    body(pen, WHITE)
    pen.box(38, 74, 62, 86, (70, 130, 220))
    pen.disc(50, 36, 31, WHITE)
    pen.box(26, 22, 74, 52, (40, 64, 110), corner=14)
    pen.line(arc(31, 27, 60, 50, 190, 260), (170, 210, 255), 4)


@icon("robot")
def robot(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 16), (50, 4)], INK, 4)
    pen.disc(50, 5, 5, (240, 60, 60))
    pen.box(20, 60, 80, 95, METAL, corner=4)
    pen.box(36, 70, 64, 86, (80, 190, 120))
    pen.box(24, 15, 76, 55, (150, 180, 200), corner=6)
    for x in (38, 62):
        pen.disc(x, 31, 7, (255, 240, 120))
        pen.disc(x, 31, 2.5, INK, outline=False)
    pen.box(36, 43, 64, 49, WHITE)
