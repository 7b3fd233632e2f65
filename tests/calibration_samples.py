"""A tiny model with bounds and a calibration, and rows of points to measure them on."""

import torch

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.calibration import Calibration
from hyperaware.moderation.concepts import Scorer

CATEGORIES = ("violence", "illegal", "weather")


def points_around(
    model: DualEncoder, *, n: int = 200, seed: int = 0, shift: float = 0.0, categories: bool = True
) -> Quadruplet:
    """Points of the model's space: safe ones about 1 from the root, unsafe ones about 1.6, overlapping.

    `shift` moves the safe ones outward. Categories are given in turn; the third is none of the concepts'.
    """
    generator = torch.Generator().manual_seed(seed)

    def at(mean: float) -> torch.Tensor:
        direction = torch.randn(n, model.dim, generator=generator)
        distances = mean + 0.2 * torch.randn(n, generator=generator)
        return model.space.move_to(direction, distances.clamp(min=0.1)).detach()

    parts = {f"safe_{modality}": at(1.0 + shift) for modality in ("text", "image")}
    parts |= {f"unsafe_{modality}": at(1.6) for modality in ("text", "image")}
    names = tuple(CATEGORIES[row % 3] for row in range(n)) if categories else ()
    return Quadruplet(**parts, categories=names)


def measured(
    model: DualEncoder,
    points: Quadruplet,
    *,
    scorer: Scorer | None = None,
    domains: tuple[str | None, ...] = (),
    alpha: float = 0.05,
    miss_rate: float = 0.02,
) -> tuple[Bounds, Calibration]:
    """Bounds and calibration of these points."""
    bounds = bounds_module.measure(
        points,
        space=model.space,
        model_fingerprint=model.fingerprint,
        data_fingerprint="data-a",
        split="calibration",
        alpha=alpha,
        miss_rate=miss_rate,
    )
    calibration = calibration_module.measure(
        points,
        space=model.space,
        bounds=bounds,
        domains=domains,
        domain_by="slice" if domains else None,
        scorer=scorer,
    )
    return bounds, calibration
