"""Utility guard: a run stops where the model loses what it was good for before the training.

A floor is a share of what the model that a run starts from has on the same validation rows:

    utility/safe_recall      mean R@1 of safe text -> safe picture and back     floor: min_safe_recall
    utility/zero-shot/TASK   top1 of each task of `evaluation.zero_shot`         floor: min_zero_shot

So 0.9 keeps nine tenths, whatever the number of rows. Fresh towers know nothing: no floor asks much.
"""

from collections.abc import Mapping, Sequence

import torch

from hyperaware import distributed
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.evaluation.examples import Examples
from hyperaware.evaluation.zero_shot import prompted, tasks, zero_shot_of_rows
from hyperaware.metrics.retrieval import ranks, recall_at
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.gradients import embed_together
from hyperaware.training.settings import Settings

__all__ = ["Guard"]

RECALL = "utility/safe_recall"
ZERO_SHOT = "utility/"
"""Before the keys of `zero_shot_of_rows`."""

Utility = Mapping[str, float]


class Guard:
    """What a run may not lose. Without floors it measures nothing and never stops a run."""

    def __init__(self, settings: Settings, *, model: DualEncoder, validation: Examples) -> None:
        """Measure what the model can do before the method touches it, if there is a floor.

        Raises:
            ConfigError: a floor of zero-shot, and rows without boxes, which say what a picture shows.
        """
        self.shares = {RECALL: settings.min_safe_recall, ZERO_SHOT: settings.min_zero_shot}
        self.patience, self.rows = settings.guard_patience, validation.rows
        if settings.min_zero_shot is not None and not tasks(self.rows):
            raise ConfigError(
                "training.min_zero_shot needs validation rows with boxes, which say what a picture shows; "
                "these have none. Set training.min_safe_recall instead."
            )
        self.start = self.measure(model, embed_together(model, validation)) if self.is_on else {}
        self.floors = {name: self._share(name) * value for name, value in self.start.items()}

    @property
    def is_on(self) -> bool:
        """Whether there is a floor."""
        return any(share is not None for share in self.shares.values())

    def measure(self, model: DualEncoder, points: Quadruplet) -> dict[str, float]:
        """What has a floor, of the validation rows' points; the same on every process."""
        found: dict[str, float] = {}
        if self.shares[RECALL] is not None:
            found[RECALL] = _safe_recall(points, model)
        if self.shares[ZERO_SHOT] is not None:
            figures = zero_shot_of_rows(
                points.safe_image, self.rows, prompted(model, self.rows), space=model.space
            )
            found |= {
                ZERO_SHOT + name.removesuffix("/top1"): float(value)
                for name, value in figures.items()
                if name.endswith("/top1")
            }
        return distributed.from_main(found)

    def holds(self, utility: Utility) -> bool:
        """Whether every floor is kept."""
        return not self._below(utility)

    def reason(self, history: Sequence[Utility], *, is_last: bool) -> str | None:
        """Why the run must stop after these measurements: the last `guard_patience` of them broke a floor.

        After the last step one is enough: a run does not end with weights that break a floor.
        """
        last = history[-1 if is_last else -self.patience :]
        if len(last) < (1 if is_last else self.patience) or any(map(self.holds, last)):
            return None
        return f"utility fell below its floor: {'; '.join(self._below(last[-1]))}."

    def _below(self, utility: Utility) -> list[str]:
        return [
            f"{name.removeprefix('utility/')} is {utility[name]:.4f}, expected at least {floor:.4f} "
            f"({self._share(name):g} of the {self.start[name]:.4f} before training)"
            for name, floor in self.floors.items()
            if name in utility and not utility[name] >= floor
        ]

    def _share(self, name: str) -> float:
        share = self.shares[RECALL if name == RECALL else ZERO_SHOT]
        assert share is not None, "only what has a floor is measured"
        return share


def _safe_recall(points: Quadruplet, model: DualEncoder) -> float:
    targets = torch.arange(len(points.safe_text))
    both = ((points.safe_text, points.safe_image), (points.safe_image, points.safe_text))
    return sum(recall_at(ranks(query, item, targets, model.space.similarity), 1) for query, item in both) / 2
