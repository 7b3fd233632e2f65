"""What some methods see beside the points of a batch. They ask for it by having one of these attributes:

* `needs_reference = True`: `terms` gets `reference`, the batch as the model saw it before training. It is a
  table of points and not a second model: made once, in eval mode and without gradients, before the method
  touches the model, so that nothing that happens in training can move it.
* `plan(reference) -> Plan`, with `needs_reference`: a decision about all training rows at once. `terms`
  also gets `targets`, the reference points of each row's target, and rows take part from their own first
  epoch on.
* `needs_boxes = True`: `terms` gets `boxes`, points of one named thing of each picture, by the model in
  training.

All of it follows from the model, the method and the data that a run starts with; a resumed run makes it
again.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.boxes import Boxes
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.plan import Plan
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.gradients import Source, embed_together

__all__ = ["Inputs"]


class Inputs:
    """Reference, plan and boxes of a run; each is None for a method that does not ask for it."""

    def __init__(self, method: Any, *, model: DualEncoder, train: Examples) -> None:
        """Make what the method asks for, on the model's device. `model` is as it was before training."""
        self.reference: Quadruplet | None = None
        self.plan: Plan | None = None
        self.boxes: Boxes | None = None
        if getattr(method, "needs_reference", False):
            self.reference = embed_together(model, train).map(lambda part: part.to(model.device))
            if hasattr(method, "plan"):
                plan = method.plan(self.reference)
                self.plan = Plan(targets=plan.targets.cpu(), first_epoch=plan.first_epoch.cpu())
        if getattr(method, "needs_boxes", False):
            self.boxes = Boxes(train.rows, model=model, cache=train.crops.cache, together=True)

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint must have in common with these, beyond model, method and data."""
        return {} if self.boxes is None else {"boxes": self.boxes.fingerprint}

    @property
    def first_epoch(self) -> Tensor | None:
        """The epoch in which each row is trained on for the first time; None: all of them from the start."""
        return None if self.plan is None else self.plan.first_epoch

    def of(self, rows: Tensor, *, points: Callable[[Source, Tensor], Quadruplet]) -> dict[str, Quadruplet]:
        """The further arguments of `terms` for these rows; `points` are made by the model in training."""
        inputs = {}
        if self.reference is not None:
            inputs["reference"] = self.reference.take(rows)
        if self.reference is not None and self.plan is not None:
            inputs["targets"] = self.reference.take(self.plan.targets[rows])
        if self.boxes is not None:
            inputs["boxes"] = points(self.boxes, rows)
        return inputs
