"""Gradients in chunks, with recomputed activations and by compiled towers are those of the plain batch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gradient_samples import VARIANTS, assert_same, gradients_of, prepared, rows_with_boxes, variant
from model_samples import CLASSES, tiny_model
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.embed import joined
from hyperaware.evaluation.examples import Batch, Examples
from hyperaware.methods.hysac import HySAC
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.compute import set_up_towers
from hyperaware.training.gradients import Gradients
from hyperaware.training.settings import Settings

ROWS = torch.tensor([7, 0, 3, 9, 4, 1, 8])


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return Examples(rows_with_boxes(tmp_path_factory.mktemp("rows"), 10), model=tiny_model())


# -- gradient caching --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_chunks_give_the_gradients_of_the_whole_batch(name: str, examples: Examples) -> None:
    """Chunks of three, three and one."""
    method = variant(name)
    whole = gradients_of(method, examples, ROWS)
    chunked = gradients_of(method, examples, ROWS, chunk_size=3)
    assert_same(chunked, whole, tolerance=1e-5)
    assert len(whole) > 5
    assert any(not torch.equal(chunked[key], whole[key]) for key in whole)  # it was another computation


def test_only_one_chunk_at_a_time_has_a_graph(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[tuple[int, bool]] = []
    original = DualEncoder.forward

    def watched(self: DualEncoder, ids: Tensor, *rest: Any, **more: Any) -> Any:
        passes.append((len(ids) // 2, torch.is_grad_enabled()))
        return original(self, ids, *rest, **more)

    monkeypatch.setattr(DualEncoder, "forward", watched)
    gradients_of(variant("hycoclip"), examples, ROWS, chunk_size=3)
    once = [3, 3, 1]
    assert passes == [(n, False) for n in once * 2] + [(n, True) for n in once * 2]  # pictures, then boxes


class PlainChunks(Gradients):
    """The same chunks, each with its graph: what gradient caching has to equal."""

    def _embed_in_chunks(self, source: Any, chunks: Any) -> Quadruplet:
        return joined([self._embed(source.batch(rows)) for rows in chunks])


@pytest.mark.parametrize("name", ["hysac, adapted", "hycoclip, adapted", "safe-clip"])
def test_dropout_is_replayed(name: str, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout 0.5 in adapters and attention: the second pass drops what the first has dropped."""
    method = variant(name, lora_rank=2, lora_dropout=0.5)

    def found(*, seed: int) -> dict[str, Tensor]:
        model, inputs = prepared(method, examples)
        for module in model.modules():
            if hasattr(module, "q_proj"):
                module.dropout = 0.5
        torch.manual_seed(seed)
        gradients = gradients_of(method, examples, ROWS, chunk_size=3, prepared_model=(model, inputs))
        return gradients | {"next": torch.rand(3)}

    cached, other = found(seed=1), found(seed=2)
    monkeypatch.setattr("gradient_samples.Gradients", PlainChunks)
    plain = found(seed=1)
    assert torch.equal(cached.pop("next"), plain.pop("next"))  # and the random numbers go on as before
    assert_same(cached, plain, tolerance=1e-5)
    assert not torch.allclose(other["loss"], plain["loss"])  # dropout does act


def test_the_second_pass_draws_no_random_numbers_of_others(examples: Examples) -> None:
    """Between the passes a method's terms may have drawn some; the next ones follow those."""
    model, _ = prepared(variant("hysac, adapted", lora_dropout=0.5), examples)
    gradients = Gradients(model, chunk_size=3, narrow=False)
    points = gradients.points(examples, ROWS)
    torch.rand(3)
    before = torch.get_rng_state()
    gradients.backward(points.safe_text.square().sum())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_leaves_nothing_behind_for_the_next(examples: Examples) -> None:
    model, _ = prepared(variant("hysac"), examples)
    gradients = Gradients(model, chunk_size=3, narrow=False)

    def step() -> dict[str, Tensor]:
        model.zero_grad()
        points = gradients.points(examples, ROWS)
        gradients.backward(points.safe_text.square().sum() + points.unsafe_image.square().sum())
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    first, again = step(), step()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert max(float(gradient.abs().max()) for gradient in first.values()) > 0


def test_a_chunk_as_large_as_the_batch_is_the_plain_batch(examples: Examples) -> None:
    whole, chunked = (
        gradients_of(variant("hysac"), examples, ROWS, chunk_size=size) for size in (None, len(ROWS))
    )
    assert all(torch.equal(whole[name], chunked[name]) for name in whole)


