"""The utility guard: floors as shares of the starting model, when a run stops, and what it keeps."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import tiny_model
from safetensors.torch import load_file

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError, TrainingError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.clip import CLIP
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training import loop
from hyperaware.training.guard import RECALL, Guard
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings
from hyperaware.world import export

SETTINGS = Settings(steps=8, batch_size=4, evaluate_every=2, log_every=1, min_safe_recall=0.5)
METHOD = CLIP(learning_rate=1e-4)
Fit = Callable[..., Result]


@pytest.fixture
def guard(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> Guard:
    """One with two floors, of a model that has 0.8 and 0.5."""
    found = Guard(SETTINGS, model=tiny_model(), validation=examples)
    found.shares["utility/"] = 0.9
    found.start = {RECALL: 0.8, "utility/zero-shot/subject": 0.5}
    found.floors = {RECALL: 0.4, "utility/zero-shot/subject": 0.45}
    return found


def utility(recall: float, zero_shot: float = 1.0) -> dict[str, float]:
    return {RECALL: recall, "utility/zero-shot/subject": zero_shot}


# -- the judgement ---------------------------------------------------------------------------------------


def test_without_floors_nothing_is_measured(examples: Examples) -> None:
    model = tiny_model()
    guard = Guard(Settings(), model=model, validation=examples)
    assert not guard.is_on
    assert guard.measure(model, embed(model, examples)) == {}
    assert guard.holds({})
    assert guard.reason([], is_last=True) is None


def test_recall_is_the_mean_of_both_directions(examples: Examples) -> None:
    """Texts at 0, 10, 20 degrees, pictures at 4, 11, 12. By the nearest angle a text finds its picture; the
    pictures find the texts at 0, 10 and 10: two of three."""
    angles = torch.deg2rad(torch.tensor([[0.0, 10.0, 20.0], [4.0, 11.0, 12.0]]))
    texts, images = torch.stack([angles.cos(), angles.sin()], dim=-1)
    points = Quadruplet(safe_text=texts, safe_image=images, unsafe_text=texts, unsafe_image=images)
    guard = Guard(SETTINGS, model=tiny_model(), validation=examples)
    assert guard.measure(tiny_model(), points)[RECALL] == pytest.approx((1 + 2 / 3) / 2)


def test_a_floor_is_a_share_of_the_starting_model(examples: Examples) -> None:
    model = tiny_model()
    start = Guard(dataclasses.replace(SETTINGS, min_safe_recall=1.0), model=model, validation=examples)
    half = Guard(SETTINGS, model=model, validation=examples)
    assert start.start[RECALL] > 0
    assert start.floors == start.start
    assert half.floors[RECALL] == pytest.approx(start.start[RECALL] / 2)


@pytest.mark.parametrize(
    ("now", "named"),
    [
        (utility(0.4, 0.45), []),
        (
            utility(0.39),
            ["safe_recall is 0.3900, expected at least 0.4000 (0.5 of the 0.8000 before training)"],
        ),
        (utility(0.8, 0.44), ["zero-shot/subject is 0.4400"]),
        (utility(0.1, 0.1), ["safe_recall is 0.1000", "zero-shot/subject is 0.1000"]),
        (utility(float("nan")), ["safe_recall is nan"]),
    ],
)
def test_the_reason_names_what_fell(guard: Guard, now: dict[str, float], named: list[str]) -> None:
    reason = guard.reason([now], is_last=False)
    assert guard.holds(now) == (reason is None) == (not named)
    assert all(part in str(reason) for part in named)


def test_patience_asks_for_measurements_in_a_row(guard: Guard) -> None:
    good, bad = utility(0.8), utility(0.1)
    guard.patience = 2
    assert guard.reason([bad], is_last=False) is None
    assert guard.reason([bad, good, bad], is_last=False) is None
    assert guard.reason([good, bad, bad], is_last=False) is not None
    assert guard.reason([good, bad], is_last=True) is not None  # no run ends below a floor
    assert guard.reason([bad, good], is_last=True) is None


def test_zero_shot_needs_boxes(examples: Examples, tmp_path: Path) -> None:
    settings = Settings(min_zero_shot=0.9)
    with pytest.raises(ConfigError, match="needs validation rows with boxes"):
        Guard(settings, model=tiny_model(), validation=examples)
    model = tiny_model()
    world = Examples(export(tmp_path / "world", count=6, split="validation"), model=model)
    guard = Guard(settings, model=model, validation=world)
    assert set(guard.start) == {"utility/zero-shot/subject", "utility/zero-shot/things"}
    assert all(0 <= value <= 1 for value in guard.start.values())


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5, float("nan")])
def test_a_floor_is_a_share(wrong: float) -> None:
    with pytest.raises(ConfigError, match="expected a share of what the starting model has"):
        Settings(min_safe_recall=wrong)


# -- in a run --------------------------------------------------------------------------------------------


@pytest.fixture
def train(examples: Examples, tmp_path: Path) -> Fit:
    def run(name: str = "run", *, settings: Settings = SETTINGS, method: Any = METHOD) -> Result:
        given = {"train": examples, "validation": examples, "folder": tmp_path / name}
        return fit(tiny_model(), method, settings=settings, **given)

    return run


@pytest.fixture
def recalls(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the guard measures: of the starting model, then at each measurement."""

    def script(*values: float) -> None:
        coming: Iterator[float] = iter(values)

        def measure(self: Guard, model: DualEncoder, points: Quadruplet) -> dict[str, float]:
            return {RECALL: next(coming)} if self.is_on else {}

        monkeypatch.setattr(Guard, "measure", measure)

    return script


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same(first: Path, second: Path) -> bool:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (first, second))
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_stops_with_the_reason_and_the_best_weights(
    train: Fit, recalls: Callable[..., None], tmp_path: Path
) -> None:
    recalls(0.8, 0.7, 0.2)
    result = train()
    assert (result.step, result.best_step) == (4, 2)
    assert "safe_recall is 0.2000, expected at least 0.4000" in str(result.below_floor)
    assert result.figures[RECALL] == 0.7
    *_, before, last = [line for line in log(tmp_path / "run") if "split" in line]
    assert "stopped" not in before
    assert last["stopped"] == result.below_floor
    train("short", settings=dataclasses.replace(SETTINGS, steps=2, min_safe_recall=None))
    assert same(tmp_path / "run", tmp_path / "short")


