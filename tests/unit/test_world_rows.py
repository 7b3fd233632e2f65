"""Rows of the world: deterministic, distinct, labelled as they are, and the held-out parts held out."""

import functools
import hashlib
import itertools
import math
from collections import Counter

import pytest

from hyperaware.errors import ConfigError
from hyperaware.world import CATEGORIES, SPLITS, Example, World, concepts
from hyperaware.world.concepts import TONE_WORDS
from hyperaware.world.rows import MIXED_SHARES
from hyperaware.world.splits import SHARES, compositions, walk
from hyperaware.world.vocabulary import CHILDREN, DUAL_USE, NOT_WITH_CHILDREN, PLACES

COUNT = 1000


@functools.cache
def rows(split: str, count: int = COUNT, **settings: float) -> tuple[Example, ...]:
    world = World(split, **settings)
    return tuple(world[index] for index in range(count))


def words(text: str) -> list[str]:
    return text.replace(",", "").split()


@pytest.mark.parametrize("split", SPLITS)
def test_two_worlds_give_the_same_rows_and_pixels(split: str) -> None:
    first, second = World(split, mixed=0.5), World(split, mixed=0.5)
    for index in range(20):
        one, two = first[index], second[index]
        assert one == two
        assert one.safe_image.tobytes() == two.safe_image.tobytes()
        assert one.unsafe_image.tobytes() == two.unsafe_image.tobytes()


def test_another_seed_gives_other_rows() -> None:
    same = sum(a.safe_text == b.safe_text for a, b in zip(rows("test"), rows("test", seed=1), strict=True))
    assert same < 5


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("pretrain", "21224c9fdf6ed25f"),
        ("train", "e7b7238f04e5f211"),
        ("test", "56deaf55be4f47a2"),
        ("test_dual_use", "2116cd6027c9c058"),
    ],
)
def test_captions_are_those_that_the_shipped_models_were_trained_on(split: str, expected: str) -> None:
    """A change here means: raise `rows.VERSION`, and train the shipped models again."""
    texts = "\n".join(f"{row.safe_text}|{row.unsafe_text}" for row in rows(split, 50))
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == expected


def test_no_composition_is_in_two_splits() -> None:
    for dual_use in (False, True):
        everything = [c for split in SPLITS for c in compositions(split, dual_use=dual_use)]
        assert len(everything) == len(set(everything)) > 50_000
        for split, share in SHARES.items():
            assert len(compositions(split, dual_use=dual_use)) / len(everything) == pytest.approx(
                share, abs=0.01
            )


@pytest.mark.parametrize("split", SPLITS)
def test_rows_belong_to_their_split_whatever_the_seed(split: str) -> None:
    assert {row.composition.split for row in rows(split, 100, seed=7)} == {split}


@pytest.mark.parametrize("split", SPLITS)
def test_the_first_rows_show_distinct_scenes(split: str) -> None:
    scenes = {row.composition for row in rows(split)}
    assert len(scenes) == COUNT <= World(split).distinct


def test_walks_of_two_seeds_go_through_the_same_compositions_in_another_order() -> None:
    one, two = walk("test", 0, dual_use=False), walk("test", 1, dual_use=False)
    assert one != two
    assert set(one) == set(two)


def test_the_twin_keeps_the_scene_and_has_one_concept() -> None:
    for row in rows("test"):
        icons = [thing.icon for thing, _ in row.unsafe_picture.things]
        assert row.composition.subject in icons
        assert row.composition.sky is None or row.composition.sky in icons
        assert row.safe_picture.place == row.unsafe_picture.place
        assert row.category in CATEGORIES
        if row.slice is None:
            assert row.concept in icons
            assert row.concept not in [thing.icon for thing, _ in row.safe_picture.things]


def test_a_concept_is_added_in_two_thirds_and_replaces_the_object_in_one() -> None:
    plain = [row for row in rows("train") if row.slice is None]
    replaced = sum(len(row.unsafe_picture.things) == len(row.safe_picture.things) for row in plain)
    assert replaced / len(plain) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("split", [split for split in SPLITS if split != "pretrain"])
def test_captions_name_everything_that_the_picture_shows(split: str) -> None:
    skies = {"sun": "sun", "moon": "moon", "star": "star", "rain cloud": "rain"}
    for row in rows(split):
        for text, picture in ((row.safe_text, row.safe_picture), (row.unsafe_text, row.unsafe_picture)):
            for thing, _ in picture.things:
                assert skies.get(thing.icon, thing.phrase) in text
            assert any(phrase in text for phrase in PLACES[picture.place].phrases)
            named = skies.keys() & {thing.icon for thing, _ in picture.things}
            assert len(named) == len(set(skies.values()) & set(words(text)))


def test_held_out_concepts_are_never_fine_tuned_on() -> None:
    held_out = {concept.name for concept in concepts(held_out=True)}
    seen = {split: {row.concept for row in rows(split) if row.slice is None} for split in SPLITS}
    assert seen["test_concepts"] == held_out
    assert seen["pretrain"] == {concept.name for concept in concepts()}
    for split in ("train", "calibration", "validation", "test", "test_style", "test_dual_use"):
        assert not seen[split] & held_out
        assert split == "test_dual_use" or seen[split] == {
            concept.name for concept in concepts(held_out=False)
        }


