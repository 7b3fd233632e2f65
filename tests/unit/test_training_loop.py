"""The loop: what it writes, when it stops, and that an interrupted run ends as one that was not."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import CLASSES, random_rows, tiny_model
from safetensors.torch import load_file, safe_open
from torch import Tensor

from hyperaware.errors import ConfigError, TrainingError
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.clip import CLIP
from hyperaware.methods.hysac import CONTRASTIVE_PAIRS, ENTAILMENT_PAIRS, HySAC
from hyperaware.models.pretrained import load
from hyperaware.training import loop
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings

SETTINGS = Settings(steps=6, batch_size=4, evaluate_every=2, log_every=1, schedule="cosine", warmup_steps=2)
FULL = HySAC(lora_rank=None, start_norm=0.5, learning_rate=1e-2)
ADAPTED = dataclasses.replace(FULL, lora_rank=2, lora_dropout=0.5)
Train = Callable[..., Result]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Ten rows: two batches of four in an epoch, and two left over."""
    return Examples(random_rows(tmp_path_factory.mktemp("rows"), 10), model=tiny_model())


@pytest.fixture
def train(examples: Examples, tmp_path: Path) -> Train:
    """`fit` of a fresh tiny model, into `tmp_path / name`."""

    def run(name: str = "run", *, method: Any = FULL, settings: Settings = SETTINGS, **more: Any) -> Result:
        given = {"train": examples, "validation": examples, "folder": tmp_path / name} | more
        return fit(tiny_model(), method, settings=settings, **given)

    return run


