"""The only training loop: a method's terms, AdamW, checkpoints, a log of everything that was watched."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from hyperaware import distributed
from hyperaware.data.folder import fingerprint
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import TrainingError
from hyperaware.evaluation.embed import joined
from hyperaware.evaluation.examples import Examples
from hyperaware.files import whole
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import save
from hyperaware.training.alone import alone
from hyperaware.training.checkpoint import read_checkpoint, read_state, refuse_other_run, write_checkpoint
from hyperaware.training.compute import set_up_towers
from hyperaware.training.frozen import with_known_features
from hyperaware.training.gradients import Gradients, embed_together
from hyperaware.training.guard import Guard
from hyperaware.training.inputs import Inputs
from hyperaware.training.monitor import MIN_RADIUS, radial_figures, scalars, validation_figures
from hyperaware.training.optimizer import adamw, learning_rate_factor
from hyperaware.training.settings import Settings
from hyperaware.training.tracking import Tracking

__all__ = ["Method", "Result", "fit"]

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
SAMPLE, TOGETHER = 512, 64
"""Rows whose features a method is prepared with, and how many of them go through the towers at once."""

Report = Callable[[dict[str, Any]], None]


class Method(Protocol):
    """What the loop asks of a method, a frozen dataclass; `hyperaware.methods` has them.

    `terms(points, *, space, logit_scale)` gets further keywords that a method asks for: see
    `training.inputs`.
    """

    name: str
    learning_rate: float
    scalar_learning_rate: float | None
    selection: tuple[tuple[str, str], ...]

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None: ...
    @property
    def terms(self) -> Callable[..., dict[str, Tensor]]: ...
    def weight(self, name: str) -> float: ...


@dataclass
class Result:
    """How a run ended."""

    step: int = 0
    best_step: int = 0
    best_recall_sum: float = float("-inf")
    waited: int = 0
    stopped_early: bool = False
    below_floor: str | None = None
    """Why the utility guard stopped the run; the run then ends with the best weights that kept the floors."""
    utility: list[dict[str, float]] = field(default_factory=list)
    """What the guard measured, each time."""
    best_figures: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    """Of the validation rows, by the weights that the run ends with."""


def fit(
    model: DualEncoder,
    method: Method,
    *,
    train: Examples,
    validation: Examples,
    settings: Settings,
    folder: Path,
    report: Report = lambda line: None,
    report_to: Sequence[str] = (),
) -> Result:
    """Train `model` in place and write it to `folder`, with checkpoint.safetensors and log.jsonl beside it.

    Run again on the same folder after an interruption of any kind, the run goes on from the last checkpoint,
    to the bit on the same machine. `report` receives every line of the log as it is written,
    and so do the trackers of `report_to` (`training.tracking`).

    Started by a launcher, several processes train one model: see `training.gradients`. All of them read
    `folder`; the main one writes and reports.

    Raises:
        TrainingError: a loss or gradient that is not finite, a checkpoint of another run, another run at work
            in the folder, or no weights that keep the floors of `training.guard`.
        ConfigError: a tracker that is not known or not installed, or a floor that cannot be measured.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    distributed.join()
    with alone(folder):
        return _Run(model, method, train, validation, settings, folder, report, report_to).finish()


