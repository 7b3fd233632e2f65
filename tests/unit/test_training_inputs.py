"""What methods see beside their batch: the frozen reference, targets and stages, boxes; and exact resume."""

import copy
import dataclasses
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from gradient_samples import rows_with_boxes
from model_samples import CLASSES, tiny_model
from safetensors.torch import load_file
from torch import Tensor
from training_samples import interrupted

from hyperaware.data.quadruplet import Box, Quadruplet
from hyperaware.errors import TrainingError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.methods.hycoclip import HyCoCLIP
from hyperaware.methods.hysac import HySAC
from hyperaware.methods.meru import MERU
from hyperaware.methods.safe_clip import SafeCLIP
from hyperaware.methods.safer_clip import SafeRCLIP
from hyperaware.methods.shield_clip import ShieldCLIP
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.inputs import Inputs
from hyperaware.training.loop import fit
from hyperaware.training.settings import Settings

SETTINGS = Settings(steps=6, batch_size=4, evaluate_every=2, log_every=1, weight_decay=0.0)
ADAPTED = {"lora_rank": 2, "lora_dropout": 0.5, "learning_rate": 1e-2}
WHOLE = {"lora_rank": None, "learning_rate": 1e-2}
METHODS: dict[str, Any] = {cls.name: cls for cls in (SafeCLIP, SafeRCLIP, ShieldCLIP, MERU, HyCoCLIP)}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return Examples(rows_with_boxes(tmp_path_factory.mktemp("rows"), 10), model=tiny_model())


def with_dropout() -> DualEncoder:
    """A base model, left in train mode, whose attention then drops half of its weights."""
    model = tiny_model()
    for module in model.modules():
        if hasattr(module, "q_proj"):
            module.dropout = 0.5
    return model.train()


def trained(
    method: Any, examples: Examples, folder: Path, *, model: DualEncoder | None = None
) -> DualEncoder:
    model = tiny_model() if model is None else model
    fit(model, method, train=examples, validation=examples, settings=SETTINGS, folder=folder)
    return model


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Quadruplet]:
    """The reference points that Safe-CLIP is given, step by step."""
    given: list[Quadruplet] = []
    original = SafeCLIP.terms

    def watched(self: SafeCLIP, points: Quadruplet, **rest: Any) -> dict[str, Tensor]:
        given.append(rest["reference"])
        return original(self, points, **rest)

    monkeypatch.setattr(SafeCLIP, "terms", watched)
    return given


# -- the frozen reference: three tests that it is frozen ---------------------------------------------------


@pytest.mark.parametrize("settings", [ADAPTED, WHOLE], ids=["adapters", "towers"])
def test_reference_points_are_bit_identical_before_and_after_training(
    settings: dict[str, Any], examples: Examples, seen: list[Quadruplet], tmp_path: Path
) -> None:
    before = embed(tiny_model(), examples)
    after = embed(trained(SafeCLIP(**settings), examples, tmp_path), examples)
    assert len(seen) == SETTINGS.steps
    for step, given in enumerate(seen):
        rows = examples.indices_at_step(step, batch_size=4, seed=0)
        for part in CLASSES:
            assert torch.equal(getattr(given, part), getattr(before, part)[rows])
            assert not torch.allclose(getattr(after, part), getattr(before, part), atol=1e-4)  # it did train


def test_the_reference_has_no_gradient(examples: Examples, seen: list[Quadruplet], tmp_path: Path) -> None:
    trained(SafeCLIP(**WHOLE), examples, tmp_path)
    for given in seen:
        assert not any(getattr(given, part).requires_grad for part in CLASSES)


def test_the_reference_is_made_in_eval_mode(
    examples: Examples, seen: list[Quadruplet], tmp_path: Path
) -> None:
    model = with_dropout()
    calm = embed(copy.deepcopy(model).eval(), examples)
    rows = examples.indices_at_step(0, batch_size=4, seed=0)
    batch = examples.batch(rows)
    points, noisy = (model.embed_pixels(batch.pixels) for _ in range(2))
    assert not torch.equal(points, noisy)  # else eval mode could not be told from train mode
    trained(SafeCLIP(**WHOLE), examples, tmp_path, model=model)
    assert torch.equal(seen[0].safe_image, calm.safe_image[rows])


