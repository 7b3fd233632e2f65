"""What a run watches: recall sum on validation rows, root distances of the four classes, saturated cones."""

import math
from typing import Any

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Lorentz, Space
from hyperaware.metrics.retrieval import ranks, recall_at
from hyperaware.metrics.separation import auroc
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["radial_figures", "scalars", "validation_figures"]

CLASSES = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")


def validation_figures(
    points: Quadruplet, *, space: Space, selection: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """R@1 of each retrieval in `selection`, their sum, and the radial figures."""
    targets = torch.arange(len(points.safe_text))
    figures: dict[str, Any] = {}
    for query, item in selection:
        found = ranks(getattr(points, query), getattr(points, item), targets, space.similarity)
        figures[f"recall@1/{query}->{item}"] = recall_at(found, 1)
    figures["recall_sum"] = sum(figures.values())
    return figures | radial_figures(points, space=space)


def radial_figures(points: Quadruplet, *, space: Space) -> dict[str, Any]:
    """Root-distance quantiles of the four classes and AUROC per modality; empty on a sphere.

    `saturated`: the share of points whose cone is half a turn wide, where the half-aperture has no gradient.
    """
    if not isinstance(space, Lorentz):
        return {}
    distances = {name: space.root_distance(getattr(points, name)).detach().cpu() for name in CLASSES}
    figures: dict[str, Any] = {}
    for name, values in distances.items():
        quantiles = torch.quantile(values, torch.tensor([0.05, 0.5, 0.95]))
        figures[f"root_distance/{name}"] = [round(float(q), 5) for q in quantiles]
    edge = math.asinh(2 * 0.1) / math.sqrt(float(space.curv))
    every = torch.cat(list(distances.values()))
    figures["saturated"] = float((every < edge).float().mean())
    for modality in ("text", "image"):
        figures[f"auroc/{modality}"] = _auroc(distances, modality)
    return figures


def _auroc(distances: dict[str, Tensor], modality: str) -> float:
    safe, unsafe = distances[f"safe_{modality}"], distances[f"unsafe_{modality}"]
    labels = torch.cat([torch.zeros(len(safe)), torch.ones(len(unsafe))]).bool()
    return auroc(torch.cat([safe, unsafe]), labels)


def scalars(model: DualEncoder) -> dict[str, float]:
    """The model's scalars as they act: curvature, alphas, logit scale (not their logarithms)."""
    return {name.removeprefix("log_"): float(value.exp()) for name, value in model.scalars()}
