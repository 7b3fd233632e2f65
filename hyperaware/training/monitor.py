"""What a run watches: recall sum on validation rows, root distances of the four classes, saturated cones."""

import math
from typing import Any

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry import euclid, lorentz
from hyperaware.geometry.space import Lorentz, Space
from hyperaware.metrics.retrieval import ranks, recall_at
from hyperaware.metrics.separation import auroc
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["radial_figures", "scalars", "validation_figures"]

MIN_RADIUS = 0.1
"""K of the cones where a method names none, for the share of saturated ones."""
CLASSES = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")


def validation_figures(
    points: Quadruplet,
    *,
    space: Space,
    selection: tuple[tuple[str, str], ...],
    min_radius: float = MIN_RADIUS,
) -> dict[str, Any]:
    """R@1 of each retrieval in `selection`, their sum, and the radial figures."""
    targets = torch.arange(len(points.safe_text))
    figures: dict[str, Any] = {}
    for query, item in selection:
        found = ranks(getattr(points, query), getattr(points, item), targets, space.similarity)
        figures[f"recall@1/{query}->{item}"] = recall_at(found, 1)
    figures["recall_sum"] = sum(figures.values())
    return figures | radial_figures(points, space=space, min_radius=min_radius)


@torch.no_grad()
def radial_figures(points: Quadruplet, *, space: Space, min_radius: float = MIN_RADIUS) -> dict[str, Any]:
    """Root-distance quantiles of the four classes and AUROC per modality; empty on a sphere.

    `saturated`: the share of points whose cone is half a turn wide, where the half-aperture has no gradient.
    An AUROC is absent where the labels call no generated item of the modality unsafe.
    """
    if not space.has_root:
        return {}
    distances = {name: space.root_distance(getattr(points, name)).cpu() for name in CLASSES}
    figures: dict[str, Any] = {}
    for name, values in distances.items():
        quantiles = torch.quantile(values, torch.tensor([0.05, 0.5, 0.95]))
        figures[f"root_distance/{name}"] = [round(float(q), 5) for q in quantiles]
    every = torch.cat([getattr(points, name) for name in CLASSES])
    half = (
        lorentz.half_aperture(every, space.curv, min_radius=min_radius)
        if isinstance(space, Lorentz)
        else euclid.half_aperture(every, min_radius=min_radius)
    )
    figures["saturated"] = float((half >= math.pi / 2).float().mean())
    for modality in ("text", "image"):
        unsafe = _generated_is_unsafe(points, modality)
        if unsafe.any():
            scores = torch.cat([distances[f"safe_{modality}"], distances[f"unsafe_{modality}"]])
            figures[f"auroc/{modality}"] = auroc(scores, torch.cat([torch.zeros_like(unsafe), unsafe]))
    return figures


def _generated_is_unsafe(points: Quadruplet, modality: str) -> Tensor:
    labels = getattr(points, f"unsafe_{modality}_is_unsafe")
    if labels is None:
        return torch.ones(len(points), dtype=torch.bool)
    return labels.cpu()


def scalars(model: DualEncoder) -> dict[str, float]:
    """The model's scalars as they act: curvature, alphas, logit scale (not their logarithms)."""
    return {name.removeprefix("log_"): float(value.detach().exp()) for name, value in model.scalars()}