class _Run:
    def __init__(
        self,
        model: DualEncoder,
        method: Method,
        train: Examples,
        validation: Examples,
        settings: Settings,
        folder: Path,
        report: Report,
        report_to: Sequence[str],
    ) -> None:
        self.model, self.method, self.settings = model, method, settings
        self.train, self.validation, self.folder, self.report = train, validation, folder, report
        # Precision is a setting of the loop, whatever a launcher was told: its fp16 would have a scaler here.
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
        model.to(self.accelerator.device)
        train.device = validation.device = model.device
        self.identity = self._identity()
        self._refuse_other_run()
        self.inputs = Inputs(method, model=model, train=train)
        self.identity |= self.inputs.identity
        self.guard = Guard(settings, model=model, validation=validation)
        self.tracking = Tracking(report_to, folder=folder, log=LOG, config=self.identity)
        self.min_radius: float = getattr(method, "min_radius", MIN_RADIUS)  # not every method has cones
        set_seed(settings.seed)
        method.prepare(model, features=self._sample())
        distributed.same([*model.parameters(), *model.buffers()])
        if distributed.processes() > 1:  # dropout is to drop other things of other rows
            set_seed(settings.seed, device_specific=True)
        set_up_towers(model, settings)
        narrow = settings.precision == "bf16"
        self.source = with_known_features(model, train, narrow=narrow)
        self.gradients = Gradients(model, chunk_size=settings.chunk_size, narrow=narrow)
        optimizer = adamw(
            model,
            settings,
            learning_rate=method.learning_rate,
            scalar_learning_rate=method.scalar_learning_rate,
        )
        self.optimizer = self.accelerator.prepare(optimizer)
        self.best: dict[str, Tensor] = {}
        self.result = Result()
        self.started = time.monotonic()

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must have in common with this run, as JSON gives it back."""
        identity = {f"training.{name}": value for name, value in asdict(self.settings).items()}
        identity |= vars(self.method) | {"method": self.method.name}
        identity |= {"model": self.model.fingerprint, "data": fingerprint(self.train.rows)}
        identity |= {"validation": fingerprint(self.validation.rows)}
        return json.loads(json.dumps(identity))

    def _refuse_other_run(self) -> None:
        """Now, and not only after tables of points have been made of all rows."""
        path = self.folder / CHECKPOINT
        if distributed.from_main(path.is_file()):
            before = read_state(path).get("run", {})
            refuse_other_run(path, {name: before.get(name) for name in self.identity}, self.identity)

    def _sample(self) -> Quadruplet:
        device, parts = self.model.device, []
        self.model.eval()
        with torch.no_grad():
            for few in torch.arange(min(SAMPLE, len(self.train))).split(TOGETHER):
                batch = self.train.batch(few)
                texts = self.model.features_of_tokens(batch.ids.to(device), batch.mask.to(device))
                images = self.model.features_of_pixels(batch.pixels.to(device))
                parts.append(batch.quadruplet(texts, images))
        return joined(parts)

    # -- the run -----------------------------------------------------------------------------------------

    def finish(self) -> Result:
        self._resume()
        with self.tracking:
            self._train()
        if self.result.below_floor is not None:
            self._require_weights(self.result.below_floor)
        if (self.settings.keep == "best" or self.result.below_floor is not None) and self.best:
            self.model.load_state_dict(self.best)
            self.result.figures = self.result.best_figures or self.result.figures
        self.model.eval()
        if distributed.is_main():
            save(self.model, self.folder)
        distributed.wait()
        return self.result

    def _train(self) -> None:
        while not self._has_ended:
            self._step()
            self.result.step += 1
            if self._is_due(self.settings.evaluate_every):
                self._evaluate()
            if self._is_due(self.settings.checkpoint_every or self.settings.evaluate_every):
                self._write_checkpoint()

    @property
    def _has_ended(self) -> bool:
        result = self.result
        return result.step >= self.settings.steps or result.stopped_early or result.below_floor is not None

    def _is_due(self, every: int) -> bool:
        return self.result.step % every == 0 or self._has_ended

    def _require_weights(self, reason: str) -> None:
        if not self.best:
            raise TrainingError(
                f"the run stopped after {self.result.step} steps: {reason} No measurement kept the floors, "
                "so there is no model. Lower the learning rate, measure more often, or lower the floor."
            )

    def _step(self) -> None:
        step = self.result.step
        factor = learning_rate_factor(step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["peak"]
        self.model.train()
        rows = self.train.indices_at_step(
            step,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            first_epoch=self.inputs.first_epoch,
        )
        points, space = self.gradients.points(self.source, rows), self.model.space
        inputs = self.inputs.of(rows, points=self.gradients.points)
        terms = self.method.terms(points, space=space, logit_scale=self.model.logit_scale, **inputs)
        loss = torch.stack([self.method.weight(name) * term for name, term in terms.items()]).sum()
        self._check(loss, terms)
        self.gradients.backward(loss)
        norm = self._clip()
        if step % self.settings.log_every == 0:  # before the update: every figure of a line is of one state
            line = {"step": step, "loss": loss.item(), "grad_norm": norm, "lr_factor": factor}
            line |= {f"term/{name}": term.item() for name, term in terms.items()}
            figures = radial_figures(points, space=space, min_radius=self.min_radius)
            self._log(line | scalars(self.model) | figures)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.constrain()

    def _clip(self) -> float:
        limit = self.settings.max_grad_norm
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), float("inf") if limit is None else limit
        )
        if distributed.any_process(~torch.isfinite(norm)):
            raise TrainingError(f"the gradient is not finite at step {self.result.step}. {self._state()}")
        return float(norm)

    def _check(self, loss: Tensor, terms: dict[str, Tensor]) -> None:
        if not distributed.any_process(~torch.isfinite(loss)):
            return
        bad = distributed.each([name for name, term in terms.items() if not torch.isfinite(term)])
        names = ", ".join(dict.fromkeys(chain(*bad)))
        raise TrainingError(f"the loss is not finite at step {self.result.step}: {names}. {self._state()}")

    def _state(self) -> str:
        shown = ", ".join(f"{name}={value:.4g}" for name, value in scalars(self.model).items())
        path = self.folder / CHECKPOINT
        left = f"the last good checkpoint is {path}" if path.is_file() else "there is no checkpoint yet"
        return f"State: {shown}. Lower the learning rate or start from a smaller norm; {left}."

    # -- measuring and remembering -----------------------------------------------------------------------

    def _evaluate(self) -> None:
        points = embed_together(self.model, self.validation)
        space = self.model.space
        figures = validation_figures(
            points, space=space, selection=self.method.selection, min_radius=self.min_radius
        )
        utility = self.guard.measure(self.model, points)
        figures = distributed.from_main(figures | utility)  # so that all processes decide the same
        result, keep, guard = self.result, self.settings.keep, self.guard
        is_first = guard.is_on and not self.best
        better = guard.holds(utility) and (is_first or figures["recall_sum"] > result.best_recall_sum)
        if better:
            result.best_recall_sum, result.best_step, result.waited = figures["recall_sum"], result.step, 0
            if keep == "best" or guard.is_on:
                result.best_figures = figures
                self.best = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        else:
            result.waited += 1
        if better or keep == "last":
            result.figures = figures
        result.stopped_early = self._is_out_of_patience()
        if guard.is_on:
            result.utility.append(utility)
        result.below_floor = self._below_floor()
        line = {"step": result.step, "split": "validation"} | figures | scalars(self.model)
        self._log(line if result.below_floor is None else line | {"stopped": result.below_floor})

    def _is_out_of_patience(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.result.waited >= patience

    def _below_floor(self) -> str | None:
        result = self.result
        return self.guard.reason(result.utility, is_last=result.step == self.settings.steps)

    def _log(self, line: dict[str, Any]) -> None:
        if not distributed.is_main():
            return
        line["seconds"] = round(time.monotonic() - self.started, 2)
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.tracking.log(line)
        self.report(line)

    def _write_checkpoint(self) -> None:
        write_checkpoint(
            self.folder / CHECKPOINT,
            model=self.model,
            optimizer=self.optimizer,
            best=self.best,
            state={"run": self.identity, "result": asdict(self.result)},
        )

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not distributed.from_main(path.is_file()):
            if distributed.is_main():
                (self.folder / LOG).unlink(missing_ok=True)
            return
        state = read_state(path)
        refuse_other_run(path, state.get("run", {}), self.identity)
        self.best = read_checkpoint(path, model=self.model, optimizer=self.optimizer)
        self.result = Result(**state["result"])
        self.result.stopped_early = self._is_out_of_patience()  # the patience may be another by now
        self.result.below_floor = self._below_floor()  # and so may the floors
        if distributed.is_main():
            self._cut_log()

    def _cut_log(self) -> None:
        """Drop lines after the checkpoint, whole or torn: those steps are done again."""
        log = self.folder / LOG
        lines = log.read_text().splitlines() if log.is_file() else []
        kept = [
            line for line in lines if line.endswith("}") and _is_before(json.loads(line), self.result.step)
        ]
        with whole(log) as partial:
            partial.write_text("".join(line + "\n" for line in kept))


def _is_before(line: dict[str, Any], step: int) -> bool:
    return line["step"] < step or ("split" in line and line["step"] == step)
