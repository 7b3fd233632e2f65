"""The cosine term: a point of the sphere goes where another one is."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["cosine_distance"]


def cosine_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """The mean of 1 - cos(x_i, y_i), in [0, 2]; x and y are points of the `Sphere`, that is unit vectors.

    Source: preservation and redirection of Safe-CLIP (arXiv 2311.16254) and SafeR-CLIP (arXiv 2511.16743).

    >>> import torch
    >>> cosine_distance(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
    tensor(0.2000)
    """
    return (1 - (x * y).sum(-1)).mean()