def test_the_published_fault_is_a_reference_that_moves_along(examples: Examples, tmp_path: Path) -> None:
    """Each safe item is at its own reference at every step; with a frozen one only at the first."""

    def preserved(folder: str, **settings: Any) -> list[float]:
        trained(SafeCLIP(**WHOLE, **settings), examples, tmp_path / folder)
        lines = [json.loads(line) for line in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        return [line["term/preservation/safe_text>safe_text"] for line in lines if "loss" in line]

    frozen, moving = preserved("frozen"), preserved("published", reference="published")
    assert max(moving) < 1e-6
    assert frozen[0] < 1e-6 < 1e-3 < frozen[-1]


def test_methods_that_ask_for_nothing_get_nothing(examples: Examples) -> None:
    inputs = Inputs(HySAC(), model=tiny_model(), train=examples)
    assert inputs.of(torch.tensor([0, 1]), points=lambda *_: pytest.fail("nothing to embed")) == {}
    assert inputs.first_epoch is None
    assert inputs.identity == {}


# -- targets, stages, boxes --------------------------------------------------------------------------------


def test_targets_are_the_reference_points_of_the_planned_rows(examples: Examples) -> None:
    inputs = Inputs(SafeRCLIP(), model=tiny_model(), train=examples)
    assert inputs.plan is not None
    reference, rows = embed(tiny_model(), examples), torch.tensor([7, 2, 5])
    given = inputs.of(rows, points=lambda *_: pytest.fail("nothing to embed"))
    assert given.keys() == {"reference", "targets"}
    for part in CLASSES:
        assert torch.equal(getattr(given["reference"], part), getattr(reference, part)[rows])
        assert torch.equal(
            getattr(given["targets"], part), getattr(reference, part)[inputs.plan.targets[rows]]
        )
    assert given["reference"].unsafe_text_is_unsafe is not None
    assert given["reference"].unsafe_text_is_unsafe.tolist() == [False, True, False]


def test_training_goes_from_easy_rows_to_all(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten rows in three stages of four, three, three: with batches of two, 2 + 3 + 5 + 5 steps an epoch."""
    shown: list[list[int]] = []
    original = Examples.batch
    monkeypatch.setattr(
        Examples, "batch", lambda self, rows: (shown.append(rows.tolist()), original(self, rows))[1]
    )
    model = tiny_model()
    inputs = Inputs(SafeRCLIP(**WHOLE), model=model, train=examples)
    assert inputs.first_epoch is not None
    stage = inputs.first_epoch
    assert stage.bincount().tolist() == [4, 3, 3]
    shown.clear()
    for step in range(15):
        shown.append(examples.indices_at_step(step, batch_size=2, seed=0, first_epoch=stage).tolist())
    epochs = [[*chain(*shown[start:end])] for start, end in ((0, 2), (2, 5), (5, 10), (10, 15))]
    assert sorted(epochs[0]) == (stage == 0).nonzero().flatten().tolist()
    assert set(epochs[1]) <= set((stage <= 1).nonzero().flatten().tolist())
    assert len(set(epochs[1])) == 6
    assert sorted(epochs[2]) == sorted(epochs[3]) == list(range(10))
    assert epochs[2] != epochs[3]
    shown.clear()
    settings = dataclasses.replace(SETTINGS, steps=5, batch_size=2, evaluate_every=100)
    fit(model, SafeRCLIP(**WHOLE), train=examples, validation=examples, settings=settings, folder=tmp_path)
    batches = [rows for rows in shown if len(rows) == 2]
    assert [*chain(*batches)] == epochs[0] + epochs[1]


def test_an_epoch_without_a_whole_batch_is_skipped(examples: Examples) -> None:
    few = torch.tensor([0, 0, *[1] * 8])
    rows = examples.indices_at_step(0, batch_size=5, seed=0, first_epoch=few)
    assert torch.equal(rows, examples.indices_at_step(2, batch_size=5, seed=0))  # epoch 1, all rows


def test_boxes_are_embedded_by_the_model_in_training(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Quadruplet] = []
    original = HyCoCLIP.terms

    def watched(self: HyCoCLIP, points: Quadruplet, **rest: Any) -> dict[str, Tensor]:
        given.append(rest["boxes"])
        return original(self, points, **rest)

    monkeypatch.setattr(HyCoCLIP, "terms", watched)
    trained(HyCoCLIP(**WHOLE), examples, tmp_path)
    assert len(given) == SETTINGS.steps
    assert all(getattr(boxes, part).requires_grad for boxes in given for part in CLASSES)


# -- exact resume ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_an_interrupted_run_ends_as_one_that_was_not(name: str, examples: Examples, tmp_path: Path) -> None:
    method = METHODS[name](**ADAPTED)
    trained(method, examples, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted(torch.optim.AdamW.step, call=4))
        with pytest.raises(KeyboardInterrupt):
            trained(method, examples, tmp_path / "halves")
    torch.manual_seed(123)
    trained(method, examples, tmp_path / "halves")
    whole, halves = (load_file(tmp_path / part / "model.safetensors") for part in ("whole", "halves"))
    assert [key for key in whole if not torch.equal(whole[key], halves[key])] == []
    assert any(not torch.equal(whole[key], tensor) for key, tensor in tiny_model().state_dict().items())


def test_a_checkpoint_of_other_boxes_is_refused(examples: Examples, tmp_path: Path) -> None:
    trained(HyCoCLIP(**WHOLE), examples, tmp_path)
    other = copy.copy(examples)
    other.rows = [dataclasses.replace(row, safe_boxes=(Box("a ball", 0, 0, 8, 8),)) for row in examples.rows]
    with pytest.raises(TrainingError, match="belongs to another run: boxes was"):
        trained(HyCoCLIP(**WHOLE), other, tmp_path)
