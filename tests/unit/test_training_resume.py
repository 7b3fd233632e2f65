"""An interrupted run ends as one that was not, and goes on from no checkpoint but its own."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import random_rows, tiny_model
from safetensors import SafetensorError
from training_samples import (
    ADAPTED,
    FULL,
    SETTINGS,
    Train,
    differing,
    interrupted,
    lines,
    weights,
)

from hyperaware.errors import TrainingError
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.clip import CLIP
from hyperaware.methods.hysac import HySAC
from hyperaware.training import checkpoint, loop
from hyperaware.training.loop import fit


@pytest.fixture(scope="module")
def whole_lines(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The log of `ADAPTED` trained without an interruption."""
    folder = tmp_path_factory.mktemp("whole")
    fit(tiny_model(), ADAPTED, train=examples, validation=examples, settings=SETTINGS, folder=folder)
    return lines(folder)


@pytest.mark.parametrize("method", [FULL, ADAPTED], ids=["full", "adapted"])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        pytest.param(HySAC, "terms", 4, id="between forward and backward"),
        pytest.param(torch.optim.AdamW, "step", 4, id="between update and count"),
        pytest.param(loop, "validation_figures", 2, id="while measuring"),
        pytest.param(HySAC, "terms", 1, id="before the first checkpoint"),
    ],
)
def test_an_interrupted_run_ends_as_one_that_was_not(
    method: HySAC, owner: Any, name: str, call: int, train: Train, tmp_path: Path
) -> None:
    whole = train("whole", method=method)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, interrupted(getattr(owner, name), call=call))
        with pytest.raises(KeyboardInterrupt):
            train("halves", method=method)
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    torch.manual_seed(123)  # a new process starts from another random state
    resumed = train("halves", method=method)

    assert differing(tmp_path / "whole", tmp_path / "halves") == []
    assert lines(tmp_path / "whole") == lines(tmp_path / "halves")
    assert resumed == whole


@pytest.mark.parametrize("every", [None, 1, 4])
@pytest.mark.parametrize("calls", [[1], [2], [3], [5], [6], [1, 2, 1, 3, 2]], ids=str)
def test_an_interruption_at_any_step_leaves_the_curve_as_it_is(
    calls: list[int], every: int | None, whole_lines: list[dict[str, Any]], train: Train, tmp_path: Path
) -> None:
    """After the n-th update of each attempt; checkpoints with the measurements, at each step, at 4 and 6."""
    settings = dataclasses.replace(SETTINGS, checkpoint_every=every)
    for call in calls:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", interrupted(torch.optim.AdamW.step, call=call))
            with contextlib.suppress(KeyboardInterrupt):  # a later attempt may have fewer steps left
                train(method=ADAPTED, settings=settings)
        torch.manual_seed(123)
    train(method=ADAPTED, settings=settings)
    assert lines(tmp_path / "run") == whole_lines


def test_checkpoints_have_a_rhythm_of_their_own(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    original = loop.write_checkpoint
    monkeypatch.setattr(
        loop,
        "write_checkpoint",
        lambda *a, **k: (steps.append(k["state"]["result"]["step"]), original(*a, **k)),
    )
    train("as measured")
    assert steps == [2, 4, 6]
    steps.clear()
    train("more often", settings=dataclasses.replace(SETTINGS, checkpoint_every=1))
    assert steps == [1, 2, 3, 4, 5, 6]
    steps.clear()
    train("more seldom", settings=dataclasses.replace(SETTINGS, checkpoint_every=4))
    assert steps == [4, 6]
    assert (
        lines(tmp_path / "as measured") == lines(tmp_path / "more often") == lines(tmp_path / "more seldom")
    )


def test_dropout_acts_and_the_seed_matters(train: Train, tmp_path: Path) -> None:
    """Else the test above would hold for a loop without random numbers."""
    train("a", method=ADAPTED)
    train("b", method=dataclasses.replace(ADAPTED, lora_dropout=0.0))
    train("c", method=ADAPTED, settings=dataclasses.replace(SETTINGS, seed=1))
    assert differing(tmp_path / "a", tmp_path / "b")
    assert differing(tmp_path / "a", tmp_path / "c")


def test_a_finished_run_is_not_trained_further(train: Train, tmp_path: Path) -> None:
    first = train()
    before = weights(tmp_path / "run")
    assert train() == first
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(tmp_path / "run").items())


def test_two_runs_are_not_at_work_in_one_folder(train: Train, tmp_path: Path) -> None:
    tried: list[str] = []

    def another(line: dict[str, Any]) -> None:
        if line["step"] == 3:
            with pytest.raises(TrainingError) as refused:
                train("run")
            tried.append(str(refused.value))

    train("run", report=another)
    train("whole")
    assert len(tried) == 1
    assert "another run is at work in" in tried[0]
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")  # it has disturbed nothing
    assert train("run").step == SETTINGS.steps  # by now it may


