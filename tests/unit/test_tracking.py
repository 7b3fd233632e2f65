"""Trackers: each line of the log once, by its step, also over interruptions; one that fails ends no run."""

import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_samples import random_rows, tiny_model

from hyperaware.errors import ConfigError
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.clip import CLIP
from hyperaware.training import tracking
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings
from hyperaware.training.tracking import TRACKERS, Tracking, require_trackers

SETTINGS = Settings(steps=4, batch_size=4, evaluate_every=2, log_every=1)
LINES = [
    {"step": 0, "loss": 2.5, "root_distance/safe_text": [0.1, 0.2, 0.3], "term/entailment/a>b": 1.0},
    {"step": 1, "loss": 2.0},
    {"step": 2, "split": "validation", "recall_sum": 1.5, "recall@1/a->b": 0.25, "stopped": "a reason"},
    {"step": 2, "loss": 1.5},
]
CONFIG = {"training.steps": 4, "patience": None, "margins": [0.1, 0.2], "method": "hysac"}
Points = dict[str, list[tuple[int, float]]]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)


def written(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def told(folder: Path, name: str, lines: list[dict[str, Any]], *, before: int = 0) -> None:
    """A run in `folder` whose log has `before` lines already, and that logs all others."""
    tracker = Tracking([name], folder=folder, log="log.jsonl", config=CONFIG)
    if before:
        written(folder, lines[:before])
    with tracker as running:
        for line in lines[before:]:
            running.log(line)


def tensorboard(folder: Path) -> Points:
    """Tag to (step, value), of every event in the files of the run, and nothing merged."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(
        str(folder / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=False
    )
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def mlflow(folder: Path) -> Points:
    """Metric to (step, value), read from the store's files: value of one line is `time value step`."""
    points: Points = {}
    for root in folder.glob("mlflow/*/*/metrics"):
        for file in (path for path in root.rglob("*") if path.is_file()):
            rows = [line.split() for line in file.read_text().splitlines()]
            points[file.relative_to(root).as_posix()] = [(int(row[2]), float(row[1])) for row in rows]
    return points


def weights_and_biases(folder: Path) -> Points:
    """Key to (step, value), of the records in the files of offline runs."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # its own process writes the file, and has done so when it has ended
    points: Points = {}
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = {
                    i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item
                }
                for key, value in items.items():
                    if not key.startswith("_"):
                        points.setdefault(key, []).append((items["_step"], value))
    return points


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: blocks of 32 KiB, a head of 7 bytes before each part."""
    place, record = 7, b""  # after wandb's own head
    while place + 7 <= len(data):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


READ: dict[str, Callable[[Path], Points]] = {
    "tensorboard": tensorboard,
    "mlflow": mlflow,
    "wandb": weights_and_biases,
}


@pytest.fixture(params=TRACKERS)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def expected(name: str) -> Points:
    keys = {"a>b": "a_b", "recall@1/a->b": "recall_1/a-_b"} if name == "mlflow" else {}
    entailment = "train/term/entailment/" + keys.get("a>b", "a>b")
    recall = "validation/" + keys.get("recall@1/a->b", "recall@1/a->b")
    quantiles = {
        f"train/root_distance/safe_text/p{q}": [(0, v)] for q, v in (("05", 0.1), ("50", 0.2), ("95", 0.3))
    }
    return {
        "train/loss": [(0, 2.5), (1, 2.0), (2, 1.5)],
        "validation/recall_sum": [(2, 1.5)],
        recall: [(2, 0.25)],
        entailment: [(0, 1.0)],
        **quantiles,
    }


def agree(found: Points, wanted: Points) -> None:
    assert found.keys() == wanted.keys()
    for key, points in wanted.items():
        assert found[key] == [(step, pytest.approx(value)) for step, value in points], key


def test_every_line_is_told_once_by_its_step(name: str, tmp_path: Path) -> None:
    told(tmp_path, name, LINES)
    agree(READ[name](tmp_path), expected(name))


def test_a_resumed_run_tells_no_step_twice(name: str, tmp_path: Path) -> None:
    """Interrupted after three lines, with a checkpoint after two: the third is done and logged again."""
    told(tmp_path, name, LINES[:3])
    told(tmp_path, name, LINES, before=2)
    agree(READ[name](tmp_path), expected(name))


def test_a_tracker_that_is_named_later_gets_the_earlier_lines(name: str, tmp_path: Path) -> None:
    told(tmp_path, name, LINES, before=3)
    # a run that is resumed has a log; this tracker has heard nothing of it
    agree(READ[name](tmp_path), expected(name))


def test_a_new_run_in_the_folder_begins_anew(tmp_path: Path) -> None:
    """What a run without a checkpoint told tensorboard goes, as its log does."""
    told(tmp_path, "tensorboard", [{"step": 0, "loss": 9.0}, {"step": 7, "loss": 9.0}])
    told(tmp_path, "tensorboard", LINES)
    agree(tensorboard(tmp_path), expected("tensorboard"))


def test_the_configuration_is_flat(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    told(tmp_path, "mlflow", LINES)
    told(tmp_path, "mlflow", LINES, before=4)
    (folder,) = tmp_path.glob("mlflow/*/*/params")
    params = {file.name: file.read_text() for file in folder.iterdir()}
    assert params == {"training.steps": "4", "patience": "null", "margins": "[0.1, 0.2]", "method": "hysac"}


# -- what cannot be done ---------------------------------------------------------------------------------


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no tracker is called 'tensorbord'. Did you mean 'tensorboard'"):
        require_trackers(["tensorbord"])


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_with_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mere folder of that name, as wandb leaves one where it runs, is no package."""
    (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=rf"pip install 'hyperaware\[{name}\]'"):
        require_trackers([name])


class Failing:
    """A tracker whose disk is full from its third line on."""

    def __init__(self, **_: Any) -> None:
        self.lines = 0

    def start(self) -> None: ...
    def store_init_configuration(self, values: Any) -> None: ...
    def finish(self) -> None: ...
    def log(self, values: Any, *, step: int) -> None:
        self.lines += 1
        if self.lines > 2:
            raise OSError(28, "No space left on device")


class Unreachable(Failing):
    def start(self) -> None:
        raise ConnectionError("no network")


@pytest.mark.parametrize(("broken", "message"), [(Failing, "No space left"), (Unreachable, "no network")])
def test_a_failing_tracker_is_given_up_with_one_warning(
    broken: type[Failing], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", broken)
    monkeypatch.setattr(tracking, "require_trackers", lambda names: None)
    with pytest.warns(UserWarning, match=rf"the tracker wandb failed .*{message}") as caught:
        result = trained(tmp_path / "run", ["wandb", "tensorboard"])
    assert len([each for each in caught if "failed" in str(each.message)]) == 1
    assert result.step == 4
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert len(tensorboard(tmp_path / "run")["train/loss"]) == 4  # the others go on


# -- in a run --------------------------------------------------------------------------------------------


def trained(folder: Path, names: list[str], settings: Settings = SETTINGS) -> Result:
    examples = Examples(random_rows(folder.parent / "rows", 6), model=tiny_model())
    return fit(
        tiny_model(),
        CLIP(learning_rate=1e-3),
        train=examples,
        validation=examples,
        settings=settings,
        folder=folder,
        report_to=names,
    )


def test_a_run_tells_what_its_log_has(tmp_path: Path) -> None:
    trained(tmp_path / "run", ["tensorboard"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    points = tensorboard(tmp_path / "run")
    for key, head in (("loss", "train"), ("recall_sum", "validation"), ("logit_scale", "validation")):
        logged = [
            (line["step"], line[key]) for line in lines if key in line and line.get("split", "train") == head
        ]
        assert points[f"{head}/{key}"] == [(step, pytest.approx(value, rel=1e-6)) for step, value in logged]


def test_an_interrupted_run_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in its fourth step; the third, after the checkpoint, is done and logged again."""
    calls = iter(range(1, 100))
    terms = CLIP.terms

    def until(self: CLIP, *args: Any, **more: Any) -> Any:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return terms(self, *args, **more)

    monkeypatch.setattr(CLIP, "terms", until)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", ["tensorboard"])
    assert [step for step, _ in tensorboard(tmp_path / "run")["train/loss"]] == [0, 1, 2]
    trained(tmp_path / "run", ["tensorboard"])
    points = tensorboard(tmp_path / "run")
    assert [step for step, _ in points["train/loss"]] == [0, 1, 2, 3]
    assert [step for step, _ in points["validation/recall_sum"]] == [2, 4]
