"""Zero-shot classification: which classes there are, what is shown, and how prompts become points."""

from dataclasses import replace

import pytest
import torch
from model_samples import tiny_model
from point_samples import row

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError
from hyperaware.evaluation import zero_shot as module
from hyperaware.evaluation.zero_shot import ClassPoints, class_points, prompted, tasks, truths, zero_shot
from hyperaware.geometry.space import Sphere
from hyperaware.world import World
from hyperaware.world.vocabulary import SUBJECTS


def shows(*phrases: str) -> Row:
    return row("shows", safe_boxes=tuple(Box(phrase, 0, 0, 1, 1) for phrase in phrases))


PHOTOGRAPHS = [shows("a bus", "a tree"), shows("a tree"), shows()]


def test_things_are_the_phrases_of_the_boxes() -> None:
    assert tasks(PHOTOGRAPHS) == {"things": ("a bus", "a tree")}
    assert tasks([shows()]) == {}
    assert truths(PHOTOGRAPHS, ("a bus", "a tree")).tolist() == [[True, True], [False, True], [False, False]]


def test_subjects_are_a_task_where_every_picture_has_one() -> None:
    found = tasks([shows("a king", "a red hat"), shows("an owl")])
    assert found["subject"][5] == "a king"
    assert len(found["subject"]) == len(SUBJECTS)
    assert found["things"] == ("a king", "a red hat", "an owl")
    assert set(tasks([shows("a king"), shows("a red hat")])) == {"things"}
    assert set(tasks([shows("a king", "an owl")])) == {"things"}


def test_every_row_of_the_world_has_one_subject() -> None:
    world = World("test")
    rows = [shows(*(box[0] for box in world[index].boxes["safe"])) for index in range(12)]
    assert set(tasks(rows)) == {"subject", "things"}
    assert truths(rows, tasks(rows)["subject"]).sum(dim=1).tolist() == [1] * 12


def test_by_hand() -> None:
    """The first picture finds class 0, which it does not show; the second class 1, one of two that it shows;
    the third class 2. A guess is right for 1, 2 and 1 of 3 classes."""
    classes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    images = torch.tensor([[0.8, 0.6], [0.6, 0.8], [-1.0, 0.0]])
    shown = torch.tensor([[False, True, False], [True, True, False], [False, False, True]])
    figures = zero_shot(images, classes, shown, space=Sphere())
    assert figures == pytest.approx({"top1": 2 / 3, "chance": 4 / 9})


def test_a_picture_that_cannot_be_right_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 pictures show none of the classes"):
        zero_shot(torch.eye(2), torch.eye(2), torch.tensor([[True, False], [False, False]]), space=Sphere())
    with pytest.raises(DataError, match="0 of 0 pictures"):
        zero_shot(torch.empty(0, 2), torch.eye(2), torch.empty(0, 2, dtype=torch.bool), space=Sphere())


def test_pictures_that_show_no_class_take_no_part() -> None:
    classes = {"things": ClassPoints(("a bus", "a tree"), torch.eye(2))}
    images = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    empty_first = [PHOTOGRAPHS[2], *PHOTOGRAPHS[:2]]
    figures = module.zero_shot_of_rows(images, empty_first, classes, space=Sphere())
    assert figures == {
        "zero-shot/things/top1": 1.0,
        "zero-shot/things/chance": 3 / 4,
        "count/zero-shot/things": 2,
    }
    nothing = [replace(each, safe_boxes=()) for each in PHOTOGRAPHS]
    assert module.zero_shot_of_rows(images, nothing, classes, space=Sphere()) == {}


def test_on_the_sphere_points_are_means_of_points() -> None:
    """As CLIP: each prompt's feature is normalised before the mean, so that a long one has no more weight."""
    model = tiny_model()
    found = class_points(model, ["a rabbit", "a gun"], ["{}", "{} in the snow"])
    for place, name in enumerate(("a rabbit", "a gun")):
        mean = model.encode_text([name, f"{name} in the snow"]).mean(dim=0)
        torch.testing.assert_close(found[place], mean / mean.norm())


def test_with_a_root_the_mean_feature_is_lifted() -> None:
    """As MERU: the mean comes first, then the scale of the modality; both make the root distance."""
    model = tiny_model(lorentz=True)
    (found,) = class_points(model, ["a rabbit"], ["{}", "{} in the snow"])
    with torch.no_grad():
        mean = model.features_of_tokens(*model.tokenizer(["a rabbit", "a rabbit in the snow"])).mean(dim=0)
        expected = model.space.lift(model.log_alpha_text.exp() * mean)
        torch.testing.assert_close(found, expected)
        assert model.space.root_distance(found).item() == pytest.approx(0.3 * mean.norm().item(), rel=1e-5)


def test_class_points_leave_the_model_in_the_mode_it_was_in() -> None:
    model = tiny_model().train()
    first = class_points(model, ["a rabbit"])
    assert model.training
    torch.testing.assert_close(first, class_points(model.eval(), ["a rabbit"]))


def test_every_task_of_the_rows_is_prompted() -> None:
    model = tiny_model()
    found = prompted(model, PHOTOGRAPHS)
    assert found["things"].classes == ("a bus", "a tree")
    torch.testing.assert_close(found["things"].points, class_points(model, ["a bus", "a tree"]))
    assert prompted(model, [shows()]) == {}


def test_the_templates_are_in_words_of_the_world_s_captions() -> None:
    world = World("train")
    known = {word.strip(",") for index in range(200) for word in world[index].safe_text.split()}
    assert {word for template in module.TEMPLATES for word in template.split()} - {"{}"} <= known
