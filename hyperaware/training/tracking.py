"""Trackers beside log.jsonl, by accelerate's classes: the same lines, flat, by their step.

tensorboard   FOLDER/tensorboard
wandb         FOLDER/wandb, offline unless WANDB_MODE says otherwise; `wandb sync` uploads it
mlflow        FOLDER/mlflow, a store of files, unless MLFLOW_TRACKING_URI names another

log.jsonl is the record, a tracker a view of it: one that fails is given up with a warning, and the run goes
on. An interrupted run does its last steps again. trackers.json holds what each tracker was told last, so that
none is told a step twice, and one that is named only later gets the earlier lines from log.jsonl.
"""

import importlib.util
import json
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from hyperaware import distributed
from hyperaware.errors import ConfigError
from hyperaware.files import whole
from hyperaware.options import unknown_name

__all__ = ["TRACKERS", "Tracking", "require_trackers"]

TRACKERS = ("tensorboard", "wandb", "mlflow")
"""Each is also the name of the package that it needs, and of the extra that brings it."""
STATE = "trackers.json"
PROJECT = "hyperaware"
QUANTILES = ("p05", "p50", "p95")
"""The three numbers of a list in a line of the log."""


def require_trackers(names: Iterable[str]) -> None:
    """Refuse what cannot be reported to.

    Raises:
        ConfigError: no such tracker, or its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS)
        spec = importlib.util.find_spec(name)
        if (
            spec is None or spec.origin is None
        ):  # without an origin: a mere folder of that name, as wandb makes
            raise ConfigError(f"the tracker {name} needs its extra: pip install 'hyperaware[{name}]'.")


class Tracking:
    """The trackers of a run, on the main process; on the others, nothing. Use it as a context.

    Entered after log.jsonl was cut to where the run goes on; without a log.jsonl the run is a new one.
    """

    def __init__(self, names: Sequence[str], *, folder: Path, log: str, config: Mapping[str, Any]) -> None:
        """`config`: the run's settings as JSON values. `log`: the name of the log in `folder`.

        Raises:
            ConfigError: see `require_trackers`.
        """
        require_trackers(names)
        self.names = tuple(dict.fromkeys(names))
        self.folder, self.log_file = folder, folder / log
        self.config = {name: _flat(value) for name, value in config.items()}
        self.active: dict[str, Any] = {}
        self.state: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Tracking":
        if not self.names or not distributed.is_main():
            return self
        PartialState()  # accelerate's trackers speak through a logger that asks for it
        is_new = not self.log_file.is_file()
        self.state = {} if is_new else self._read_state()
        for name in self.names:
            self._guarded(name, partial(self._start, name, is_new=is_new))
        if not is_new:
            for line in self.log_file.read_text().splitlines():
                self.log(json.loads(line))
        return self

    def __exit__(self, *_: object) -> None:
        for name, tracker in list(self.active.items()):
            self._guarded(name, tracker.finish)
        self.active = {}

    def log(self, line: Mapping[str, Any]) -> None:
        """Tell a line of the log to every tracker that has not heard it yet."""
        place = [
            line["step"],
            0 if "split" in line else 1,
        ]  # a measurement comes before the step that follows
        for name in list(self.active):
            if place > self.state[name]["told"]:
                self._guarded(name, partial(self._tell, name, line, place))

    def _tell(self, name: str, line: Mapping[str, Any], place: list[int]) -> None:
        values = _numbers(line)
        if name == "mlflow":
            values = {re.sub(r"[^/\w.\- ]", "_", key): value for key, value in values.items()}
        self.active[name].log(values, step=line["step"])
        self.state[name]["told"] = place
        self._write_state()

    def _start(self, name: str, *, is_new: bool) -> None:
        is_known = name in self.state
        state = self.state.get(name, {"told": [-1, 0]})
        options = {"tensorboard": self._tensorboard, "wandb": self._wandb, "mlflow": self._mlflow}
        tracker = LOGGER_TYPE_TO_CLASS[name](**options[name](state, is_known))
        tracker.start()
        if name == "mlflow":
            state["run"] = tracker.active_run.info.run_id
        if not is_known:
            tracker.store_init_configuration(self.config)
        self.active[name], self.state[name] = tracker, state
        self._write_state()

    def _tensorboard(self, state: dict[str, Any], is_known: bool) -> dict[str, Any]:
        if not is_known:  # what lies there is of a run that left no checkpoint
            shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        return {"run_name": "tensorboard", "logging_dir": self.folder}

    def _wandb(self, state: dict[str, Any], is_known: bool) -> dict[str, Any]:
        state.setdefault("run", uuid.uuid4().hex[:12])
        mode = os.environ.get("WANDB_MODE", "offline")
        resume = {"resume": "allow"} if is_known and mode == "online" else {}
        named = {"name": self.folder.name, "id": state["run"], "dir": str(self.folder), "mode": mode}
        return {"run_name": PROJECT, **named, **resume}

    def _mlflow(self, state: dict[str, Any], is_known: bool) -> dict[str, Any]:
        import mlflow

        if "MLFLOW_TRACKING_URI" not in os.environ:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow 3.17 asks for this
            mlflow.set_tracking_uri((self.folder / "mlflow").absolute().as_uri())
        return {"experiment_name": PROJECT, "run_id": state.get("run"), "run_name": self.folder.name}

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """Do it; where the tracker fails, say so and give it up."""
        try:
            work()
        except Exception as error:  # of packages that are not ours, and of their networks and disks
            self.active.pop(name, None)
            warnings.warn(
                f"the tracker {name} failed ({type(error).__name__}: {error}). The run goes on without it; "
                f"{self.log_file} has every line.",
                stacklevel=2,
            )

    def _read_state(self) -> dict[str, dict[str, Any]]:
        try:
            return json.loads((self.folder / STATE).read_text())
        except (OSError, ValueError):
            return {}

    def _write_state(self) -> None:
        with whole(self.folder / STATE) as partial:
            partial.write_text(json.dumps(self.state))


def _flat(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line, under `train/` or the name of its split.

    >>> _numbers({"step": 3, "split": "validation", "recall_sum": 1.5, "root_distance/safe_text": [1, 2, 3]})
    {'validation/recall_sum': 1.5, 'validation/root_distance/safe_text/p05': 1, \
'validation/root_distance/safe_text/p50': 2, 'validation/root_distance/safe_text/p95': 3}
    """
    head = line.get("split", "train")
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, list):
            pairs = zip(QUANTILES, value, strict=True)
            found |= {f"{head}/{name}/{quantile}": number for quantile, number in pairs}
        elif isinstance(value, int | float) and name != "step":
            found[f"{head}/{name}"] = value
    return found
