"""Who can be compared: the methods of the field by name, and the studies that vary the settings of one.

Each method is its shipped recipe. Recipes in TOML files and finished models can stand beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hyperaware.models.pretrained import CONFIG
from hyperaware.options import unknown_name

__all__ = ["CONTENDERS", "DEFAULT", "STUDIES", "Contender", "StudyPlan", "contender", "studies"]


@dataclass(frozen=True)
class Contender:
    """One method, and how a model of it is made: by a recipe, by an edit of the base, or not at all."""

    name: str
    title: str
    paper: str
    recipe: str | None = None
    """A shipped recipe, or a TOML file."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """Settings that differ from the recipe's, as `--set` takes them."""
    edit: str | None = None
    """A weight edit of the base: "uwm"."""
    model: str | None = None
    """A finished model; None without recipe and edit: the base as it is."""

    @property
    def has_seeds(self) -> bool:
        """Whether a seed makes a difference."""
        return self.recipe is not None or self.edit is not None


@dataclass(frozen=True)
class StudyPlan:
    """A study to be made: contenders that differ in one setting, with the labels of their lines."""

    title: str
    source: str
    swept: str | None
    variants: tuple[tuple[str, float | None, Contender], ...]


_HYSAC = Contender("hysac", "HySAC", "arXiv 2503.12127", recipe="world-hysac")
_SHIELD = Contender("shield-clip", "ShieldCLIP", "arXiv 2609.39688", recipe="world-shield-clip")
_EUCLIDEAN = Contender(
    "euclidean-hysac", "Euclidean HySAC", "arXiv 2503.12127", recipe="world-euclidean-hysac"
)

CONTENDERS: Mapping[str, Contender] = {
    one.name: one
    for one in (
        Contender("clip", "CLIP", "arXiv 2103.00020"),
        Contender("safe-clip", "Safe-CLIP", "arXiv 2311.16254", recipe="world-safe-clip"),
        Contender("safer-clip", "SafeR-CLIP", "arXiv 2511.16743", recipe="world-safer-clip"),
        _SHIELD,
        Contender("meru", "MERU*", "arXiv 2304.09172", recipe="world-meru"),
        Contender("hycoclip", "HyCoCLIP*", "arXiv 2410.06912", recipe="world-hycoclip"),
        _HYSAC,
        Contender("hysac-ordered", "HySAC, ordered (ours)", "ours", recipe="world-hysac-ordered"),
        _EUCLIDEAN,
        Contender("uwm", "UWM", "arXiv 2503.11742", edit="uwm"),
    )
}
DEFAULT = (
    "clip",
    "safe-clip",
    "safer-clip",
    "shield-clip",
    "meru",
    "hycoclip",
    "hysac",
    "hysac-ordered",
    "uwm",
)


def _variant(of: Contender, **changes: str) -> Contender:
    said = ",".join(f"{key}={value}" for key, value in changes.items())
    return Contender(f"{of.name}[{said}]", of.title, of.paper, recipe=of.recipe, changes=changes)


STUDIES: Mapping[str, StudyPlan] = {
    "aperture-sweep": StudyPlan(
        title="HySAC: scale of the cones' half-aperture",
        source="HySAC, table 10",
        swept="aperture scale",
        variants=tuple(
            (f"{value:g}", value, _HYSAC if value == 1 else _variant(_HYSAC, aperture_scale=f"{value:g}"))
            for value in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
        ),
    ),
    "loss-ablation": StudyPlan(
        title="HySAC: without its entailment terms",
        source="HySAC, table 3",
        swept=None,
        variants=(
            ("HySAC", None, _HYSAC),
            ("no safety term", None, _variant(_HYSAC, safety_weight="0")),
            ("no entailment", None, _variant(_HYSAC, entailment_weight="0", safety_weight="0")),
        ),
    ),
    "geometry": StudyPlan(
        title="HySAC: hyperbolic or Euclidean",
        source="HySAC, table 9",
        swept=None,
        variants=(("HySAC", None, _HYSAC), ("Euclidean HySAC", None, _EUCLIDEAN)),
    ),
    "shield-clip-weights": StudyPlan(
        title="ShieldCLIP: without its contrastive terms",
        source="ShieldCLIP, table 11",
        swept=None,
        variants=(
            ("full", None, _SHIELD),
            ("cosine only", None, _variant(_SHIELD, cosine_only="true")),
        ),
    ),
}
"""Every variant is run with the first seed only."""


def contender(name: str) -> Contender:
    """The contender called `name`: a method, a recipe in a TOML file, or the folder of a finished model.

    Raises:
        ConfigError: it is none of these.
    """
    if name in CONTENDERS:
        return CONTENDERS[name]
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return Contender(path.stem, path.stem, "own recipe", recipe=name)
    if (path / CONFIG).is_file():
        return Contender(path.name, path.name, "own model", model=name)
    raise unknown_name("method (or a recipe's TOML file, or a model's folder)", name, CONTENDERS)


def studies(names: Sequence[str]) -> dict[str, StudyPlan]:
    """The studies of these names.

    Raises:
        ConfigError: no such study.
    """
    for name in names:
        if name not in STUDIES:
            raise unknown_name("study", name, STUDIES)
    return {name: STUDIES[name] for name in names}
