"""What a program that opens an exported model must know beside the weights: `hyperaware.json`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.calibration import Calibration

__all__ = ["FILE_NAME", "Judged", "alphas", "facts", "judged", "write_facts"]

FILE_NAME = "hyperaware.json"

Judged = tuple[Bounds | None, Calibration | None]
"""A model's bounds and what is promised of them."""


def judged(model: DualEncoder) -> Judged:
    """The bounds and the calibration beside the model; None for each that is not there.

    Raises:
        SafetyError: they are damaged, or were measured with other weights.
    """
    if not model.space.has_root or model.folder is None:
        return None, None
    if not (model.folder / bounds_module.FILE_NAME).is_file():
        return None, None
    bounds = bounds_module.load(model.folder, model_fingerprint=model.fingerprint)
    return bounds, calibration_module.load(model.folder, bounds=bounds)


def alphas(model: DualEncoder) -> dict[str, float]:
    """The factor on the features of each modality before the lift; 1 on the sphere."""
    named = {"text": model.log_alpha_text, "image": model.log_alpha_image}
    return {name: 1.0 if alpha is None else float(alpha.detach().exp()) for name, alpha in named.items()}


def facts(model: DualEncoder) -> dict[str, Any]:
    """Space, scales, preprocessing, special tokens and, where they were measured, the bounds."""
    bounds, _ = judged(model)
    tokenizer = model.tokenizer
    return {
        "name": model.name,
        "fingerprint": model.fingerprint,
        "space": model.space.config(),
        "dim": model.dim,
        "alpha": alphas(model),
        "logit_scale": float(model.logit_scale.detach()),
        "preprocess": model.preprocess.config(),
        "tokenizer": {
            "context_length": tokenizer.context_length,
            "eos_id": tokenizer.eos_id,
            "pad_id": tokenizer.pad_id,
        },
        "bounds": None if bounds is None else asdict(bounds),
    }


def write_facts(model: DualEncoder, folder: Path) -> dict[str, Any]:
    """`facts`, which now lie in the folder too."""
    found = facts(model)
    (folder / FILE_NAME).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return found
