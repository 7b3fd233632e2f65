"""The spaces in which embeddings live: `lorentz` holds every formula, `space` the one interface over them."""

from hyperaware.geometry.space import Lorentz, Space, Sphere, space_from_config

__all__ = ["Lorentz", "Space", "Sphere", "space_from_config"]
