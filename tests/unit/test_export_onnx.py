"""ONNX graphs with the lift: ONNX Runtime gives the points of the model, for any number and length."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_samples import CAPTIONS, random_picture, tiny_model
from published_samples import (
    SIGLIP_PREPROCESSOR,
    tiny_siglip,
    write_siglip_tokenizer,
    write_transformers,
)
from tokenizers import Tokenizer

from hyperaware.errors import ConfigError, ModelError
from hyperaware.export import onnx
from hyperaware.export.facts import facts
from hyperaware.export.folder import export
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
TEXTS = [*CAPTIONS, "", "the man " * 20, "a <|endoftext|> gun"]


def on_the_sphere(folder: Path) -> DualEncoder:
    return tiny_model()


def in_lorentz_space(folder: Path) -> DualEncoder:
    return tiny_model(lorentz=True)


def in_flat_space(folder: Path) -> DualEncoder:
    model = tiny_model()
    model.use_euclid(alpha_image=0.5, alpha_text=0.25)
    return model


def of_siglip(folder: Path) -> DualEncoder:
    write_transformers(folder / "siglip", tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
    write_siglip_tokenizer(folder / "siglip")
    return load(folder / "siglip")


@pytest.mark.parametrize("make", [on_the_sphere, in_lorentz_space, in_flat_space, of_siglip])
@torch.no_grad()
def test_onnx_runtime_gives_the_points(
    make: Callable[[Path], DualEncoder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, out = make(tmp_path), tmp_path / "out"
    before, attention = model.encode_text(TEXTS), model.clip.config._attn_implementation
    if make is on_the_sphere:  # its weights lie beside the graph, as those of large models
        monkeypatch.setattr(onnx, "LARGEST", 0)
    written = export(model, format="onnx", out=out)
    assert [record.message for record in caplog.records if "onnx" in record.name] == []
    assert max(written.differences.values()) < 1e-4
    assert ("text.onnx.data" in written.files) is (make is on_the_sphere)
    assert model.clip.config._attn_implementation == attention
    assert torch.equal(model.encode_text(TEXTS), before)  # the model is as it was
    if make is in_lorentz_space:
        refuses_the_graphs_of_another(out, tmp_path, monkeypatch)

    out = out.rename(tmp_path / "moved")
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    for texts in (TEXTS[:1], TEXTS[:5], TEXTS):
        ids = np.array([each.ids for each in tokenizer.encode_batch(texts)], dtype=np.int64)
        assert ids.tolist() == model.tokenizer(texts)[0].tolist()
        same(run(out / "text.onnx", ids), model.encode_text(texts), model)
    for pictures in ([random_picture(0)], [random_picture(seed) for seed in range(7)]):
        found = run(out / "image.onnx", model.preprocess(pictures).numpy())
        same(found, model.encode_image(pictures), model)
    for name in ("text.onnx", "image.onnx"):
        session = onnxruntime.InferenceSession(out / name)
        told = json.loads(session.get_modelmeta().custom_metadata_map["hyperaware"])
        assert told == json.loads(json.dumps(facts(model)))
        assert told == json.loads((out / "hyperaware.json").read_text())
        assert session.get_inputs()[0].shape[0] == "n"


def refuses_the_graphs_of_another(graphs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of other weights in place of those that are asked for."""
    with monkeypatch.context() as patched:
        patched.setattr(onnx, "_export", lambda tower, path, metadata: shutil.copy(graphs / path.name, path))
        with pytest.raises(ModelError, match="run by ONNX Runtime, differ from the model"):
            export(tiny_model(lorentz=True, seed=1), format="onnx", out=folder / "refused")
    assert [path.name for path in folder.iterdir()] == ["out"]


def run(path: Path, given: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs by name."""
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    (inlet,) = session.get_inputs()
    return dict(zip(names, session.run(None, {inlet.name: given}), strict=True))


def same(found: dict[str, np.ndarray], points: torch.Tensor, model: DualEncoder) -> None:
    expected = {"point": points}
    if model.space.has_root:
        expected["root_distance"] = model.space.root_distance(points)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values.numpy(), rtol=0, atol=1e-5)


def test_the_facts_have_space_bounds_and_preprocessing() -> None:
    model = load("world-hysac-ordered")
    told = facts(model)
    assert told["fingerprint"] == model.fingerprint
    assert told["space"] == model.space.config()
    assert told["preprocess"]["size"] == 48
    assert told["tokenizer"] == {"context_length": 40, "eos_id": 1, "pad_id": 0}
    assert told["bounds"]["trigger"].keys() == {"text", "image"}
    assert facts(load("world"))["bounds"] is None


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_the_extra_is_named(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Any = None
    monkeypatch.setitem(sys.modules, missing, absent)
    with pytest.raises(ConfigError, match=r"pip install 'hyperaware\[onnx\]'"):
        export(tiny_model(), format="onnx", out=tmp_path / "out")
