"""The only training loop: a method's terms, AdamW, checkpoints, a log of everything that was watched."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from hyperaware.data.folder import fingerprint
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError, TrainingError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Batch, Examples
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import save
from hyperaware.training.checkpoint import read_checkpoint, read_state, write_checkpoint
from hyperaware.training.inputs import Inputs
from hyperaware.training.monitor import MIN_RADIUS, radial_figures, scalars, validation_figures
from hyperaware.training.optimizer import adamw, learning_rate_factor
from hyperaware.training.settings import Settings

__all__ = ["Method", "Result", "fit"]

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
SAMPLE = 512
FREE_TO_CHANGE = ("steps", "patience", "log_every")
"""Settings that a resumed run may have changed; any other makes it another run."""

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
) -> Result:
    """Train `model` in place and write it to `folder`, with checkpoint.safetensors and log.jsonl beside it.

    A checkpoint follows each measurement on the validation rows. Run again on the same folder after an
    interruption of any kind, the run goes on from the last one, to the bit on the same machine. `report`
    receives every line of the log as it is written.

    Raises:
        TrainingError: a loss or gradient that is not finite, or a checkpoint of another run.
        ConfigError: more than one process.
    """
    return _Run(model, method, train, validation, settings, Path(folder), report).finish()


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
    ) -> None:
        self.model, self.method, self.settings = model, method, settings
        self.train, self.validation, self.folder, self.report = train, validation, folder, report
        folder.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        if self.accelerator.num_processes > 1:  # each would train a copy of its own, on the same rows
            raise ConfigError("training runs in one process; start it without `accelerate launch`.")
        model.to(self.accelerator.device)
        self.inputs = Inputs(method, model=model, train=train)
        self.identity = self._identity()
        self.min_radius: float = getattr(method, "min_radius", MIN_RADIUS)  # not every method has cones
        set_seed(settings.seed)
        method.prepare(model, features=self._sample())
        optimizer = adamw(
            model,
            settings,
            learning_rate=method.learning_rate,
            scalar_learning_rate=method.scalar_learning_rate,
        )
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.best: dict[str, Tensor] = {}
        self.result = Result()
        self.started = time.monotonic()

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must have in common with this run, as JSON gives it back."""
        identity = {f"training.{name}": value for name, value in asdict(self.settings).items()}
        identity |= vars(self.method) | {"method": self.method.name}
        identity |= {"model": self.model.fingerprint, "data": fingerprint(self.train.rows)}
        identity |= self.inputs.identity
        return json.loads(json.dumps(identity))

    def _sample(self) -> Quadruplet:
        few = torch.arange(min(SAMPLE, len(self.train)))
        batch, device = self.train.batch(few), self.model.device
        with torch.no_grad():
            self.model.eval()
            texts = self.model.features_of_tokens(batch.ids.to(device), batch.mask.to(device))
            return batch.quadruplet(texts, self.model.features_of_pixels(batch.pixels.to(device)))

    # -- the run -----------------------------------------------------------------------------------------

    def finish(self) -> Result:
        self._resume()
        while self.result.step < self.settings.steps and not self.result.stopped_early:
            self._step()
            self.result.step += 1
            last = self.result.step == self.settings.steps
            if last or self.result.step % self.settings.evaluate_every == 0:
                self._evaluate()
                self._write_checkpoint()
        if self.settings.keep == "best" and self.best:
            self.model.load_state_dict(self.best)
        save(self.model.eval(), self.folder)
        return self.result

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
        points, space = self._embed(self.train.batch(rows)), self.model.space
        inputs = self.inputs.of(rows, embed=self._embed)
        terms = self.method.terms(points, space=space, logit_scale=self.model.logit_scale, **inputs)
        loss = torch.stack([self.method.weight(name) * term for name, term in terms.items()]).sum()
        self._check(loss, terms)
        self.accelerator.backward(loss)
        norm = self._clip()
        if step % self.settings.log_every == 0:  # before the update: every figure of a line is of one state
            line = {"step": step, "loss": loss.item(), "grad_norm": norm, "lr_factor": factor}
            line |= {f"term/{name}": term.item() for name, term in terms.items()}
            figures = radial_figures(points, space=space, min_radius=self.min_radius)
            self._log(line | scalars(self.model) | figures)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.constrain()

    def _embed(self, batch: Batch) -> Quadruplet:
        device, narrow = self.accelerator.device, self.settings.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            texts, images = self.wrapped(batch.ids.to(device), batch.mask.to(device), batch.pixels.to(device))
        return batch.quadruplet(texts, images)

    def _clip(self) -> float:
        limit = self.settings.max_grad_norm
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), float("inf") if limit is None else limit
        )
        if not torch.isfinite(norm):
            raise TrainingError(f"the gradient is not finite at step {self.result.step}. {self._state()}")
        return float(norm)

    def _check(self, loss: Tensor, terms: dict[str, Tensor]) -> None:
        if torch.isfinite(loss):
            return
        bad = [name for name, term in terms.items() if not torch.isfinite(term)]
        raise TrainingError(
            f"the loss is not finite at step {self.result.step}: {', '.join(bad)}. {self._state()}"
        )

    def _state(self) -> str:
        shown = ", ".join(f"{name}={value:.4g}" for name, value in scalars(self.model).items())
        return (
            f"State: {shown}. Lower the learning rate or start from a smaller norm; "
            f"the last good checkpoint is {self.folder / CHECKPOINT}."
        )

    # -- measuring and remembering -----------------------------------------------------------------------

    def _evaluate(self) -> None:
        points = embed(self.model, self.validation)
        space = self.model.space
        figures = validation_figures(
            points, space=space, selection=self.method.selection, min_radius=self.min_radius
        )
        result, keep = self.result, self.settings.keep
        better = figures["recall_sum"] > result.best_recall_sum
        if better:
            result.best_recall_sum, result.best_step, result.waited = figures["recall_sum"], result.step, 0
            if keep == "best":
                self.best = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        else:
            result.waited += 1
        if better or keep == "last":
            result.figures = figures
        result.stopped_early = self._is_out_of_patience()
        self._log({"step": result.step, "split": "validation"} | figures | scalars(self.model))

    def _is_out_of_patience(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.result.waited >= patience

    def _log(self, line: dict[str, Any]) -> None:
        line["seconds"] = round(time.monotonic() - self.started, 2)
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
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
        if not path.is_file():
            (self.folder / LOG).unlink(missing_ok=True)
            return
        state = read_state(path)
        self._refuse_other_run(path, state.get("run", {}))
        self.best = read_checkpoint(path, model=self.model, optimizer=self.optimizer)
        self.result = Result(**state["result"])
        self.result.stopped_early = self._is_out_of_patience()  # the patience may be another by now
        self._cut_log()

    def _refuse_other_run(self, path: Path, run: dict[str, Any]) -> None:
        free = {f"training.{name}" for name in FREE_TO_CHANGE}
        other = [
            f"{name} was {run.get(name)!r} and is {self.identity.get(name)!r}"
            for name in sorted({*run, *self.identity} - free)
            if run.get(name) != self.identity.get(name)
        ]
        if other:
            raise TrainingError(
                f"{path} belongs to another run: {'; '.join(other)}. "
                "Choose another --out, or delete this folder to start afresh."
            )

    def _cut_log(self) -> None:
        """Drop lines after the checkpoint, whole or torn: those steps are done again."""
        log = self.folder / LOG
        lines = log.read_text().splitlines() if log.is_file() else []
        kept = [
            line for line in lines if line.endswith("}") and _is_before(json.loads(line), self.result.step)
        ]
        log.write_text("".join(line + "\n" for line in kept))


def _is_before(line: dict[str, Any], step: int) -> bool:
    return line["step"] < step or ("split" in line and line["step"] == step)
