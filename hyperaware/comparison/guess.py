"""What a model that knows nothing reaches: random points, measured by the same functions."""

import torch

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.keys import Figures
from hyperaware.evaluation.preference import safe_preferences
from hyperaware.evaluation.protocols import safe_retrieval
from hyperaware.geometry.space import Sphere

__all__ = ["random_figures"]

WIDTH = 128
SEED = 0


def random_figures(rows: int) -> Figures:
    """Safe retrieval and SafeGround of random points on a sphere, as many rows as a comparison has."""
    generator = torch.Generator().manual_seed(SEED)
    space = Sphere()
    safe_image, safe_text, unsafe_image, unsafe_text = (
        space.lift(torch.randn(rows, WIDTH, generator=generator)) for _ in range(4)
    )
    points = Quadruplet(safe_image, safe_text, unsafe_image, unsafe_text)
    everything = torch.ones(rows, dtype=torch.bool)
    return safe_retrieval(points, space=space) | safe_preferences(points, everything, space=space)
