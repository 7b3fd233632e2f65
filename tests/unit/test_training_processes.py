"""Two processes train as one does with the whole batch, decide together, and resume to the bit."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gradient_samples import VARIANTS, assert_same, gradients_of, prepared, rows_with_boxes, variant
from model_samples import CLASSES, tiny_model
from process_samples import PROCESSES, in_two_processes
from safetensors.torch import load_file
from torch import Tensor
from training_samples import ADAPTED, FULL, SETTINGS, interrupted, lines

from hyperaware import distributed
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError, TrainingError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.hysac import HySAC
from hyperaware.methods.safer_clip import SafeRCLIP
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training import checkpoint, gradients, loop
from hyperaware.training.frozen import Known, with_known_features
from hyperaware.training.gradients import embed_together
from hyperaware.training.loop import Result, fit
from hyperaware.training.settings import Settings

ROWS = torch.tensor([7, 0, 3, 9, 4, 1, 8])
"""Four for the first process, three for the second."""


def all_gradients(examples: Examples) -> dict[str, dict[str, Tensor]]:
    """Of every variant, in the plain way and in chunks of two."""
    found = {name: gradients_of(variant(name), examples, ROWS) for name in VARIANTS}
    chunked = {
        f"{name}, chunked": gradients_of(variant(name), examples, ROWS, chunk_size=2) for name in VARIANTS
    }
    return found | chunked


def run(examples: Examples, folder: Path, *, method: Any = FULL, settings: Settings = SETTINGS) -> Result:
    return fit(tiny_model(), method, train=examples, validation=examples, settings=settings, folder=folder)


class Broken(HySAC):
    """HySAC with a term that is not a number in the second process."""

    def terms(self, points: Any, **rest: Any) -> dict[str, Tensor]:
        wrong = math.nan if distributed.rank() == 1 else 1.0
        return super().terms(points, **rest) | {"entailment/of mine": points.safe_text.sum() * wrong}


class Unlike(HySAC):
    """HySAC that starts from other weights in the second process, as another kind of GPU may give."""

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        super().prepare(model, features=features)
        with torch.no_grad():
            model.clip.visual_projection.weight.add_(distributed.rank())
            model.log_logit_scale.add_(distributed.rank())


def work(rank: int, folder: Path) -> None:
    """All that one process does; what it finds goes into its file."""
    examples = Examples(rows_with_boxes(folder / f"rows-{rank}", 10), model=tiny_model())
    found: dict[str, Any] = {"gradients": all_gradients(examples)}
    model = tiny_model()
    embedded: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "embed", lambda m, e: (embedded.append(len(e)), embed(m, e))[1])
        points = embed_together(model, examples)
    found["embedded"] = embedded
    found["known"] = known_features(examples)
    found["points"] = {part: getattr(points, part) for part in CLASSES}
    found["labels"] = points.unsafe_text_is_unsafe
    found["errors"] = [message_of(ConfigError, lambda: gradients_of(FULL, examples, ROWS[:1]))]

    written: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        save_file = checkpoint.save_file
        patch.setattr(
            checkpoint, "save_file", lambda *a, **k: (written.append(a[1].name), save_file(*a, **k))
        )
        run(examples, folder / "full")
    found["checkpoints"] = len(written)
    run(examples, folder / "unlike", method=Unlike(**dataclasses.asdict(FULL)))
    run(examples, folder / "staged", method=SafeRCLIP(lora_rank=None, learning_rate=1e-2))
    run(examples, folder / "whole", method=ADAPTED)
    for call in (1, 3, 2):  # before the first checkpoint, after it, and just before the second
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", interrupted(torch.optim.AdamW.step, call=call))
            with pytest.raises(KeyboardInterrupt):
                run(examples, folder / "parts", method=ADAPTED)
        torch.manual_seed(99)
    run(examples, folder / "parts", method=ADAPTED)

    sums = iter([3.0, 1.0, 1.0] if rank == 0 else [1.0, 2.0, 3.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validation_figures", lambda *_, **__: {"recall_sum": next(sums)})
        stopped = run(
            examples, folder / "stopped", settings=dataclasses.replace(SETTINGS, steps=20, patience=2)
        )
    found["stopped"] = dataclasses.asdict(stopped)
    broken = Broken(lora_rank=None)
    found["errors"].append(message_of(TrainingError, lambda: run(examples, folder / "broken", method=broken)))
    torch.save(found, folder / f"{rank}.pt")


def message_of(kind: type[Exception], action: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        action()
    return str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the two processes, after their work."""
    folder = tmp_path_factory.mktemp("processes")
    in_two_processes(work, folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    """Of each process."""
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return Examples(rows_with_boxes(folder / "rows", 10), model=tiny_model())


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(
    name: str, found: list[dict[str, Any]], examples: Examples
) -> None:
    """Of seven rows, four and three."""
    whole = gradients_of(variant(name), examples, ROWS)
    for each in found:
        assert_same(each["gradients"][name], whole, tolerance=1e-6)
        assert_same(each["gradients"][f"{name}, chunked"], whole, tolerance=1e-5)
    ours, theirs = (each["gradients"][name] for each in found)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key != "loss")
    alone = gradients_of(variant(name), examples, ROWS[:4])
    assert any(not torch.allclose(alone[key], whole[key], rtol=1e-2) for key in whole)  # the others matter


