"""The spaces of embeddings: formulas in `lorentz` and `euclid`, in `space` the one interface over them."""

from hyperaware.geometry.space import Euclid, Lorentz, Space, Sphere, space_from_config

__all__ = ["Euclid", "Lorentz", "Space", "Sphere", "space_from_config"]
