"""Where the embeddings of a model live: on a sphere (CLIP), in flat or in hyperbolic space (HySAC)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.geometry import lorentz
from hyperaware.options import unknown_name

__all__ = ["Euclid", "Lorentz", "Space", "Sphere", "space_from_config"]


@runtime_checkable
class Space(Protocol):
    """What models, losses, indices and metrics may ask of the space of their points."""

    @property
    def name(self) -> str:
        """The name in `config()` and in `space_from_config`."""

    @property
    def has_root(self) -> bool:
        """Whether points have a `root_distance`. If not, it and `move_to` raise `ConfigError`."""

    @property
    def curv(self) -> lorentz.Curvature:
        """Minus the sectional curvature, in 1/length²; not negative exactly where there is a root."""

    def lift(self, features: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Points from the outputs of an encoder."""

    def similarity(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Higher is closer, for every pair."""

    def distance(self, x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*_"]:
        """Geodesic distance, row by row."""

    def root_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Geodesic distance to the root."""

    def move_to(
        self, x: Float[Tensor, "*#batch d"], root_distance: float | int | Float[Tensor, "*#batch"]
    ) -> Float[Tensor, "*_ d"]:
        """Points moved along their rays to a distance from the root."""

    def product_items(self, y: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """Vectors to store: their inner products with `product_queries` are in the order of `similarity`."""

    def product_queries(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Vectors to ask with."""

    def ball(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Vectors whose L2 order approximates that of the distances: search by them, then re-rank."""

    def config(self) -> dict[str, Any]:
        """What `space_from_config` needs to make this space again."""


@dataclass(frozen=True)
class Sphere:
    """Unit vectors compared by their cosine: the space of CLIP. It has no root, hence no root distances.

    >>> Sphere().similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]]))
    tensor([[0.6000]])
    """

    @property
    def name(self) -> str:
        return "sphere"

    @property
    def has_root(self) -> bool:
        return False

    @property
    def curv(self) -> float:
        """-1: a unit sphere has the sectional curvature +1, for which no hyperbolic formula holds."""
        return -1.0

    def lift(self, features: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """features / |features|; a zero row stays zero."""
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return (wide / torch.where(norm == 0, 1.0, norm)).to(features.dtype)

    def similarity(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Cosine, in [-1, 1]."""
        return x @ y.T

    def distance(self, x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*_"]:
        """Angle in [0, pi], by 2 atan2(|x-y|, |x+y|), which is exact for near points too."""
        apart, together = (torch.linalg.vector_norm(z, dim=-1) for z in (x - y, x + y))
        return 2 * torch.atan2(apart, together)

    def root_distance(self, x: Float[Tensor, "*batch d"]) -> NoReturn:
        raise _no_root("root distance")

    def move_to(self, x: Tensor, root_distance: float | int | Tensor) -> NoReturn:
        raise _no_root("root distance to move to")

    def product_items(self, y: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return y

    def product_queries(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return x

    def ball(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The points themselves; here the order is exact."""
        return x

    def config(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class Euclid:
    """Flat space with a root: what Lorentz space is at c = 0, for the twin that tells what curvature does.

    >>> Euclid().root_distance(Euclid().lift(torch.tensor([[0.3, 0.4]])))
    tensor([0.5000])
    """

    @property
    def name(self) -> str:
        return "euclid"

    @property
    def has_root(self) -> bool:
        return True

    @property
    def curv(self) -> float:
        return 0.0

    def lift(self, features: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The features themselves."""
        return features

    def similarity(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Minus the distance."""
        return -torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")

    def distance(self, x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*_"]:
        return torch.linalg.vector_norm(x - y, dim=-1)

    def root_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """The norm."""
        return torch.linalg.vector_norm(x, dim=-1)

    def move_to(
        self, x: Float[Tensor, "*#batch d"], root_distance: float | int | Float[Tensor, "*#batch"]
    ) -> Float[Tensor, "*_ d"]:
        """x scaled to this norm; the root has no ray and stays."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        length = torch.as_tensor(root_distance, dtype=x.dtype, device=x.device).clamp(min=0)
        return length.unsqueeze(-1) * x / torch.where(norm == 0, 1.0, norm)

    def product_items(self, y: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """(y, -|y|²/2)."""
        return torch.cat([y, -y.square().sum(-1, keepdim=True) / 2], dim=-1)

    def product_queries(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """(x, 1): with (y, -|y|²/2) it gives (|x|² - |x-y|²)/2, which falls with the distance."""
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=-1)

    def ball(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The points themselves; here the order is exact."""
        return x

    def config(self) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class Lorentz:
    """Hyperbolic space by space coordinates on the hyperboloid: the space of HySAC and MERU.

    >>> space = Lorentz(curv=1.0)
    >>> space.root_distance(space.lift(torch.tensor([[0.3, 0.4]])))
    tensor([0.5000])
    """

    curv: lorentz.Curvature = 1.0
    """Minus the sectional curvature, in 1/length²; a tensor where it is learned."""

    def __post_init__(self) -> None:
        if not isinstance(self.curv, Tensor) and not 0 < self.curv < float("inf"):
            raise ConfigError(
                f"got curv={self.curv}, expected a positive number (minus the sectional curvature)."
            )

    @property
    def name(self) -> str:
        return "lorentz"

    @property
    def has_root(self) -> bool:
        return True

    def lift(self, features: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """`exp_map0`: the length of a feature becomes the root distance of its point."""
        return lorentz.exp_map0(features, self.curv)

    def similarity(self, x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Minus the geodesic distance."""
        return -lorentz.pairwise_distance(x, y, self.curv)

    def distance(self, x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*_"]:
        return lorentz.distance(x, y, self.curv)

    def root_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        return lorentz.root_distance(x, self.curv)

    def move_to(
        self, x: Float[Tensor, "*#batch d"], root_distance: float | int | Float[Tensor, "*#batch"]
    ) -> Float[Tensor, "*_ d"]:
        return lorentz.move_to(x, root_distance, self.curv)

    def product_items(self, y: Float[Tensor, "m d"]) -> Float[Tensor, "m k"]:
        """(y, y_t)."""
        return torch.cat([y, lorentz.time(y, self.curv).unsqueeze(-1)], dim=-1)

    def product_queries(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """(x, -x_t): with (y, y_t) it gives the Lorentz inner product, which falls with the distance."""
        return torch.cat([x, -lorentz.time(x, self.curv).unsqueeze(-1)], dim=-1)

    def ball(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """x / (1/sqrt(c) + x_t), in the unit ball."""
        return lorentz.ball(x, self.curv)

    def config(self) -> dict[str, Any]:
        return {"name": self.name, "curv": float(torch.as_tensor(self.curv).detach())}


SPACES: dict[str, Callable[..., Space]] = {"sphere": Sphere, "euclid": Euclid, "lorentz": Lorentz}


def space_from_config(config: Mapping[str, Any]) -> Space:
    """The space that `config()` describes.

    >>> space_from_config({"name": "lorentz", "curv": 0.1})
    Lorentz(curv=0.1)

    Raises:
        ConfigError: no name, an unknown name, or settings that this space does not have.
    """
    settings = dict(config)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"a space is described by a name and settings, got {dict(config)}.")
    if name not in SPACES:
        raise unknown_name("space", name, SPACES)
    try:
        return SPACES[name](**settings)
    except TypeError as error:
        raise ConfigError(f"the space {name!r} cannot be made from {settings}: {error}.") from error


def _no_root(what: str) -> ConfigError:
    return ConfigError(f"a sphere has no root and therefore no {what}; use a model whose space is 'lorentz'.")
