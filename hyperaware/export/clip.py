"""A plain folder of transformers: `CLIPModel` or `SiglipModel`, with tokenizer and image processor.

It gives the features *before the lift*. On the sphere nothing else is needed: transformers normalises them.
Of a model with a root it is the encoders alone; `hyperaware.json` beside them has what the lift needs.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.export.facts import write_facts
from hyperaware.export.probes import difference, pixels_of, require_close, tokens_of
from hyperaware.export.processor import require_same_tokens, write_processor, write_tokenizer
from hyperaware.models.architectures import architecture_of
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["towers_as_published", "write"]

CLASSES = {"clip": "CLIPModel", "siglip": "SiglipModel"}
TOLERANCE = 1e-5


def write(model: DualEncoder, out: Path) -> dict[str, float]:
    """Write the folder, and open it with transformers: the largest difference of the features by modality.

    Raises:
        ModelError: towers that transformers has no class for, or a folder that gives other ids or features.
    """
    kind = architecture_of(model.clip)
    towers_as_published(model).save_pretrained(out)
    write_tokenizer(model, out, kind=kind)
    write_processor(model, out, kind=kind)
    write_facts(model, out)
    require_same_tokens(model, out, padding="max_length" if kind == "siglip" else True)
    return _compared(model, out, kind)


def towers_as_published(model: DualEncoder) -> Any:
    """The towers as transformers' own class, which has a logit scale of its own. The weights are shared.

    Raises:
        ModelError: MERU's towers, which transformers has no class for.
    """
    import transformers

    kind = architecture_of(model.clip)
    if kind not in CLASSES:
        raise ModelError(
            f"the towers of {model.name} are of the kind {kind!r}, which transformers has no class for. "
            "Export it as onnx or safetensors."
        )
    cls = getattr(transformers, CLASSES[kind])
    config = cls.config_class.from_dict(_settings(model))
    with torch.device("meta"):
        towers = cls(config)
    scale = model.log_logit_scale.detach()
    own = towers.state_dict()["logit_scale"]
    weights = model.clip.state_dict() | {"logit_scale": scale.reshape(own.shape).clone()}
    towers.load_state_dict(weights, assign=True)
    return towers.eval()


def _settings(model: DualEncoder) -> dict[str, Any]:
    """The towers' config without what says how they were loaded here."""
    settings = model.config.to_dict()
    if settings["model_type"] == "siglip":
        settings.pop("projection_dim", None)  # ours; transformers has it in the text config
    for derived in ("transformers_version", "_name_or_path"):
        settings.pop(derived, None)
    return settings


@torch.no_grad()
def _compared(model: DualEncoder, out: Path, kind: str) -> dict[str, float]:
    import transformers

    theirs = getattr(transformers, CLASSES[kind]).from_pretrained(out).eval()
    found: dict[str, float] = {"image": 0.0, "text": 0.0}
    for pixels in pixels_of(model):
        expected = model.features_of_pixels(pixels)
        found["image"] = max(found["image"], difference(_pooled(theirs.get_image_features(pixels)), expected))
    whole = model.tokenizer.context_length if kind == "siglip" else None
    for ids, mask in tokens_of(model):
        expected = model.features_of_tokens(ids, mask)
        if whole is not None:
            missing = whole - ids.shape[1]
            ids = torch.nn.functional.pad(ids, (0, missing), value=model.tokenizer.pad_id)
        features = _pooled(theirs.get_text_features(ids))
        found["text"] = max(found["text"], difference(features, expected))
    return require_close(found, TOLERANCE, what="the files, opened by transformers,")


def _pooled(output: Any) -> Tensor:
    return output.pooler_output
