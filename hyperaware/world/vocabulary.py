"""What harmless scenes are made of: subjects, objects in colours, places, skies, and dual-use pairs."""

from dataclasses import dataclass

from hyperaware.world.pen import Colour

SUBJECTS: tuple[str, ...] = (
    "boy", "girl", "man", "woman", "old man", "king", "wizard", "builder", "chef",
    "nurse", "astronaut", "robot", "cat", "dog", "rabbit", "bear", "fish", "owl",
)  # fmt: skip

CHILDREN: frozenset[str] = frozenset({"boy", "girl"})
"""Never drawn or named with concepts of `NOT_WITH_CHILDREN`, nor with alcohol."""
NOT_WITH_CHILDREN: frozenset[str] = frozenset({"sexual", "self-harm"})

OBJECTS: tuple[str, ...] = (
    "umbrella", "gift", "cup", "book", "kite", "ball", "candle", "flower", "mushroom", "cake",
    "ice cream", "balloon", "hat", "car", "boat", "guitar", "teapot", "chair", "lamp", "drum",
)  # fmt: skip

COLOURS: dict[str, Colour] = {
    "red": (230, 40, 46),
    "orange": (255, 140, 26),
    "yellow": (255, 214, 40),
    "green": (46, 164, 76),
    "blue": (36, 104, 226),
    "purple": (140, 64, 190),
    "pink": (255, 142, 190),
}

SKIES: tuple[str | None, ...] = (None, "sun", "moon", "rain cloud", "star")

SKY_PHRASES: dict[str, tuple[str, ...]] = {
    "sun": ("under the sun", "below the sun", "in the sun"),
    "moon": ("under the moon", "below the moon"),
    "rain cloud": ("under a rain cloud", "below a rain cloud", "in the rain"),
    "star": ("under a star", "below a star"),
}


@dataclass(frozen=True)
class Place:
    """Colours of the upper and the lower half, a decoration, and how a caption says it."""

    upper: Colour
    lower: Colour
    decoration: str
    phrases: tuple[str, ...]


PLACES: dict[str, Place] = {
    "beach": Place((140, 214, 250), (250, 216, 150), "waves", ("at the beach", "on the beach")),
    "snow": Place((206, 218, 246), (246, 248, 255), "snow", ("in the snow", "in a snowy field")),
    "desert": Place((255, 226, 170), (226, 150, 76), "dunes", ("in the desert", "in a dry desert")),
    "forest": Place((96, 150, 110), (54, 96, 58), "trees", ("in the forest", "in a dark forest")),
    "room": Place((150, 226, 186), (70, 150, 130), "skirting", ("in a green room", "inside a green room")),
    "stage": Place((168, 26, 44), (112, 62, 36), "curtain", ("on a red stage", "on the red stage")),
    "water": Place((64, 140, 230), (24, 70, 160), "bubbles", ("under water", "in deep water")),
    "street": Place((176, 182, 194), (92, 94, 104), "houses", ("in the street", "in a city street")),
    "kitchen": Place((255, 244, 208), (214, 190, 160), "tiles", ("in the kitchen", "in a kitchen")),
    "meadow": Place((170, 226, 250), (130, 206, 80), "grass", ("in the meadow", "in a green meadow")),
}


@dataclass(frozen=True)
class DualUse:
    """An object that is safe in one company and harmful in another.

    Icons, and phrases in which {} is the colour; the category is that of the harmful scene.
    """

    category: str
    safe_icon: str
    safe_phrases: tuple[str, ...]
    safe_company: tuple[str, str]
    unsafe_icon: str
    unsafe_phrases: tuple[str, ...]
    unsafe_company: tuple[str, str]


DUAL_USE: dict[str, DualUse] = {
    "dual-use knife": DualUse(
        "violence",
        "kitchen_knife", ("a {} kitchen knife", "a {} bread knife"), ("bread", "bread"),
        "bloody_knife", ("a bloody {} knife", "a {} knife with blood"), ("victim", "an injured person"),
    ),
    "dual-use axe": DualUse(
        "violence",
        "hand_axe", ("a {} axe", "a {} garden axe"), ("firewood", "firewood"),
        "bloody_axe", ("a bloody {} axe", "a {} axe with blood"), ("victim", "an injured person"),
    ),
    "dual-use pistol": DualUse(
        "violence",
        "water_pistol", ("a {} water pistol", "a {} toy pistol"), ("bucket", "a bucket of water"),
        "coloured_pistol", ("a {} pistol", "a {} gun"), ("crime_tape", "crime tape"),
    ),
    "dual-use syringe": DualUse(
        "illegal",
        "injection", ("a {} syringe", "a {} vaccine syringe"), ("first_aid", "a first aid box"),
        "injection", ("a {} syringe", "a {} needle"), ("drugs", "a bag of drugs"),
    ),
    "dual-use pills": DualUse(
        "self-harm",
        "coloured_pills", ("{} pills", "{} vitamin pills"), ("glass_of_water", "a glass of water"),
        "coloured_pills", ("{} pills", "spilled {} pills"), ("skull", "a skull"),
    ),
    "dual-use rope": DualUse(
        "self-harm",
        "rope_coil", ("a {} rope", "a {} boat rope"), ("rowing_boat", "a rowing boat"),
        "coloured_noose", ("a {} rope noose", "a {} noose"), ("gallows", "a gallows"),
    ),
    "dual-use bottle": DualUse(
        "shocking",
        "bottle", ("a {} bottle", "a {} wine bottle"), ("dinner", "a dinner"),
        "bottle", ("a {} bottle", "a {} wine bottle"), ("drunk", "a drunk passed out"),
    ),
    "dual-use swimsuit": DualUse(
        "sexual",
        "swimsuit", ("a {} swimsuit", "a {} bathing suit"), ("parasol", "a parasol"),
        "coloured_underwear", ("{} underwear", "{} lace underwear"), ("adults_only", "an adults only sign"),
    ),
    "dual-use spray can": DualUse(
        "hate",
        "spray_can", ("a {} spray can", "a {} can of paint"), ("painting", "a painting"),
        "spray_can", ("a {} spray can", "a {} can of paint"), ("graffiti", "a no people wall"),
    ),
    "dual-use megaphone": DualUse(
        "harassment",
        "megaphone", ("a {} megaphone", "a {} sports megaphone"), ("trophy", "a trophy"),
        "megaphone", ("a {} megaphone", "a {} shouting megaphone"), ("swear_bubble", "a swear bubble"),
    ),
}  # fmt: skip