def lines(folder: Path) -> list[dict[str, Any]]:
    """The log without its clock."""
    read = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def differing(first: Path, second: Path) -> list[str]:
    """The names of the weights in which two model folders differ."""
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def interrupted(function: Callable[..., Any], *, call: int) -> Callable[..., Any]:
    """`function` until its n-th call, which ends in a KeyboardInterrupt after its work is done."""
    calls = iter(range(1, call + 1))

    def until(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if next(calls, call) == call:
            raise KeyboardInterrupt
        return result

    return until


@pytest.fixture(scope="module")
def whole_lines(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The log of `ADAPTED` trained without an interruption."""
    folder = tmp_path_factory.mktemp("whole")
    fit(tiny_model(), ADAPTED, train=examples, validation=examples, settings=SETTINGS, folder=folder)
    return lines(folder)


# -- resuming --------------------------------------------------------------------------------------------


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


# -- stopping and keeping --------------------------------------------------------------------------------


@pytest.fixture
def recall_sums(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the recall sums that the coming measurements find."""

    def script(*values: float) -> None:
        coming: Iterator[float] = iter(values)
        monkeypatch.setattr(loop, "validation_figures", lambda *_, **__: {"recall_sum": next(coming)})

    return script


def test_a_run_stops_when_its_patience_is_out(train: Train, recall_sums: Callable[..., None]) -> None:
    recall_sums(1.0, 3.0, 2.0, 3.0)
    result = train(settings=dataclasses.replace(SETTINGS, steps=20, patience=2))
    assert (result.step, result.best_step, result.best_recall_sum) == (8, 4, 3.0)
    assert result.stopped_early


def test_with_more_patience_a_stopped_run_goes_on(train: Train, recall_sums: Callable[..., None]) -> None:
    recall_sums(3.0, 2.0, 1.0, 4.0, 1.0)
    settings = dataclasses.replace(SETTINGS, steps=10, patience=1, schedule="constant")
    assert train(settings=settings).step == 4
    result = train(settings=dataclasses.replace(settings, patience=3))
    assert (result.step, result.best_step, result.stopped_early) == (10, 8, False)


@pytest.mark.parametrize(("keep", "step", "recall_sum"), [("best", 4, 3.0), ("last", 6, 2.0)])
def test_the_weights_that_are_kept(
    keep: Any, step: int, recall_sum: float, train: Train, recall_sums: Callable[..., None], tmp_path: Path
) -> None:
    constant = dataclasses.replace(SETTINGS, schedule="constant")
    recall_sums(1.0, 3.0, 2.0, 0.0, 0.0, 0.0)
    result = train("kept", settings=dataclasses.replace(constant, keep=keep))
    assert result.figures == {"recall_sum": recall_sum}
    train("until", settings=dataclasses.replace(constant, steps=step))
    assert differing(tmp_path / "kept", tmp_path / "until") == []


def test_the_best_weights_survive_an_interruption(
    train: Train, recall_sums: Callable[..., None], tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, keep="best", schedule="constant", steps=4)
    recall_sums(3.0, 2.0, 1.0)
    train("best", settings=dataclasses.replace(settings, steps=2))
    recall_sums(3.0, 2.0, 1.0)
    train("halves", settings=settings)
    train("halves", settings=dataclasses.replace(settings, steps=6))
    assert differing(tmp_path / "best", tmp_path / "halves") == []


# -- what goes wrong -------------------------------------------------------------------------------------


class Broken(HySAC):
    """HySAC with one more term, which a test sets."""

    term: Callable[..., Tensor]

    def terms(self, points: Any, **rest: Any) -> dict[str, Tensor]:
        return super().terms(points, **rest) | {"entailment/of mine": type(self).term(**rest)}


@pytest.mark.parametrize(
    ("term", "what"),
    [
        (lambda space, logit_scale: logit_scale * math.nan, r"the loss .*: entailment/of mine\."),
        (lambda space, logit_scale: (space.curv - space.curv).sqrt(), r"the gradient "),
    ],
    ids=["loss", "gradient"],
)
def test_what_is_not_finite_stops_the_run_with_a_diagnosis(
    term: Callable[..., Tensor], what: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "term", staticmethod(term), raising=False)
    with pytest.raises(TrainingError, match=what) as caught:
        train(method=Broken(lora_rank=None))
    assert "not finite at step 0" in str(caught.value)
    for scalar in ("curv=1", "alpha_image=0.35", "alpha_text=0.35", "logit_scale=14.29"):
        assert scalar in str(caught.value)
    assert not (tmp_path / "run" / "model.safetensors").exists()


# -- what is written -------------------------------------------------------------------------------------


def test_the_log_holds_everything_that_is_watched(train: Train, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    train(method=dataclasses.replace(FULL, radial_order=1.0), report=reported.append)
    written = lines(tmp_path / "run")
    assert [line["step"] for line in written if "split" not in line] == [0, 1, 2, 3, 4, 5]
    assert [line["step"] for line in written if "split" in line] == [2, 4, 6]
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in reported] == written

    everywhere = {
        "curv",
        "alpha_image",
        "alpha_text",
        "logit_scale",
        "saturated",
        "auroc/text",
        "auroc/image",
    }
    everywhere |= {f"root_distance/{name}" for name in CLASSES}
    terms = {f"term/contrastive/{a}-{b}" for a, b in CONTRASTIVE_PAIRS}
    terms |= {f"term/entailment/{a}>{b}" for a, b in ENTAILMENT_PAIRS} | {"term/radial_order"}
    recalls = {f"recall@1/{a}->{b}" for a, b in FULL.selection}
    for line in written:
        own = (
            {"split", "recall_sum"} | recalls
            if "split" in line
            else terms | {"loss", "grad_norm", "lr_factor"}
        )
        assert line.keys() == {"step"} | everywhere | own
        low, median, up = line["root_distance/unsafe_image"]
        assert 0 < low <= median <= up


def test_the_first_line_is_of_the_state_before_the_first_update(train: Train, tmp_path: Path) -> None:
    train(method=dataclasses.replace(FULL, curv=0.5, logit_scale=20.0))
    first = lines(tmp_path / "run")[0]
    assert first["curv"] == pytest.approx(0.5)
    assert first["logit_scale"] == pytest.approx(20.0)
    assert first["loss"] == pytest.approx(sum(v for k, v in first.items() if k.startswith("term/")), rel=1e-6)
    medians = [first[f"root_distance/{name}"][1] for name in CLASSES]
    assert sum(medians) / 4 == pytest.approx(0.5, rel=0.2)  # start_norm


def test_the_saturated_share_follows_the_constant_of_the_cones(train: Train, tmp_path: Path) -> None:
    """Every point lies near 0.5, where a cone with K = 0.1 is open and one with K = 1 is half a turn."""
    train("narrow")
    train("wide", method=dataclasses.replace(FULL, min_radius=1.0))
    assert lines(tmp_path / "narrow")[0]["saturated"] == 0.0
    assert lines(tmp_path / "wide")[0]["saturated"] == 1.0


def test_a_run_on_the_sphere_has_no_radial_figures(train: Train, tmp_path: Path) -> None:
    train(method=CLIP(learning_rate=1e-3))
    for line in lines(tmp_path / "run"):
        assert not [name for name in line if "root_distance" in name or name in ("saturated", "auroc/text")]


@pytest.mark.parametrize("method", [FULL, ADAPTED], ids=["full", "adapted"])
def test_the_folder_holds_the_model_and_no_pickle(
    method: HySAC, examples: Examples, train: Train, tmp_path: Path
) -> None:
    model = tiny_model()
    fit(model, method, train=examples, validation=examples, settings=SETTINGS, folder=tmp_path / "run")
    again = load(tmp_path / "run")
    texts = [row.safe_text for row in examples.rows]
    torch.testing.assert_close(again.encode_text(texts), model.encode_text(texts), rtol=0, atol=1e-6)
    assert not model.training
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "checkpoint.safetensors"} <= names
    assert {Path(name).suffix for name in names} <= {".json", ".safetensors", ".jsonl", ".md"}
    with safe_open(tmp_path / "run" / "checkpoint.safetensors", framework="pt") as file:
        assert any(name.startswith("optimizer.") for name in file.keys())  # noqa: SIM118 (not a dict)


def test_training_lowers_the_loss(train: Train, tmp_path: Path) -> None:
    train(settings=dataclasses.replace(SETTINGS, steps=20, evaluate_every=20))
    losses = [line["loss"] for line in lines(tmp_path / "run") if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]


def test_bf16_narrows_the_towers_only(train: Train, tmp_path: Path) -> None:
    train("wide")
    train("narrow", settings=dataclasses.replace(SETTINGS, precision="bf16"))
    wide, narrow = (lines(tmp_path / name)[0] for name in ("wide", "narrow"))
    assert narrow["loss"] != wide["loss"]
    assert narrow["loss"] == pytest.approx(wide["loss"], rel=0.02)
    assert {tensor.dtype for tensor in weights(tmp_path / "narrow").values()} == {torch.float32}


def test_a_frozen_curvature_stays(train: Train, tmp_path: Path) -> None:
    train("fixed", method=dataclasses.replace(FULL, curv=2.0, learn_curv=False, scalar_learning_rate=0.1))
    train("learned", method=dataclasses.replace(FULL, curv=2.0, scalar_learning_rate=0.1))
    assert {line["curv"] for line in lines(tmp_path / "fixed")} == {lines(tmp_path / "learned")[0]["curv"]}
    assert len({line["curv"] for line in lines(tmp_path / "learned")}) > 1


def test_the_scalars_stay_in_their_ranges(train: Train, tmp_path: Path) -> None:
    train(method=dataclasses.replace(FULL, scalar_learning_rate=5.0))
    for line in lines(tmp_path / "run")[1:]:
        assert 0.1 <= line["curv"] * (1 + 1e-6) <= 10.0001
        assert line["alpha_text"] <= 1 + 1e-6
        assert 14.28 < line["logit_scale"] < 100.001


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"steps=0: expected at least 1"):
        Settings(steps=0)
    with pytest.raises(ConfigError, match=r"batch_size=1: .* negatives"):
        Settings(batch_size=1)
    with pytest.raises(ConfigError, match=r"chunk_size=0: expected at least 1, or none"):
        Settings(chunk_size=0)
