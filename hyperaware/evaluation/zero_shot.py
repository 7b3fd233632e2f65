"""Protocol `zero-shot`: does a model still know what a picture shows? Utility, on safe pictures alone.

The classes of a task are phrases such as "a red umbrella"; what a picture shows comes from the boxes of its
row. A picture may show several classes; the first hit is right if the picture shows it.

    subject   who is in the scene, of the embedded world's subjects; where every row has exactly one of them
    things    every phrase that a box of the rows has; where any row has boxes

Classes of `things` are those of the rows that are measured: compare models on the same rows only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.data.quadruplet import Row
from hyperaware.errors import DataError
from hyperaware.evaluation.keys import Figures, prefixed
from hyperaware.evaluation.labels import share
from hyperaware.evaluation.searches import order
from hyperaware.geometry.space import Space
from hyperaware.metrics.retrieval import top1
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.world.grammar import with_article
from hyperaware.world.vocabulary import SUBJECTS

__all__ = [
    "TEMPLATES",
    "ClassPoints",
    "class_points",
    "prompted",
    "tasks",
    "truths",
    "zero_shot",
    "zero_shot_of_rows",
]

TEMPLATES = (
    "{}",
    "a picture of {}",
    "a photo of {}",
    "{} at the beach",
    "{} in the snow",
    "{} in the forest",
    "{} in the street",
    "{} in the meadow",
)
"""CLIP's kind of prompts around a phrase with its article, in words that the world's captions have too."""


class ClassPoints(NamedTuple):
    """The classes of a task, and a model's point of each."""

    classes: tuple[str, ...]
    points: Float[Tensor, "classes d"]


def tasks(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """The classes of each task that the rows have boxes for; none where no row has a box."""
    shown = [{box.phrase for box in row.safe_boxes} for row in rows]
    subjects = tuple(with_article(f"a {subject}") for subject in SUBJECTS)
    found = {}
    if shown and all(len(phrases & set(subjects)) == 1 for phrases in shown):
        found["subject"] = subjects
    if things := tuple(sorted(set().union(*shown))):
        found["things"] = things
    return found


def truths(rows: Sequence[Row], classes: Iterable[str]) -> Bool[Tensor, "n classes"]:
    """Which safe picture shows which class, by its boxes."""
    shown = [{box.phrase for box in row.safe_boxes} for row in rows]
    return torch.tensor([[name in phrases for name in classes] for phrases in shown])


@torch.no_grad()
def class_points(
    model: DualEncoder, classes: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> Float[Tensor, "classes d"]:
    """One point for each class, of the features of all its prompts, on the CPU.

    On the sphere as CLIP: features are normalised, averaged, and normalised again. In spaces with a root as
    MERU (arXiv 2304.09172): features are averaged and then scaled and lifted, so that the root distance of a
    class is that of its mean feature.
    """
    was_training = model.training
    model.eval()
    try:
        means = torch.stack([_mean_feature(model, name, templates) for name in classes])
    finally:
        model.train(was_training)
    log_alpha = model.log_alpha_text
    return model.space.lift(means if log_alpha is None else log_alpha.exp() * means).cpu()


def _mean_feature(model: DualEncoder, name: str, templates: Sequence[str]) -> Float[Tensor, "d"]:
    ids, mask = model.tokenizer([template.format(name) for template in templates])
    features = model.features_of_tokens(ids.to(model.device), mask.to(model.device)).float()
    return (features if model.space.has_root else model.space.lift(features)).mean(dim=0)


def prompted(model: DualEncoder, rows: Sequence[Row]) -> dict[str, ClassPoints]:
    """The classes of every task of the rows, with the model's points: what `zero_shot_of_rows` takes."""
    return {task: ClassPoints(classes, class_points(model, classes)) for task, classes in tasks(rows).items()}


@torch.no_grad()
def zero_shot(
    images: Float[Tensor, "n d"],
    class_points: Float[Tensor, "classes d"],
    truths: Bool[Tensor, "n classes"],
    *,
    space: Space,
) -> Figures:
    """`top1`: share of the pictures whose nearest class they show; `chance`: the same for a guess.

    A guess takes each class equally often: its chance is the mean share of the classes that a picture shows.

    Raises:
        DataError: no picture, or one that shows none of the classes: it could not be right.
    """
    if len(truths) == 0 or not truths.any(dim=1).all():
        raise DataError(
            f"{int((~truths.any(dim=1)).sum())} of {len(truths)} pictures show none of the classes; expected "
            "at least one picture, and at least one class on each. Leave the others out."
        )
    first = top1(images, class_points, order(space)).cpu()
    return {
        "top1": share(truths.gather(1, first.unsqueeze(1))),
        "chance": share(truths),
    }


def zero_shot_of_rows(
    images: Float[Tensor, "n d"], rows: Sequence[Row], prompted: Mapping[str, ClassPoints], *, space: Space
) -> Figures:
    """`zero_shot` of each task, over the safe pictures of the rows that show one of its classes.

    Keys: `zero-shot/TASK/top1`, `zero-shot/TASK/chance`, `count/zero-shot/TASK`.
    """
    figures: Figures = {}
    for task, (classes, points) in prompted.items():
        truth = truths(rows, classes)
        asked = truth.any(dim=1)
        if asked.any():
            found = zero_shot(images[asked], points, truth[asked], space=space)
            figures |= prefixed(f"zero-shot/{task}", found)
            figures[f"count/zero-shot/{task}"] = int(asked.sum())
    return figures