def test_without_a_good_measurement_there_is_no_model(
    train: Fit, recalls: Callable[..., None], tmp_path: Path
) -> None:
    recalls(0.8, 0.2)
    with pytest.raises(TrainingError, match=r"stopped after 2 steps: utility fell .* there is no model"):
        train()
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_run_that_ends_below_a_floor_keeps_what_was_above(
    train: Fit, recalls: Callable[..., None], tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, steps=4, guard_patience=3)
    recalls(0.8, 0.7, 0.2)
    assert train(settings=settings).below_floor is not None
    train("short", settings=dataclasses.replace(SETTINGS, steps=2, min_safe_recall=None))
    assert same(tmp_path / "run", tmp_path / "short")


def test_run_again_it_stays_stopped_and_a_lower_floor_lets_it_go_on(
    train: Fit, recalls: Callable[..., None], tmp_path: Path
) -> None:
    recalls(0.8, 0.7, 0.2)
    first = train()
    recalls(0.8)
    assert train() == first
    recalls(0.8, 0.3, 0.3)
    result = train(settings=dataclasses.replace(SETTINGS, min_safe_recall=0.2))
    assert (result.step, result.below_floor) == (8, None)


def test_a_floor_that_is_set_on_resume_keeps_weights_from_then_on(
    train: Fit, recalls: Callable[..., None], tmp_path: Path
) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=2, min_safe_recall=None))
    recalls(0.8, 0.7, 0.1)
    result = train()
    assert (result.step, result.best_step) == (6, 4)
    assert result.figures[RECALL] == 0.7


def test_the_first_weights_above_a_floor_are_kept_though_others_were_better_before(
    train: Fit, recalls: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of step 2 had the best recall sum, and are not at hand: there was no floor then."""
    sums = iter([3.0, 2.0, 1.0])
    monkeypatch.setattr(loop, "validation_figures", lambda *_, **__: {"recall_sum": next(sums)})
    train(settings=dataclasses.replace(SETTINGS, steps=2, min_safe_recall=None))
    recalls(0.8, 0.7, 0.1)
    result = train()
    assert (result.step, result.best_step, result.best_recall_sum) == (6, 4, 2.0)


def test_a_run_that_collapses_is_stopped(examples: Examples, tmp_path: Path) -> None:
    """First the towers learn the ten rows; then a learning rate that is far too large."""
    taught = fit(
        tiny_model(),
        CLIP(learning_rate=3e-3),
        train=examples,
        validation=examples,
        settings=Settings(steps=150, batch_size=10, evaluate_every=150),
        folder=tmp_path / "base",
    )
    assert taught.figures["recall_sum"] > 1.2
    from hyperaware.models.pretrained import load

    settings = Settings(steps=30, batch_size=10, evaluate_every=3, min_safe_recall=0.8, max_grad_norm=None)
    given = {"train": examples, "validation": examples, "settings": settings}
    kept = fit(load(tmp_path / "base"), CLIP(learning_rate=1e-5), folder=tmp_path / "kept", **given)
    assert (kept.step, kept.below_floor) == (30, None)
    with pytest.raises(
        TrainingError, match=r"stopped after 3 steps: utility fell below its floor: safe_recall"
    ):
        fit(load(tmp_path / "base"), CLIP(learning_rate=10.0), folder=tmp_path / "collapsed", **given)