@pytest.mark.parametrize("split", SPLITS)
def test_words_of_tone_are_in_pretrain_only(split: str) -> None:
    texts = [text for row in rows(split) for text in (row.safe_text, row.unsafe_text)]
    share = sum(bool(TONE_WORDS & set(words(text))) for text in texts) / len(texts)
    assert share == (pytest.approx(0.45, abs=0.04) if split == "pretrain" else 0)


def test_tone_agrees_with_the_side() -> None:
    for row in rows("pretrain"):
        assert not {"unsafe", "harmful", "deadly", "gruesome"} & set(words(row.safe_text))
        assert not {"safe", "lovely", "peaceful", "friendly"} & set(words(row.unsafe_text))


def test_the_language_is_small_and_in_lower_case() -> None:
    seen: Counter[str] = Counter()
    for split in SPLITS:
        for row in rows(split):
            assert row.safe_text == row.safe_text.lower()
            assert row.unsafe_text == row.unsafe_text.lower()
            seen.update(words(row.safe_text) + words(row.unsafe_text))
    assert 150 < len(seen) < 350


def test_articles_agree_with_the_word_that_follows() -> None:
    for row in rows("pretrain"):
        for text in (row.safe_text, row.unsafe_text):
            spoken = words(text)
            for article, word in itertools.pairwise(spoken):
                if article in {"a", "an"}:
                    vowel = word[0] in "aeiou" or word in {"18", "xxx"}
                    assert (article == "an") == vowel, text


def test_mixed_rows_have_the_published_shares() -> None:
    found = Counter(
        (row.unsafe_text_is_unsafe, row.unsafe_image_is_unsafe) for row in rows("train", mixed=1.0)
    )
    for state, share in MIXED_SHARES.items():
        assert abs(found[state] / COUNT - share) < 4 * math.sqrt(share * (1 - share) / COUNT)


def test_nothing_is_mixed_by_default_and_half_mixes_half() -> None:
    assert all(row.unsafe_text_is_unsafe and row.unsafe_image_is_unsafe for row in rows("train"))
    whole = sum(row.unsafe_text_is_unsafe and row.unsafe_image_is_unsafe for row in rows("train", mixed=0.5))
    assert whole / COUNT == pytest.approx(0.5 + 0.5 * 0.523, abs=0.06)


def test_what_came_out_safe_is_a_harmless_variation() -> None:
    harmful = {concept.name for concept in concepts()}
    harmful |= {icon for pair in DUAL_USE.values() for icon in (pair.unsafe_company[0],)}
    phrases = {phrase for concept in concepts() for phrase in concept.phrases}
    checked = Counter[str]()
    for row in rows("train", mixed=1.0):
        icons = {thing.icon for thing, _ in row.unsafe_picture.things}
        assert bool(icons & harmful) == row.unsafe_image_is_unsafe
        if row.slice is None:
            assert any(phrase in row.unsafe_text for phrase in phrases) == row.unsafe_text_is_unsafe
        assert row.unsafe_picture != row.safe_picture
        assert row.unsafe_text != row.safe_text
        checked.update(row.labels.values())
    assert checked["safe"] > 2 * COUNT + 300


@pytest.mark.parametrize("split", SPLITS)
def test_share_of_dual_use(split: str) -> None:
    share = sum(row.slice == "dual-use" for row in rows(split)) / COUNT
    expected = {"test_concepts": 0, "test_dual_use": 1}.get(split)
    assert share == (pytest.approx(0.1, abs=0.03) if expected is None else expected)


def test_dual_use_rows_show_the_same_thing_in_other_company() -> None:
    found = rows("test_dual_use")
    assert {row.concept for row in found} == set(DUAL_USE)
    for row in found:
        safe, unsafe = row.safe_picture.things[-2:], row.unsafe_picture.things[-2:]
        assert safe[0][0].colour == unsafe[0][0].colour == row.composition.colour
        assert safe[1][0].phrase in row.safe_text
        assert unsafe[1][0].phrase in row.unsafe_text
        assert safe[1][0].icon != unsafe[1][0].icon


def test_children_are_never_shown_with_what_is_unfit_for_them() -> None:
    for split in SPLITS:
        for row in rows(split):
            if row.composition.subject in CHILDREN:
                assert row.category not in NOT_WITH_CHILDREN
                assert row.concept != "dual-use bottle"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "tests"}, "no split 'tests'.*Known: pretrain"),
        ({"split": "test", "mixed": 1.5}, "mixed is a share"),
        ({"split": "test", "size": 100}, "multiple of 6"),
        ({"split": "test", "style": "oil"}, "no style is called 'oil'.*sketch"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        World(**settings)


def test_rows_are_counted_from_zero() -> None:
    with pytest.raises(IndexError, match="no row -1"):
        World("test")[-1]
