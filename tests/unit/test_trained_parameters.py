"""Everything that is trained gets a gradient, on CLIP and on SigLIP: nothing idle is optimised."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_samples import random_points, random_rows
from published_samples import (
    CLIP_PREPROCESSOR,
    SIGLIP_PREPROCESSOR,
    tiny_clip,
    tiny_siglip,
    write_siglip_tokenizer,
    write_tokenizer,
    write_transformers,
)

from hyperaware.evaluation.examples import Examples
from hyperaware.methods.hysac import HySAC
from hyperaware.methods.safe_clip import SafeCLIP
from hyperaware.models.adapters import add_lora, merged
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load

KINDS = ("clip", "siglip")
Read = Callable[[str], DualEncoder]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A small model of that kind, from a folder of transformers."""

    def made(kind: str) -> DualEncoder:
        folder = tmp_path / kind
        if kind == "clip":
            write_transformers(folder, tiny_clip(), preprocessor=CLIP_PREPROCESSOR)
            write_tokenizer(folder)
        else:
            write_transformers(folder, tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
            write_siglip_tokenizer(folder)
        return load(folder)

    return made


def without_gradient(model: DualEncoder, method: HySAC | SafeCLIP, rows: Path) -> set[str]:
    """The trained parameters that a loss of this method leaves without a gradient."""
    examples = Examples(random_rows(rows, 6), model=model)
    batch = examples.batch(torch.arange(6))

    def points() -> tuple[torch.Tensor, torch.Tensor]:
        return model(batch.ids, batch.mask, batch.pixels)

    with torch.no_grad():
        reference = batch.quadruplet(*points())
        features = batch.quadruplet(
            model.features_of_tokens(batch.ids, batch.mask), model.features_of_pixels(batch.pixels)
        )
    method.prepare(model, features=features)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)  # it starts at zero, and then no gradient passes to lora_A
    inputs = {"reference": reference} if isinstance(method, SafeCLIP) else {}
    terms = method.terms(
        batch.quadruplet(*points()), space=model.space, logit_scale=model.logit_scale, **inputs
    )
    torch.stack([method.weight(name) * term for name, term in terms.items()]).sum().backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert len(trained) > 10
    return {name for name, gradient in trained.items() if gradient is None or not gradient.any()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [2, None], ids=["adapted", "full"])
@pytest.mark.parametrize("method", [HySAC, SafeCLIP])
def test_every_trained_parameter_gets_a_gradient(
    kind: str, rank: int | None, method: type[HySAC | SafeCLIP], read: Read, tmp_path: Path
) -> None:
    chosen = method(lora_rank=rank, lora_dropout=0.0)
    assert without_gradient(read(kind), chosen, tmp_path / "rows") == set()


def test_siglips_pooling_is_adapted_in_its_mlp_only(read: Read) -> None:
    model = read("siglip")
    add_lora(model, rank=2)
    head = {
        name.partition("vision_model.head.")[2].partition(".lora_A")[0]
        for name, _ in model.named_parameters()
        if "vision_model.head." in name and "lora_A" in name
    }
    assert head == {"mlp.fc1", "mlp.fc2"}


def test_siglips_bias_is_kept_as_it_was(read: Read) -> None:
    """No loss here has it: a softmax over similarities does not change when all of them grow by a number."""
    model = read("siglip")
    assert not model.clip.logit_bias.requires_grad
    features = random_points(4, model.dim).map(torch.Tensor.detach)
    HySAC(lora_rank=2, start_norm=0.5).prepare(model, features=features)
    assert merged(model).clip.logit_bias.item() == -3.0
