"""Categories of harm as prompts in an editable file, and the score of a point for each of them.

`concepts.toml` explains its keys. A category has a direction w_c and an origin b_c, fitted to the points of
prompts alone, in the tangent space at the root, z = log_0(x):

    score_c(x) = w_c . z + b_c,    w_c, b_c = argmin  E_p (w.z + b - 1)^2 / 2 + E_n (w.z + b)^2 / 2 + l |w|^2

p runs over the category's prompts in every template, n over the neutral ones and those of `contrast`, and l
is `RIDGE` times the mean variance of a coordinate. Like most linear zero-shot classifiers it needs no
pictures; unlike the usual cosine with a prompt it is blind to the scene around a thing, which fills most of a
point: the templates show every prompt in the same scenes, so no weight is left on them. The categories are
separate regressions, so an item may have several.
"""

import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.geometry import lorentz
from hyperaware.geometry.space import Lorentz, Space, space_from_config
from hyperaware.options import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["RIDGE", "Category", "Concepts", "Scorer"]

VERSION = 1
MOST_BYTES = 2**18
RIDGE = 1.0
"""Chosen on `world:validation` among 0.01 to 1: mean AUROC per category."""
SHRINKAGE = 0.1
"""Of the covariance within prompts: the best of 0.1, 0.3 and 1 on `world:validation`."""
SLOT = "{}"
_NAME = re.compile(r"[a-z0-9][a-z0-9 /_-]{0,63}")