# -- precision ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_with_narrow_towers_the_geometry_is_float32(
    chunk_size: int | None, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features come in bfloat16; their lift, the points, the terms and all gradients are float32."""
    model, _ = prepared(variant("hysac"), examples)
    features: list[Tensor] = []
    original = DualEncoder._lift

    def watched(self: DualEncoder, given: Tensor, log_alpha: Tensor) -> Tensor:
        features.append(given.detach())
        return original(self, given, log_alpha)

    monkeypatch.setattr(DualEncoder, "_lift", watched)
    gradients = Gradients(model, chunk_size=chunk_size, narrow=True)
    points = gradients.points(examples, ROWS)
    assert {given.dtype for given in features} == {torch.bfloat16}
    assert {getattr(points, part).dtype for part in CLASSES} == {torch.float32}
    assert model.log_alpha_text is not None
    expected = model.space.lift(model.log_alpha_text.exp() * features[0].float())
    assert torch.equal(points.safe_text[: len(expected) // 2], expected[: len(expected) // 2])
    terms = variant("hysac").terms(points, space=model.space, logit_scale=model.logit_scale)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    gradients.backward(torch.stack(list(terms.values())).sum())
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


def test_chunks_of_narrow_towers(examples: Examples) -> None:
    """Another padding and another order of sums: bfloat16 has 8 bits."""
    whole, chunked = (
        gradients_of(variant("hysac"), examples, ROWS, chunk_size=size, narrow=True) for size in (None, 3)
    )
    assert_same(chunked, whole, tolerance=0.05)


# -- the towers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hysac", "hysac, adapted", "hycoclip, adapted"])
@pytest.mark.parametrize("chunk_size", [None, 3])
def test_recomputed_activations_give_the_same_gradients(
    name: str, chunk_size: int | None, examples: Examples
) -> None:
    """With dropout in the adapters, which is replayed too."""
    method = variant(name) if name == "hysac" else variant(name, lora_dropout=0.5)

    def found(settings: Settings) -> dict[str, Tensor]:
        model, inputs = prepared(method, examples)
        set_up_towers(model, settings)
        torch.manual_seed(1)
        return gradients_of(method, examples, ROWS, chunk_size=chunk_size, prepared_model=(model, inputs))

    assert_same(found(Settings(gradient_checkpointing=True)), found(Settings()), tolerance=1e-6)


def saved_elements(model: DualEncoder, batch: Batch) -> int:
    """How many numbers a forward pass keeps for the way back."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = model(batch.ids, batch.mask, batch.pixels)
    del held
    return sum(kept.values())


def test_recomputed_activations_are_not_kept(examples: Examples) -> None:
    model, _ = prepared(variant("hysac, adapted"), examples)
    leaner = copy.deepcopy(model)
    set_up_towers(leaner, Settings(gradient_checkpointing=True))
    batch = examples.batch(ROWS)
    assert saved_elements(leaner, batch) < 0.5 * saved_elements(model, batch)


def test_compiled_towers_give_the_same_gradients(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    """By dynamo and autograd's tracing alone: generating and compiling C++ takes half a minute more."""
    compiled: list[str] = []
    original: Callable[..., None] = torch.nn.Module.compile

    def without_kernels(self: torch.nn.Module) -> None:
        compiled.append(type(self).__name__)
        original(self, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", without_kernels)
    method = variant("hysac, adapted")
    model, inputs = prepared(method, examples)
    set_up_towers(model, Settings(compile=True))
    names = list(model.state_dict())
    found = gradients_of(method, examples, ROWS, prepared_model=(model, inputs))
    assert len(compiled) == 2
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2
    assert_same(found, gradients_of(method, examples, ROWS), tolerance=1e-5)
    assert list(model.state_dict()) == names == list(prepared(method, examples)[0].state_dict())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, of another part of torch
def test_compiled_kernels_give_the_same_gradients(examples: Examples) -> None:
    method = HySAC(lora_rank=None)
    model, inputs = prepared(method, examples)
    set_up_towers(model, Settings(compile=True))
    found = gradients_of(method, examples, ROWS, prepared_model=(model, inputs))
    assert_same(found, gradients_of(method, examples, ROWS), tolerance=1e-5)
