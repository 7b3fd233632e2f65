"""The loop: what it writes, when it stops, and what it says of a run that goes wrong."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from model_samples import CLASSES, tiny_model
from safetensors.torch import safe_open
from torch import Tensor
from training_samples import ADAPTED, FULL, SETTINGS, Train, differing, lines, weights

from hyperaware.errors import ConfigError, TrainingError
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.clip import CLIP
from hyperaware.methods.hysac import CONTRASTIVE_PAIRS, ENTAILMENT_PAIRS, HySAC
from hyperaware.models.pretrained import load
from hyperaware.training import loop
from hyperaware.training.loop import fit
from hyperaware.training.settings import Settings

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
    assert str(caught.value).endswith("there is no checkpoint yet.")
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


@pytest.mark.parametrize("limit", [None, 0.01, 1e6])
def test_the_gradient_is_clipped_to_its_limit(
    limit: float | None, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW, *rest: Any) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    train(settings=dataclasses.replace(SETTINGS, max_grad_norm=limit))
    logged = [line["grad_norm"] for line in lines(tmp_path / "run") if "loss" in line]
    assert min(logged) > 1.1  # more than the default limit: without one nothing is cut
    assert norms == pytest.approx([0.01] * 6 if limit == 0.01 else logged, rel=1e-3)


def test_every_few_steps_are_logged(train: Train, tmp_path: Path) -> None:
    train(settings=dataclasses.replace(SETTINGS, log_every=4))
    assert [line["step"] for line in lines(tmp_path / "run") if "loss" in line] == [0, 4]


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


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("steps", 0, "steps=0: expected at least 1"),
        ("evaluate_every", 0, "evaluate_every=0: expected at least 1"),
        ("log_every", 0, "log_every=0: expected at least 1"),
        ("guard_patience", 0, "guard_patience=0: expected at least 1"),
        ("batch_size", 1, "batch_size=1: .* negatives"),
        ("chunk_size", 0, "chunk_size=0: expected at least 1, or none"),
        ("checkpoint_every", 0, "checkpoint_every=0: expected at least 1, or none"),
        ("patience", 0, "patience=0: expected at least 1, or none"),
        ("warmup_steps", -1, "warmup_steps=-1: expected 0 or more"),
        ("seed", -1, "seed=-1: expected 0 or more"),
        ("seed", 2**31, "expected 0 or more, and less than"),
        ("weight_decay", -0.1, "weight_decay=-0.1: expected a number, 0 or more"),
        ("weight_decay", math.nan, "weight_decay=nan: expected a number"),
        ("weight_decay", math.inf, "weight_decay=inf: expected a number"),
        ("beta1", 1.0, "beta1=1.0: expected at least 0 and less than 1"),
        ("beta2", -0.1, "beta2=-0.1: expected at least 0"),
        ("max_grad_norm", 0.0, "max_grad_norm=0.0: expected more than 0, or none"),
        ("max_grad_norm", math.nan, "max_grad_norm=nan: expected more than 0"),
    ],
)
def test_bad_settings_are_refused(name: str, wrong: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**{name: wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": -1e-4}, "a learning rate of -0.0001: expected a number, 0 or more"),
        ({"scalar_learning_rate": math.nan}, "a learning rate of nan: expected a number"),
        ({"lora_rank": 0}, "lora_rank=0: expected at least 1, or none for no adapters"),
        ({"lora_rank": 2, "lora_dropout": 1.0}, "lora_dropout=1.0: expected at least 0 and less than 1"),
    ],
    ids=str,
)
def test_bad_settings_of_a_method_are_refused(wrong: dict[str, Any], message: str, train: Train) -> None:
    with pytest.raises(ConfigError, match=message):
        train(method=dataclasses.replace(FULL, **wrong))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_precision_is_that_of_the_settings_whatever_a_launcher_says(
    precision: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`accelerate launch` passes its own on, which a user may have configured long ago."""
    train("plain")
    AcceleratorState._reset_state()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    train("launched")
    assert lines(tmp_path / "launched") == lines(tmp_path / "plain")
