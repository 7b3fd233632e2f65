"""Both towers with the lift as ONNX graphs, which ONNX Runtime opens without torch.

    text.onnx    input_ids (n, length) int64            -> point (n, dim), and root_distance (n,) with a root
    image.onnx   pixel_values (n, 3, size, size) float  -> the same

n and length are free. Texts need no mask: they are padded at the end, and the towers are causal (CLIP) or
read the padding by design (SigLIP, padded to its context within the graph). `tokenizer.json` cuts and pads.
"""

import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hyperaware.errors import ConfigError
from hyperaware.export.facts import alphas, write_facts
from hyperaware.export.probes import difference, pixels_of, require_close, tokens_of
from hyperaware.export.processor import padded_backend
from hyperaware.geometry.space import Space, space_from_config
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.tokenizer import FILE

__all__ = ["FILES", "write"]

FILES = {"text": "text.onnx", "image": "image.onnx"}
OPSET = 18
"""What torch's exporter writes without converting."""
LARGEST = 1_800_000_000
"""Bytes of weights in one file: protobuf ends at 2 GiB. More go into a file `.data` beside it."""
TOLERANCE = 1e-4


def write(model: DualEncoder, out: Path) -> dict[str, float]:
    """Write graphs, tokenizer and facts, and run them in ONNX Runtime: the largest difference by modality.

    Raises:
        ConfigError: the packages of the extra `onnx` are missing.
        ModelError: the graphs give other points than the model.
    """
    runtime = _runtime()
    told = write_facts(model, out)
    (out / FILE).write_text(padded_backend(model.tokenizer).to_str(pretty=True), encoding="utf-8")
    towers: dict[str, TextTower | ImageTower] = {"text": TextTower(model), "image": ImageTower(model)}
    for modality, tower in towers.items():
        _export(tower, out / FILES[modality], metadata={"hyperaware": json.dumps(told)})
    return require_close(_compared(model, runtime, out), TOLERANCE, what="the graphs, run by ONNX Runtime,")


def _runtime() -> Any:
    """onnxruntime, once it is sure that torch's exporter finds what it needs too."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"{name} is not installed, which ONNX needs: pip install 'hyperaware[onnx]'."
            ) from error
    return module


class Lift(nn.Module):
    """From features to the outputs of a graph."""

    def __init__(self, space: Space, alpha: float) -> None:
        super().__init__()
        self.space, self.alpha = space, alpha

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        point = self.space.lift(self.alpha * features)
        return (point, self.space.root_distance(point)) if self.space.has_root else (point,)


class TextTower(nn.Module):
    """The graph of texts."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.clip = model.clip
        self.lift = Lift(space_from_config(model.space.config()), alphas(model)["text"])
        self.example = next(tokens_of(model))[0].repeat(2, 1)
        longest = model.tokenizer.context_length
        self.free = {"input_ids": {0: torch.export.Dim("n"), 1: torch.export.Dim("length", max=longest)}}

    def forward(self, input_ids: Tensor) -> tuple[Tensor, ...]:
        return self.lift(self.clip.get_text_features(input_ids=input_ids).pooler_output)


class ImageTower(nn.Module):
    """The graph of pictures."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.clip = model.clip
        self.lift = Lift(space_from_config(model.space.config()), alphas(model)["image"])
        self.example = next(pixels_of(model)).repeat(2, 1, 1, 1)
        self.free = {"pixel_values": {0: torch.export.Dim("n")}}

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        return self.lift(self.clip.get_image_features(pixel_values=pixel_values).pooler_output)


def _export(tower: TextTower | ImageTower, path: Path, *, metadata: dict[str, str]) -> None:
    outputs = ["point", "root_distance"] if tower.lift.space.has_root else ["point"]
    with torch.no_grad(), _plain_attention(tower.clip), _quiet():
        program: Any = torch.onnx.export(
            tower.eval(),
            (tower.example,),
            dynamo=True,
            dynamic_shapes=tower.free,
            input_names=list(tower.free),
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    program.model.metadata_props.update(metadata)
    weights = sum(each.numel() * each.element_size() for each in tower.parameters())
    program.save(path, external_data=weights > LARGEST)


@contextmanager
def _plain_attention(clip: Any) -> Iterator[None]:
    """Attention written out: products and a softmax, which every runtime has."""
    before = clip.config._attn_implementation
    clip.set_attn_implementation("eager")
    try:
        yield
    finally:
        clip.set_attn_implementation(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter and its optimiser tell their developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def _compared(model: DualEncoder, runtime: Any, out: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    inputs = {
        "text": [(ids, model.embed_tokens(ids, mask)) for ids, mask in tokens_of(model)],
        "image": [(pixels, model.embed_pixels(pixels)) for pixels in pixels_of(model)],
    }
    for modality, cases in inputs.items():
        session = runtime.InferenceSession(out / FILES[modality], providers=["CPUExecutionProvider"])
        (name,) = (given.name for given in session.get_inputs())
        worst = 0.0
        for given, points in cases:
            expected = [points, model.space.root_distance(points)] if model.space.has_root else [points]
            outputs = session.run(None, {name: given.numpy()})
            worst = max(
                worst,
                *(difference(torch.from_numpy(one), two) for one, two in zip(outputs, expected, strict=True)),
            )
        found[modality] = worst
    return found