def test_more_steps_go_on_from_the_checkpoint(train: Train, tmp_path: Path) -> None:
    constant = dataclasses.replace(SETTINGS, schedule="constant")
    train("whole", settings=constant)
    train("halves", settings=dataclasses.replace(constant, steps=4))
    train("halves", settings=constant)
    assert differing(tmp_path / "whole", tmp_path / "halves") == []


MEMORY = {"chunk_size": 2, "gradient_checkpointing": True, "checkpoint_every": 1}


def test_a_resumed_run_may_need_less_memory(train: Train, tmp_path: Path) -> None:
    """What it computes stays the same, up to rounding: it is no other run."""
    constant = dataclasses.replace(SETTINGS, schedule="constant")
    train("whole", settings=constant)
    train("halves", settings=dataclasses.replace(constant, steps=2))
    train("halves", settings=dataclasses.replace(constant, **MEMORY))
    first, second = lines(tmp_path / "whole"), lines(tmp_path / "halves")
    assert [line["loss"] for line in second if "loss" in line] == pytest.approx(
        [line["loss"] for line in first if "loss" in line], rel=1e-4
    )
    assert differing(tmp_path / "whole", tmp_path / "halves")  # it was another computation


OTHERS = {
    "training.batch_size": {"settings": dataclasses.replace(SETTINGS, batch_size=5)},
    "training.seed": {"settings": dataclasses.replace(SETTINGS, seed=1)},
    "aperture_scale": {"method": dataclasses.replace(FULL, aperture_scale=0.9)},
    "lora_rank": {"method": ADAPTED},
    "method": {"method": CLIP()},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_other_settings_is_refused(name: str, train: Train, tmp_path: Path) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=2))
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(
        TrainingError, match=rf"checkpoint\.safetensors belongs to another run: .*\b{name} was"
    ):
        train(**OTHERS[name])
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_checkpoint_of_other_rows_is_refused(train: Train, tmp_path: Path) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=2))
    fewer = Examples(random_rows(tmp_path / "rows", 9), model=tiny_model())
    with pytest.raises(TrainingError, match="data was '"):
        train(train=fewer)


def test_other_rows_to_measure_on_make_another_run(train: Train, tmp_path: Path) -> None:
    """Its best recall sum and its floors were those of the rows before."""
    train(settings=dataclasses.replace(SETTINGS, steps=2))
    fewer = Examples(random_rows(tmp_path / "rows", 9), model=tiny_model())
    with pytest.raises(TrainingError, match="validation was '"):
        train(validation=fewer)


def test_another_run_is_refused_before_any_work(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=2))
    monkeypatch.setattr(loop, "Inputs", None)
    with pytest.raises(TrainingError, match=r"belongs to another run: training\.seed was 0 and is 1"):
        train(settings=dataclasses.replace(SETTINGS, seed=1))


def test_a_checkpoint_from_another_start_is_refused(examples: Examples, train: Train, tmp_path: Path) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=2))
    with pytest.raises(TrainingError, match="model was '"):
        fit(
            tiny_model(seed=1),
            FULL,
            train=examples,
            validation=examples,
            settings=SETTINGS,
            folder=tmp_path / "run",
        )


def test_a_damaged_checkpoint_is_named(train: Train, tmp_path: Path) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=2))
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors is not a readable checkpoint"):
        train()


def test_the_log_survives_a_kill_while_it_is_cut(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written in place, it would be empty at that moment, and its first lines lost."""
    train("whole")
    constant = dataclasses.replace(SETTINGS, steps=4)
    train("cut", settings=constant)

    def killed(self: Path, text: str, *_: Any, **__: Any) -> int:
        self.write_bytes(text.encode()[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            train("cut")
    train("cut")
    assert [line["step"] for line in lines(tmp_path / "cut")] == [
        line["step"] for line in lines(tmp_path / "whole")
    ]


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_ends_a_run_which_then_goes_on(
    full_at: int, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("whole")
    calls = iter(range(1, 100))

    def full(original: Any) -> Any:
        def write(*args: Any, **more: Any) -> None:
            if next(calls) == full_at:
                raise SafetensorError("I/O error: No space left on device (os error 28)")
            original(*args, **more)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full(checkpoint.save_file))
        with pytest.raises(TrainingError, match=r"checkpoint.* cannot be written .*No space left.*Make room"):
            train("full")
    assert not list((tmp_path / "full").glob(".*"))
    train("full")
    assert differing(tmp_path / "whole", tmp_path / "full") == []
    assert lines(tmp_path / "whole") == lines(tmp_path / "full")


def test_a_torn_line_at_the_end_of_the_log_is_dropped(train: Train, tmp_path: Path) -> None:
    train("whole")
    train(
        "torn", settings=dataclasses.replace(SETTINGS, steps=4)
    )  # another cosine, the same log lines 0 to 1
    log = tmp_path / "torn" / "log.jsonl"
    with log.open("a") as file:
        file.write('{"step": 4, "loss": 1.')
    train("torn")
    assert [line["step"] for line in lines(tmp_path / "torn")] == [
        line["step"] for line in lines(tmp_path / "whole")
    ]
