"""Categories of items: what computes them, and an index brought up to date with it without encoding anew."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, get_args

import torch
from torch import Tensor

from hyperaware.errors import SafetyError
from hyperaware.index.store import Item, Modality, Store, categories_problem

__all__ = ["CategoryScorer", "categorise", "categorised", "highest", "with_categories"]

PART = 256
"""Items at a time."""


class CategoryScorer(Protocol):
    """What computes calibrated probabilities by category."""

    @property
    def fingerprint(self) -> str:
        """Names the concepts and their calibration: another one, other probabilities."""

    @property
    def categories(self) -> Collection[str]:
        """The categories that have calibrated probabilities."""

    def __call__(self, points: Tensor, modality: Modality) -> Sequence[dict[str, float]]:
        """For each point of the model's space its probabilities. A category without one is left out."""


def categorised(scorer: CategoryScorer, points: Tensor, modality: Modality) -> list[dict[str, float]]:
    """The probabilities of points, (n, d), checked: one mapping for each, of numbers from 0 to 1.

    Raises:
        SafetyError: anything else. What is no probability must not be compared with a threshold.
    """
    found = list(scorer(points, modality))
    if len(found) != len(points):
        raise SafetyError(f"the concepts gave {len(found)} answers for {len(points)} {modality}s.")
    for categories in found:
        problem = categories_problem(categories)
        if problem is not None:
            raise SafetyError(f"the concepts gave what is no probability: {problem}.")
    return found


def highest(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The highest probability of each category over the windows of one text.

    A category that some window lacks is left out, as one that has no probability: its rules hit.

    >>> highest([{"hate": 0.1, "violence": 0.7}, {"hate": 0.4}])
    {'hate': 0.4}
    """
    first, *others = found
    return {name: max(each[name] for each in found) for name in first if all(name in each for each in others)}


def categorise(store: Store, scorer: CategoryScorer) -> int:
    """How many items got categories: all that have a vector and no categories by this scorer.

    The stored vectors are scored; nothing is encoded. A run that was killed is continued by running it again.
    """
    store.bind_concepts(scorer.fingerprint)
    done = 0
    for modality in get_args(Modality):
        missing = [
            id
            for id, content in store.contents(modality).items()
            if content.state != "failed" and not content.categorised
        ]
        for start in range(0, len(missing), PART):
            found = [store.get(id) for id in missing[start : start + PART]]
            items = with_categories([item for item in found if item is not None], scorer)
            done += store.record_categories(item for item in items if item.categories is not None)
    return done


def with_categories(items: Iterable[Item], scorer: CategoryScorer) -> list[Item]:
    """The items, those with a vector with the categories that it gets."""
    found = list(items)
    for modality in get_args(Modality):
        places = [n for n, item in enumerate(found) if item.vector is not None and item.modality == modality]
        if not places:
            continue
        vectors = [vector for n in places if (vector := found[n].vector) is not None]
        for n, categories in zip(places, categorised(scorer, torch.stack(vectors), modality), strict=True):
            found[n] = replace(found[n], categories=categories)
    return found
