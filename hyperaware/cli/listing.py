"""`hyperaware list`: the names that other verbs take."""

import itertools
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hyperaware.cli.parameters import Json
from hyperaware.terminal import emit, table

__all__ = ["Kind", "names", "show"]


PACKAGE = Path(__file__).parents[1]


class Kind(str, Enum):
    """What can be listed."""

    models = "models"
    methods = "methods"
    recipes = "recipes"
    stores = "stores"
    splits = "splits"
    protocols = "protocols"
    published = "published"


def show(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Json = False,
) -> None:
    """List the names that other verbs take: models, methods, recipes."""
    found = names(kind)
    if as_json:
        emit({kind.value: found})
        return
    table([kind.value, "what it is"], list(found.items()))


def names(kind: Kind) -> dict[str, str]:
    """Each name with a few words about it."""
    return _TABLES[kind]()


def _models() -> dict[str, str]:
    """What lies in the package, then what is known or cached, without the seconds that torch takes."""
    found = {}
    for path in sorted((PACKAGE / "shipped").glob("*/config.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        made = config["provenance"]
        base = f" from {made['base']}" if made["base"] else ""
        found[config["name"]] = f"{_PLACES[config['space']]}: {made['method']}{base}, {made['steps']} steps"
    return found | _hub_models()


def _hub_models() -> dict[str, str]:
    """What is known by name or lies in the Hub's cache: what it is, its licence, and whether it is here."""
    from hyperaware.models import hub
    from hyperaware.models.licences import known, licence_of

    found = {}
    here = {name.repo: name for name in hub.cached_models()}
    for repo in dict.fromkeys([*known(), *here]):
        row, name = known().get(repo), here.get(repo, hub.HubName(repo))
        folder = hub.cached(name) if repo in here else None
        what = _ours(folder) if row is None else row.what
        licence = f"licence {licence_of(repo, folder)}"
        if row is not None and not row.loads:
            found[repo] = f"{what}; {licence}; see {row.source}"
        else:
            state = "not on this machine" if folder is None else "on this machine"
            found[str(name)] = f"{what}; {licence}; {state}"
    return found


def _ours(folder: Path | None) -> str:
    """What a model of the Hub is, as far as its config.json says."""
    config = {} if folder is None else json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "space" not in config:
        return "from the Hub"
    made = config.get("provenance", {})
    method = f": {made['method']}" if made.get("method") else ""
    return f"from the Hub, of hyperaware, {_PLACES.get(config['space'], config['space'])}{method}"


def _methods() -> dict[str, str]:
    from hyperaware.methods import METHODS, method_class

    modules = {name: sys.modules[method_class(name).__module__] for name in METHODS}
    return {name: _first_line(module.__doc__) for name, module in modules.items()}


def _recipes() -> dict[str, str]:
    paths = sorted((PACKAGE / "training" / "recipes").glob("*.toml"))
    return {path.stem: _first_comment(path) for path in paths}


def _stores() -> dict[str, str]:
    from hyperaware.index import STORES
    from hyperaware.options import resolve

    return {name: _first_line(resolve("store", name, STORES).__doc__) for name in STORES}


def _splits() -> dict[str, str]:
    from hyperaware.world import SPLITS

    return {name: _SPLITS[name] for name in SPLITS}


def _protocols() -> dict[str, str]:
    from hyperaware.evaluation.sources import PROTOCOLS

    return {name: f"{protocol.source}. {protocol.differs}" for name, protocol in PROTOCOLS.items()}


def _published() -> dict[str, str]:
    from hyperaware.comparison.published import listing

    return listing()


_TABLES = {
    Kind.models: _models,
    Kind.methods: _methods,
    Kind.recipes: _recipes,
    Kind.stores: _stores,
    Kind.splits: _splits,
    Kind.protocols: _protocols,
    Kind.published: _published,
}
_PLACES = {"sphere": "on the sphere", "euclid": "in flat space", "lorentz": "in Lorentz space"}
_SPLITS = {
    "pretrain": "all concepts, captions partly with words of tone, for the CLIP-like base",
    "train": "for fine-tuning; held-out concepts never occur",
    "calibration": "for bounds",
    "validation": "for every choice of a setting",
    "test": "scenes that no other split has; for reporting only",
    "test_concepts": "harmful concepts that fine-tuning never sees",
    "test_style": "other drawing styles, icons placed freely",
    "test_dual_use": "things that are safe in one scene and unsafe in another",
}


def _first_comment(path: Path) -> str:
    """The sentence at the head of a recipe, which may take several lines."""
    lines = itertools.takewhile(
        lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()
    )
    return " ".join(line.removeprefix("#").strip() for line in lines).partition(". ")[0].removesuffix(".")


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0].removesuffix(".")