def known_features(examples: Examples) -> dict[str, Tensor]:
    """Of the pictures, whose tower this method leaves as it is."""
    model, _ = prepared(variant("safe-clip, texts"), examples)
    source = with_known_features(model, examples, narrow=False)
    assert isinstance(source, Known)
    return source.features


def test_features_of_a_frozen_tower_are_made_together(
    found: list[dict[str, Any]], examples: Examples
) -> None:
    (expected,) = known_features(examples).values()
    for each in found:
        torch.testing.assert_close(each["known"]["image"], expected, rtol=0, atol=1e-6)


def test_a_table_of_points_is_made_together(found: list[dict[str, Any]], examples: Examples) -> None:
    expected = embed(tiny_model(), examples)
    for each in found:
        assert each["embedded"] == [5]
        for part in CLASSES:
            torch.testing.assert_close(each["points"][part], getattr(expected, part), rtol=0, atol=1e-6)
        assert each["labels"].tolist() == [row.unsafe_text_is_unsafe for row in examples.rows]


@pytest.mark.parametrize(
    ("name", "method"), [("full", FULL), ("staged", SafeRCLIP(lora_rank=None, learning_rate=1e-2))]
)
def test_a_run_of_two_processes_is_one_of_one(
    name: str, method: Any, folder: Path, examples: Examples, tmp_path: Path
) -> None:
    run(examples, tmp_path, method=method)
    alone, together = lines(tmp_path), lines(folder / name)
    assert [(line["step"], line.get("split")) for line in alone] == [
        (line["step"], line.get("split")) for line in together
    ]
    for line, other in zip(alone, together, strict=True):
        assert line.keys() == other.keys()
        if "loss" in line:
            assert other["loss"] == pytest.approx(line["loss"], rel=1e-4)
            assert other["grad_norm"] == pytest.approx(line["grad_norm"], rel=1e-3)
    assert {path.name for path in (folder / name).iterdir()} == {path.name for path in tmp_path.iterdir()}


def test_the_main_process_alone_writes_checkpoints(found: list[dict[str, Any]]) -> None:
    assert [each["checkpoints"] for each in found] == [3, 0]


def test_all_start_from_the_weights_of_the_main_process(folder: Path) -> None:
    losses = [
        [line["loss"] for line in lines(folder / name) if "loss" in line] for name in ("full", "unlike")
    ]
    assert losses[0] == losses[1]


def test_an_interrupted_run_of_two_processes_ends_as_one_that_was_not(folder: Path) -> None:
    whole, parts = (load_file(folder / name / "model.safetensors") for name in ("whole", "parts"))
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    assert lines(folder / "whole") == lines(folder / "parts")


def test_each_process_has_a_random_state_of_its_own(folder: Path) -> None:
    """Else their dropout would drop the same of other rows."""
    written = load_file(folder / "whole" / "checkpoint.safetensors")
    assert not torch.equal(written["random.cpu"], written["random.1.cpu"])


def test_another_number_of_processes_cannot_go_on(folder: Path, examples: Examples) -> None:
    with pytest.raises(TrainingError, match=r"written by 2 processes, and 1 would go on\. Start 2"):
        run(examples, folder / "full")


def test_the_processes_stop_early_together(found: list[dict[str, Any]]) -> None:
    """By the figures of the main one: the best at step 2, and twice none better."""
    for each in found:
        assert (each["stopped"]["step"], each["stopped"]["best_step"]) == (6, 2)
        assert each["stopped"]["stopped_early"]


def test_what_is_not_finite_in_one_process_stops_all(found: list[dict[str, Any]], folder: Path) -> None:
    for each in found:
        assert "the loss is not finite at step 0" in each["errors"][1]
    assert not (folder / "broken" / "model.safetensors").exists()


def test_a_batch_must_have_a_row_for_each_process(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert "a batch of 1 on 2 processes: expected a row for each" in each["errors"][0]
