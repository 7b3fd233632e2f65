"""Icons are drawn, differ from each other where the models look, and stand where the boxes say."""

import numpy as np
import pytest
from PIL import Image

from hyperaware.world import World, concepts
from hyperaware.world.background import TINTS, background
from hyperaware.world.pen import ICONS, STYLES, sprite
from hyperaware.world.scene import CELLS
from hyperaware.world.vocabulary import COLOURS, DUAL_USE, OBJECTS, PLACES, SKIES, SUBJECTS

RED = COLOURS["red"]
MODEL_SIDE = 24  # 3 cells in a picture of 48 px


def seen(name: str, style: str = "standard") -> np.ndarray:
    """The icon on grey, as a model sees it."""
    canvas = Image.new("RGB", (MODEL_SIDE, MODEL_SIDE), (128, 128, 128))
    drawn = sprite(name, RED, MODEL_SIDE, style)
    canvas.paste(drawn, (0, 0), drawn)
    return np.asarray(canvas, dtype=float)


def test_every_word_has_an_icon_and_every_icon_a_word() -> None:
    used = {*SUBJECTS, *OBJECTS, *(sky for sky in SKIES if sky), *(concept.name for concept in concepts())}
    for pair in DUAL_USE.values():
        used |= {pair.safe_icon, pair.unsafe_icon, pair.safe_company[0], pair.unsafe_company[0]}
    assert used == set(ICONS)


def test_the_world_is_as_large_as_promised() -> None:
    assert len(SUBJECTS) >= 17
    assert len(OBJECTS) >= 18
    assert len(COLOURS) >= 6
    assert len(PLACES) >= 10
    assert len(SKIES) == 5
    assert len(concepts()) >= 28
    for category in {concept.category for concept in concepts()}:
        assert sum(concept.category == category for concept in concepts()) >= 4
        assert sum(concept.category == category for concept in concepts(held_out=True)) == 1


@pytest.mark.parametrize("style", STYLES)
def test_every_icon_covers_a_good_part_of_its_square(style: str) -> None:
    for name in ICONS:
        opaque = np.asarray(sprite(name, RED, 48, style).getchannel("A")) > 128
        assert 0.1 < opaque.mean() <= 1, name


def test_harmful_concepts_look_unlike_each_other_and_unlike_harmless_things() -> None:
    """Mean absolute difference of two icons, 0 to 255, at the size that the models see."""
    harmful = {concept.name: seen(concept.name) for concept in concepts()}
    harmless = {name: seen(name) for name in (*SUBJECTS, *OBJECTS)}
    for name, picture in harmful.items():
        for other, drawn in (harmful | harmless).items():
            if other != name:
                assert np.abs(picture - drawn).mean() > 20, (name, other)


def test_objects_show_their_colour() -> None:
    for name in OBJECTS:
        pictures = {sprite(name, colour, 48, "standard").tobytes() for colour in COLOURS.values()}
        assert len(pictures) == len(COLOURS), name


def test_styles_and_tints_differ() -> None:
    assert len({seen("boy", style).tobytes() for style in STYLES}) == len(STYLES)
    for place in PLACES:
        tints = {background(place, tint, 48, "standard").tobytes() for tint in range(TINTS)}
        assert len(tints) == TINTS, place


def test_places_differ() -> None:
    pictures = {place: np.asarray(background(place, 0, 48, "standard"), dtype=float) for place in PLACES}
    for place, picture in pictures.items():
        for other, drawn in pictures.items():
            assert place == other or np.abs(picture - drawn).mean() > 10, (place, other)


@pytest.mark.parametrize("size", [48, 96, 192])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    row = World("test", size=size)[0]
    assert row.safe_image.size == row.unsafe_image.size == (size, size)
    assert row.safe_image.mode == "RGB"
    assert row.safe_image.tobytes() != row.unsafe_image.tobytes()


@pytest.mark.parametrize("split", ["train", "test_dual_use"])
def test_icons_snap_to_the_grid_and_do_not_overlap(split: str) -> None:
    for index in range(300):
        for boxes in World(split)[index].boxes.values():
            taken = np.zeros((CELLS, CELLS), dtype=int)
            for _, *corners in boxes:
                assert not any(corner % 16 for corner in corners)
                x0, y0, x1, y1 = (corner // 16 for corner in corners)
                taken[y0:y1, x0:x1] += 1
            assert taken.max() == 1


def test_in_the_style_split_icons_stand_anywhere_in_several_sizes_and_styles() -> None:
    rows = [World("test_style")[index] for index in range(100)]
    boxes = [box for row in rows for found in row.boxes.values() for box in found]
    assert any(x0 % 16 for _, x0, _, _, _ in boxes)
    assert len({x1 - x0 for _, x0, _, x1, _ in boxes}) > 5
    assert all(0 <= low < high <= 96 for _, x0, y0, x1, y1 in boxes for low, high in ((x0, x1), (y0, y1)))
    assert {row.safe_picture.style for row in rows} == set(STYLES) - {"standard"}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_can_be_forced(style: str) -> None:
    assert World("test", style=style)[0].safe_picture.style == style
    assert World("test_style", style=style)[0].safe_picture.style == style


def test_a_box_holds_its_icon() -> None:
    """Drawn without one icon, the picture changes inside that icon's box only."""
    picture = World("test")[1].unsafe_picture
    whole = np.asarray(picture.draw(96), dtype=int)
    for k, (_, x0, y0, x1, y1) in enumerate(picture.boxes(96)):
        things = picture.things[:k] + picture.things[k + 1 :]
        without = type(picture)(place=picture.place, tint=picture.tint, style=picture.style, things=things)
        changed = np.abs(whole - np.asarray(without.draw(96), dtype=int)).sum(axis=2) > 0
        assert changed[y0:y1, x0:x1].mean() > 0.1
        changed[y0:y1, x0:x1] = False
        assert not changed.any()
