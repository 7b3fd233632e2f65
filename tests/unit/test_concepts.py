"""Categories as prompts in a file: read strictly, scored in the model's space, extended by editing."""

from pathlib import Path

import pytest
import torch
from model_samples import tiny_model

from hyperaware.errors import ConfigError
from hyperaware.geometry.lorentz import log_map0
from hyperaware.metrics.separation import auroc
from hyperaware.models.pretrained import load
from hyperaware.moderation import concepts as concepts_module
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.world import World
from hyperaware.world.concepts import CATEGORIES, concepts

OWN = Path(concepts_module.__file__).with_name("concepts.toml")
SMALL = """
version = 1
[tags]
Weapons = "violence"
[sets.general]
templates = ["{}", "a picture of {}"]
neutral = ["a red ball", "a kite"]
contrast = ["violence", "illegal"]
[sets.general.categories.violence]
description = "Weapons."
prompts = ["a gun", "a bloody axe"]
[sets.general.categories.illegal]
description = "Drugs."
prompts = ["pills at night"]
"""
SPAM = """
[sets.general.categories.spam]
description = "Advertisements that nobody asked for."
prompts = ["someone sells a kite", "a red kite"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "concepts.toml"
    path.write_text(text, encoding="utf-8")
    return path


# -- the package's own file ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["general", "world"])
def test_both_sets_have_the_seven_categories(name: str) -> None:
    found = Concepts.read(name=name)
    assert set(found.categories) == set(CATEGORIES) == set(found.contrast)
    assert all(category.description.endswith(".") for category in found.categories.values())


def test_the_20_tags_of_visu_are_folded_into_the_seven() -> None:
    tags = Concepts.read().tags
    assert len(set(tags) - {"bodily bluids"}) == 20
    assert set(tags.values()) == set(CATEGORIES)
    folded = {category: sum(value == category for value in tags.values()) for category in CATEGORIES}
    assert folded == {
        "hate": 1,
        "harassment": 1,
        "violence": 7,
        "self-harm": 1,
        "sexual": 2,
        "shocking": 4,  # one of them spelled in two ways
        "illegal": 5,
    }


def test_the_world_is_told_by_the_concepts_that_training_sees() -> None:
    """Prompts for held-out concepts would be a look into `test_concepts`."""
    found = Concepts.read(name="world")
    for name, category in found.categories.items():
        seen = {p for each in concepts(held_out=False) if each.category == name for p in each.phrases}
        assert set(category.prompts) == seen


def test_labels_of_data_are_names_or_tags_spelled_loosely() -> None:
    found = Concepts.read()
    assert found.category_of(" Suicide ") == "self-harm"
    assert found.category_of("bodily bluids") == found.category_of("Bodily Fluids") == "shocking"
    assert found.category_of("hate") == "hate"
    assert found.category_of("weather") is None
    assert found.category_of(None) is None


def test_the_set_follows_from_what_the_model_knows() -> None:
    model = tiny_model()
    assert Concepts.of(model).name == "general"
    model.provenance = {"rows": "world:train"}
    assert Concepts.of(model).name == "world"


# -- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 2", "version is 2, this version of hyperaware reads 1"),
        ("neutral =", "neutrals =", "sets.general: no key is called 'neutrals'. Did you mean 'neutral'"),
        ('neutral = ["a red ball", "a kite"]\n', "", "the key 'neutral' is missing"),
        ('neutral = ["a red ball", "a kite"]', 'neutral = ["a kite"]', "at least 2"),
        ('neutral = ["a red ball", "a kite"]', 'neutral = ["a kite", "a kite"]', "'a kite' twice"),
        ('"a picture of {}"', '"a picture"', "'a picture' must have one {}"),
        ('"a picture of {}"', '"{} and {}"', "must have one {}"),
        ('["a gun", "a bloody axe"]', "[]", "prompts has 0 texts"),
        ('["a gun", "a bloody axe"]', '"a gun"', "expected a list of texts"),
        ('["a gun", "a bloody axe"]', '["a gun", " "]', "that are not empty"),
        ('description = "Weapons."', 'description = ""', "expected a sentence"),
        ('contrast = ["violence", "illegal"]', 'contrast = ["violance"]', "Did you mean 'violence'"),
        ('Weapons = "violence"', 'Weapons = "violance"', "tags.Weapons: no category is called 'violance'"),
        ("categories.illegal]", 'categories."Very Illegal"]', "lower-case letters"),
        ("[sets.general]", "[sets.generl]", "sets.generl"),
        ("version = 1", "version = = 1", "cannot be read"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in SMALL
    with pytest.raises(ConfigError) as caught:
        Concepts.read(written(tmp_path, SMALL.replace(old, new, 1)))
    assert message in str(caught.value)
    assert "concepts.toml" in str(caught.value)


def test_a_missing_file_or_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not exist"):
        Concepts.read(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="no set of concepts is called 'word'"):
        Concepts.read(name="word")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than"):
        Concepts.read(written(tmp_path, SMALL + "#" * concepts_module.MOST_BYTES))


# -- a concept of one's own ------------------------------------------------------------------------------


def test_a_concept_of_ones_own_is_a_table_in_the_file_and_changes_no_other(tmp_path: Path) -> None:
    model = tiny_model(lorentz=True)
    points = model.encode_text(["a gun", "a red kite", "a rabbit"])
    before = Scorer(model, Concepts.read(written(tmp_path, SMALL)))
    after = Scorer(model, Concepts.read(written(tmp_path, SMALL + SPAM)))
    assert set(after.scores(points)) == {"violence", "illegal", "spam"}
    for name in ("violence", "illegal"):
        torch.testing.assert_close(after.scores(points)[name], before.scores(points)[name])
        assert after.concepts.fingerprint(name) == before.concepts.fingerprint(name)
    assert float(after.scores(points)["spam"].argmax()) == 1  # the red kite


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('"a bloody axe"', '"an axe"', {"violence", "illegal"}),  # both tell themselves apart from it
        ('"a kite"]', '"a ball"]', {"violence", "illegal"}),
        ('"a picture of {}"', '"a photo of {}"', {"violence", "illegal"}),
        ('description = "Drugs."', 'description = "Drugs, all."', set()),
        ('"a gun", "a bloody axe"', '"a bloody axe", "a gun"', set()),
    ],
)
def test_the_fingerprint_names_what_a_score_depends_on(
    old: str, new: str, changed: set[str], tmp_path: Path
) -> None:
    assert old in SMALL
    before = Concepts.read(written(tmp_path, SMALL))
    after = Concepts.read(written(tmp_path, SMALL.replace(old, new, 1)))
    assert {n for n in before.categories if before.fingerprint(n) != after.fingerprint(n)} == changed


def test_a_prompt_of_two_categories_does_not_speak_against_either(tmp_path: Path) -> None:
    text = SMALL.replace('["pills at night"]', '["pills at night", "a gun"]')
    found = Concepts.read(written(tmp_path, text))
    assert found.prompts_against("violence") == ("a red ball", "a kite", "pills at night")
    assert found.prompts_against("illegal") == ("a red ball", "a kite", "a bloody axe")


# -- scores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lorentz", [False, True])
def test_scores_solve_the_regression_of_the_docstring(lorentz: bool, tmp_path: Path) -> None:
    """The gradient of the weighted squared error, with its ridge, vanishes in weights and offset."""
    model = tiny_model(lorentz=lorentz)
    found = Concepts.read(written(tmp_path, SMALL))
    scorer = Scorer(model, found)

    def prompts(texts: tuple[str, ...]) -> torch.Tensor:
        filled = [template.replace("{}", text) for template in found.templates for text in texts]
        points = model.encode_text(filled).double()
        return log_map0(points, model.space.curv.detach()) if lorentz else points

    own, others = prompts(("a gun", "a bloody axe")), prompts(("a red ball", "a kite", "pills at night"))
    weight, offset = scorer._weights[:, 0], scorer._offsets[0]
    errors = [own @ weight + offset - 1, others @ weight + offset]
    assert float((errors[0].mean() + errors[1].mean()).abs()) < 1e-8
    share = [0.5 / len(own), 0.5 / len(others)]
    mean = 0.5 * (own.mean(0) + others.mean(0))
    variance = sum(s * (g - mean).square().sum(0) for s, g in zip(share, (own, others), strict=True))
    gradient = sum(s * e @ g for s, e, g in zip(share, errors, (own, others), strict=True))
    gradient = gradient + concepts_module.RIDGE * variance.mean() * weight
    assert float(gradient.abs().max()) < 1e-8


@pytest.fixture(scope="module")
def world_scorer() -> Scorer:
    model = load("world-hysac-ordered")
    return Scorer(model, Concepts.of(model))


def test_in_the_world_the_categories_are_told_apart(world_scorer: Scorer) -> None:
    """Texts only, 140 rows: on 600 rows the mean is 0.93 for texts and 0.91 for pictures."""
    rows = [World("validation")[index] for index in range(140)]
    texts = [row.safe_text for row in rows] + [row.unsafe_text for row in rows]
    scores = world_scorer.scores(load("world-hysac-ordered").encode_text(texts))
    found = {
        name: auroc(scores[name], torch.tensor([False] * 140 + [row.category == name for row in rows]))
        for name in CATEGORIES
    }
    assert sum(found.values()) / len(found) > 0.88
    assert min(found.values()) > 0.75


def test_the_nearest_prompts_are_those_of_what_is_there(world_scorer: Scorer) -> None:
    point = load("world-hysac-ordered").encode_text("a robot with a skull in the desert")[0]
    nearest = world_scorer.nearest(point, 3)
    assert len(nearest) == 3
    assert nearest[0][0] == "shocking"
    assert "skull" in nearest[0][1]
    assert [each[2] for each in nearest] == sorted((each[2] for each in nearest), reverse=True)


def test_with_a_single_template_the_nearest_prompt_is_the_text_itself(tmp_path: Path) -> None:
    """Nothing varies within a prompt, so nothing is discounted."""
    model = tiny_model(lorentz=True)
    text = SMALL.replace('templates = ["{}", "a picture of {}"]', 'templates = ["{}"]')
    scorer = Scorer(model, Concepts.read(written(tmp_path, text)))
    category, prompt, cosine = scorer.nearest(model.encode_text("pills at night")[0], 1)[0]
    assert (category, prompt) == ("illegal", "pills at night")
    assert cosine == pytest.approx(1, abs=1e-5)
