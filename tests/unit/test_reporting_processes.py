"""The guard and the trackers in two processes: all stop by what the main one finds, and it alone reports."""

import dataclasses
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import random_rows, tiny_model
from process_samples import PROCESSES, in_two_processes
from training_samples import lines

from hyperaware.data.quadruplet import Row
from hyperaware.errors import ConfigError, TrainingError
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.clip import CLIP
from hyperaware.training import guard, tracking
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings

SETTINGS = Settings(steps=6, batch_size=4, evaluate_every=2, log_every=1)
GUARDED = dataclasses.replace(SETTINGS, steps=20, min_safe_recall=0.5)
SEEN = {
    "stopped": ([0.8, 0.7, 0.2], [0.8, 0.8, 0.8]),
    "kept": ([0.8] * 11, [0.8] + [0.0] * 10),
    "no model": ([0.8, 0.2], [0.8, 0.8]),
}
"""What the first process and the second find of the starting model, and at each measurement."""


class Failing:
    """A tracker that cannot start."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def start(self) -> None:
        raise ConnectionError("no network")


def run(examples: Examples, folder: Path, settings: Settings = SETTINGS, **more: Any) -> Result:
    method = CLIP(learning_rate=1e-4)
    return fit(
        tiny_model(),
        method,
        train=examples,
        validation=examples,
        settings=settings,
        folder=folder,
        **more,
    )


def work(rows: list[Row], rank: int, folder: Path) -> None:
    """All that one process does; what it finds goes into its file."""
    examples = Examples(rows, model=tiny_model(), together=True)
    found: dict[str, Any] = {}
    for name, recalls in SEEN.items():
        coming = iter(recalls[rank])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(guard, "_safe_recall", lambda *_, coming=coming: next(coming))
            try:
                found[name] = dataclasses.asdict(run(examples, folder / name, GUARDED))
            except TrainingError as error:
                found[name] = str(error)

    told: list[dict[str, Any]] = []
    run(examples, folder / "told", report=told.append, report_to=["tensorboard"])
    found["told"] = [line["step"] for line in told]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Failing)
        found["step"] = run(examples, folder / "given up", report_to=["tensorboard"]).step
    found["warned"] = [str(each.message) for each in caught if "tracker" in str(each.message)]
    with pytest.raises(ConfigError) as refused:
        run(examples, folder / "refused", report_to=["tensorbord"])
    found["refused"] = str(refused.value)
    torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the two processes, after their work."""
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("processes")
    in_two_processes(partial(work, random_rows(folder / "rows", 10)), folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    """Of each process."""
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def test_all_stop_where_the_main_process_finds_less_than_the_floor(
    found: list[dict[str, Any]], folder: Path
) -> None:
    for each in found:
        stopped = each["stopped"]
        assert (stopped["step"], stopped["best_step"]) == (4, 2)
        assert "safe_recall is 0.2000, expected at least 0.4000" in stopped["below_floor"]
    assert (folder / "stopped" / "model.safetensors").is_file()
    assert [line["step"] for line in lines(folder / "stopped") if "stopped" in line] == [4]


def test_what_another_process_finds_stops_nothing(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert (each["kept"]["step"], each["kept"]["below_floor"]) == (20, None)


def test_without_weights_above_the_floor_all_end_with_the_reason(
    found: list[dict[str, Any]], folder: Path
) -> None:
    for each in found:
        assert "the run stopped after 2 steps: utility fell below its floor" in each["no model"]
    assert not (folder / "no model" / "model.safetensors").exists()


def test_the_main_process_alone_reports(found: list[dict[str, Any]], folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert [each["told"] for each in found] == [[0, 1, 2, 2, 3, 4, 4, 5, 6], []]
    (events,) = (folder / "told" / "tensorboard").glob("events.*")
    read = EventAccumulator(str(events), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    read.Reload()
    logged = [(line["step"], line["loss"]) for line in lines(folder / "told") if "loss" in line]
    assert len(logged) == 6
    told = [(event.step, event.value) for event in read.Scalars("train/loss")]
    assert told == [(step, pytest.approx(loss, rel=1e-6)) for step, loss in logged]


def test_a_tracker_that_fails_ends_no_process(found: list[dict[str, Any]]) -> None:
    assert [each["step"] for each in found] == [6, 6]
    assert [len(each["warned"]) for each in found] == [1, 0]
    assert "the tracker tensorboard failed (ConnectionError: no network)" in found[0]["warned"][0]


def test_a_tracker_that_is_not_known_is_refused_by_all(found: list[dict[str, Any]], folder: Path) -> None:
    for each in found:
        assert "no tracker is called 'tensorbord'. Did you mean 'tensorboard'" in each["refused"]
    assert not (folder / "refused" / "log.jsonl").exists()
