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

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import TrainingError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Batch, Examples
from hyperaware.geometry.space import Space
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import save
from hyperaware.training.checkpoint import read_checkpoint, write_checkpoint
from hyperaware.training.monitor import radial_figures, scalars, validation_figures
from hyperaware.training.optimizer import adamw, learning_rate_factor
from hyperaware.training.settings import Settings

__all__ = ["Method", "Result", "fit"]

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
SAMPLE = 512

Report = Callable[[dict[str, Any]], None]


class Method(Protocol):
    """What the loop asks of a method; `hyperaware.methods` has them."""

    name: str
    learning_rate: float
    scalar_learning_rate: float | None
    selection: tuple[tuple[str, str], ...]

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None: ...
    def terms(
        self, points: Quadruplet, *, space: Space, logit_scale: Tensor | float
    ) -> dict[str, Tensor]: ...
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

    Run again on the same folder, it goes on from the last checkpoint, to the bit on the same machine.
    `report` receives every line of the log as it is written.

    Raises:
        TrainingError: a loss or gradient that is not finite, or a checkpoint of another run.
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
        set_seed(settings.seed)
        sample = self._sample()
        method.prepare(model, features=sample)
        precision = settings.precision
        self.accelerator = Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())
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

    def _sample(self) -> Quadruplet:
        few = torch.arange(min(SAMPLE, len(self.train)))
        batch = self.train.batch(few)
        with torch.no_grad():
            self.model.eval()
            texts = self.model.features_of_tokens(batch.ids, batch.mask)
            return batch.quadruplet(texts, self.model.features_of_pixels(batch.pixels))

    # -- the run -----------------------------------------------------------------------------------------

    def finish(self) -> Result:
        self._resume()
        try:
            while self.result.step < self.settings.steps and not self.result.stopped_early:
                self._step()
                self.result.step += 1
                last = self.result.step == self.settings.steps
                if last or self.result.step % self.settings.evaluate_every == 0:
                    self._evaluate()
                    self._write_checkpoint()
        except KeyboardInterrupt:
            self._write_checkpoint()
            raise
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
        batch = self.train.at_step(step, batch_size=self.settings.batch_size, seed=self.settings.seed)
        points = self._embed(batch)
        terms = self.method.terms(points, space=self.model.space, logit_scale=self.model.logit_scale)
        loss = torch.stack([self.method.weight(name) * term for name, term in terms.items()]).sum()
        self._check(loss, terms)
        self.accelerator.backward(loss)
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.model.constrain()
        if step % self.settings.log_every == 0:
            line = {"step": step, "loss": loss.item(), "grad_norm": norm, "lr_factor": factor}
            line |= {f"term/{name}": term.item() for name, term in terms.items()}
            self._log(line | scalars(self.model) | radial_figures(points, space=self.model.space))

    def _embed(self, batch: Batch) -> Quadruplet:
        device = self.accelerator.device
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
        figures = validation_figures(points, space=space, selection=self.method.selection)
        result = self.result
        result.figures = figures
        if figures["recall_sum"] > result.best_recall_sum:
            result.best_recall_sum, result.best_step, result.waited = figures["recall_sum"], result.step, 0
            if self.settings.keep == "best":
                self.best = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        else:
            result.waited += 1
            result.stopped_early = (
                self.settings.patience is not None and result.waited >= self.settings.patience
            )
        self._log({"step": result.step, "split": "validation"} | figures | scalars(self.model))

    def _log(self, line: dict[str, Any]) -> None:
        line["seconds"] = round(time.monotonic() - self.started, 2)
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.report(line)

    def _write_checkpoint(self) -> None:
        state = asdict(self.result) | {"settings": asdict(self.settings), "method": self.method.name}
        write_checkpoint(
            self.folder / CHECKPOINT,
            model=self.model,
            optimizer=self.optimizer,
            best=self.best,
            state=state,
        )

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            (self.folder / LOG).unlink(missing_ok=True)
            return
        state, self.best = read_checkpoint(path, model=self.model, optimizer=self.optimizer)
        self._refuse_other_run(path, state)
        self.result = Result(**{name: state[name] for name in asdict(Result())})
        self._cut_log()

    def _refuse_other_run(self, path: Path, state: dict[str, Any]) -> None:
        now = asdict(self.settings)
        changed = [name for name in now if now[name] != state["settings"].get(name)]
        if state["method"] != self.method.name or set(changed) - {"steps", "patience", "log_every"}:
            raise TrainingError(
                f"{path} belongs to a run of {state['method']!r} with other settings ({', '.join(changed)}). "
                "Choose another --out, or delete this folder to start afresh."
            )

    def _cut_log(self) -> None:
        """Drop lines after the checkpoint: those steps are done again."""
        log = self.folder / LOG
        lines = log.read_text().splitlines() if log.is_file() else []
        kept = [line for line in lines if _is_before(json.loads(line), self.result.step)]
        log.write_text("".join(line + "\n" for line in kept))


def _is_before(line: dict[str, Any], step: int) -> bool:
    return line["step"] < step or ("split" in line and line["step"] == step)