@dataclass(frozen=True)
class Category:
    """One category: what people read about it, and what the model reads."""

    description: str
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Concepts:
    """A set of categories with all that their scores depend on, but for the model."""

    name: str
    templates: tuple[str, ...]
    neutral: tuple[str, ...]
    contrast: tuple[str, ...]
    categories: Mapping[str, Category]
    tags: Mapping[str, str]
    """Other names of categories, as data spell them."""

    @classmethod
    def read(cls, path: str | Path | None = None, *, name: str = "general") -> "Concepts":
        """The set called `name` of a file; of the package's own `concepts.toml` for None.

        Raises:
            ConfigError: no such file or set, no valid TOML, or a key or value that is not known; it names
                the file, the key, what was expected and the nearest spelling.
        """
        path = Path(__file__).with_name("concepts.toml") if path is None else Path(path)
        try:
            with open(path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise ConfigError(f"it is longer than {MOST_BYTES} bytes.")
            return _concepts(tomllib.loads(data.decode("utf-8")), name)
        except FileNotFoundError:
            raise ConfigError(f"the concepts {path} do not exist.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"the concepts {path} cannot be read: {error}") from error
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def of(cls, model: "DualEncoder", path: str | Path | None = None) -> "Concepts":
        """The set that fits a model: "world" where it was trained on the embedded world, else "general"."""
        of_world = str(model.provenance.get("rows", "")).startswith("world:")
        return cls.read(path, name="world" if of_world else "general")

    def category_of(self, label: str | None) -> str | None:
        """The category that data call `label`, by its own name or by a tag; None for no category of the set.

        Case and spaces around it do not count: published tags are spelled loosely.
        """
        if label is None:
            return None
        name = label.strip().lower()
        name = name if name in self.categories else self.tags.get(name, name)
        return name if name in self.categories else None

    def prompts_against(self, category: str) -> tuple[str, ...]:
        """What a category is told apart from: the neutral prompts, and those of the others in `contrast`."""
        others = (self.categories[name].prompts for name in self.contrast if name != category)
        own = set(self.categories[category].prompts)
        against = dict.fromkeys([*self.neutral, *(prompt for prompts in others for prompt in prompts)])
        return tuple(prompt for prompt in against if prompt not in own)

    def fingerprint(self, category: str) -> str:
        """Sixteen hexadecimal digits that name what the category's score depends on beside the model."""
        parts = [
            RIDGE,
            self.templates,
            sorted(self.categories[category].prompts),
            sorted(self.prompts_against(category)),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _concepts(document: dict[str, Any], name: str) -> Concepts:
    _require_keys(document, "the concepts", ("version", "tags", "sets"))
    if document["version"] != VERSION:
        raise ConfigError(f"version is {document['version']!r}, this version of hyperaware reads {VERSION}.")
    sets = _table(document["sets"], "sets", "tables such as [sets.general]")
    every = {key: _set(table, where=f"sets.{key}") for key, table in sets.items()}
    known = {category for each in every.values() for category in each["categories"]}
    tags = _table(document["tags"], "tags", 'lines such as theft = "illegal"')
    for tag, category in tags.items():
        if category not in known:
            raise ConfigError(f"tags.{tag}: {unknown_name('category', str(category), known)}")
    if name not in every:
        raise unknown_name("set of concepts", name, every)
    return Concepts(name=name, tags={tag.lower(): category for tag, category in tags.items()}, **every[name])


def _set(table: Any, *, where: str) -> dict[str, Any]:
    _require_keys(table, where, ("templates", "neutral", "contrast", "categories"))
    templates = _texts(table["templates"], f"{where}.templates")
    for template in templates:
        if template.count(SLOT) != 1:
            raise ConfigError(f"{where}.templates: {template!r} must have one {SLOT} for the prompt.")
    given = _table(table["categories"], f"{where}.categories", f"tables such as [{where}.categories.hate]")
    if not given:
        raise ConfigError(f"{where}.categories is empty, expected at least one category.")
    categories = {name: _category(each, name, f"{where}.categories.{name}") for name, each in given.items()}
    contrast = _texts(table["contrast"], f"{where}.contrast", least=0)
    for name in contrast:
        if name not in categories:
            raise ConfigError(f"{where}.contrast: {unknown_name('category', name, categories)}")
    neutral = _texts(table["neutral"], f"{where}.neutral", least=2)
    return {"templates": templates, "neutral": neutral, "contrast": contrast, "categories": categories}


def _category(table: Any, name: str, where: str) -> Category:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a category's name has lower-case letters, digits, '-', '_', '/', ' '.")
    _require_keys(table, where, ("description", "prompts"))
    if not isinstance(table["description"], str) or not table["description"].strip():
        raise ConfigError(f"{where}.description is {table['description']!r}, expected a sentence.")
    return Category(table["description"], _texts(table["prompts"], f"{where}.prompts"))


def _require_keys(table: Any, where: str, known: tuple[str, ...]) -> None:
    for key in _table(table, where, f"a table with {', '.join(known)}"):
        if key not in known:
            raise ConfigError(f"{where}: {unknown_name('key', key, known)}")
    for key in known:
        if key not in table:
            raise ConfigError(f"{where}: the key {key!r} is missing; expected {', '.join(known)}.")


def _table(value: Any, where: str, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r}, expected {expected}.")
    return value


def _texts(value: Any, where: str, *, least: int = 1) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ConfigError(f"{where} is {value!r}, expected a list of texts that are not empty.")
    if len(value) < least:
        raise ConfigError(f"{where} has {len(value)} texts, expected at least {least}.")
    twice = sorted({text for text in value if value.count(text) > 1})
    if twice:
        raise ConfigError(f"{where} names {twice[0]!r} twice.")
    return tuple(value)


class Scorer:
    """The directions of a set's categories in the space of one model."""

    @torch.no_grad()
    def __init__(self, model: "DualEncoder", concepts: Concepts) -> None:
        """Encode the prompts (templates x prompts texts) and fit a direction for each category."""
        self.concepts = concepts
        self.space = space_from_config(model.space.config())
        every = [*concepts.neutral, *(p for each in concepts.categories.values() for p in each.prompts)]
        self._row = {prompt: row for row, prompt in enumerate(dict.fromkeys(every))}
        texts = [template.replace(SLOT, prompt) for template in concepts.templates for prompt in self._row]
        self._prompts = _tangent(model.encode_text(texts), self.space).unflatten(0, (-1, len(self._row)))
        fitted = [self._fitted(name) for name in concepts.categories]
        self._weights = torch.stack([weight for weight, _ in fitted], dim=1)
        self._offsets = torch.stack([offset for _, offset in fitted])

    def _fitted(self, category: str) -> tuple[Tensor, Tensor]:
        """Weighted ridge regression of 1 on the category's prompts, 0 on the others; both weigh one half."""
        groups = [
            self._prompts[:, [self._row[prompt] for prompt in prompts]].flatten(0, 1)
            for prompts in (
                self.concepts.categories[category].prompts,
                self.concepts.prompts_against(category),
            )
        ]
        points = torch.cat(groups)
        share = torch.cat([points.new_full((len(group), 1), 0.5 / len(group)) for group in groups])
        mean = (share * points).sum(0)
        centred = points - mean
        covariance = centred.T @ (share * centred)
        ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=points.dtype)
        weight = torch.linalg.solve(covariance + ridge, 0.5 * (groups[0] - mean).mean(0))
        return weight, 0.5 - mean @ weight

    def scores(self, points: Float[Tensor, "n d"]) -> dict[str, Float[Tensor, " n"]]:
        """The score of each point for each category, float64: near 1 for its prompts, near 0 for all others.

        Not a probability, and not comparable between modalities: `calibration` makes it so.
        """
        scores = _tangent(points, self.space) @ self._weights + self._offsets
        return dict(zip(self.concepts.categories, scores.T, strict=True))

    def nearest(self, point: Float[Tensor, " d"], count: int) -> list[tuple[str, str, float]]:
        """The prompts whose direction the point goes along most: (category, prompt, cosine), best first.

        A prompt's direction leads from the mean of the neutral prompts to the mean over its templates, the
        point's from there to the point. What varies between the templates, scenes that is, counts little: the
        cosine is that of the inverse of the covariance within prompts (as in linear discriminant analysis).
        On `world:validation` the first prompt names the harmful thing of 58 % of the texts and 51 % of the
        pictures (a plain cosine: 29 % and 31 %, of 26 things), one of the first five that of 87 % and 80 %.
        """
        means = self._prompts.mean(0)
        origin = means[: len(self.concepts.neutral)].mean(0)
        directions = (means - origin) @ self._whitening
        here = (_tangent(point.unsqueeze(0), self.space)[0] - origin) @ self._whitening
        found = [
            (name, prompt, _cosine(directions[self._row[prompt]], here))
            for name, category in self.concepts.categories.items()
            for prompt in category.prompts
        ]
        return sorted(found, key=lambda each: -each[2])[:count]

    @cached_property
    def _whitening(self) -> Float[Tensor, "d d"]:
        """A factor F with F F' the inverse of the covariance within prompts, shrunk by `SHRINKAGE`."""
        spread = (self._prompts - self._prompts.mean(0)).flatten(0, 1)
        covariance = spread.T @ spread / len(spread)
        unit = torch.eye(len(covariance), dtype=covariance.dtype)
        scale = covariance.diagonal().mean()
        if scale == 0:  # a single template
            return unit
        return torch.linalg.cholesky(torch.linalg.inv(covariance + SHRINKAGE * scale * unit))


def _tangent(points: Tensor, space: Space) -> Tensor:
    """log_0 of the points in Lorentz space, the points themselves elsewhere; float64."""
    points = points.double()
    return lorentz.log_map0(points, space.curv) if isinstance(space, Lorentz) else points


def _cosine(a: Tensor, b: Tensor) -> float:
    norms = float(a.norm() * b.norm())
    return float(a @ b) / norms if norms > 0 and math.isfinite(norms) else 0.0
