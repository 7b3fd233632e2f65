"""An index and the model that it belongs to: `model.json` beside it lets a search find the model itself."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hyperaware.errors import ConfigError, StoreError
from hyperaware.files import whole
from hyperaware.geometry.space import space_from_config
from hyperaware.index.sqlite import SQLiteStore
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import DEFAULT, load, shipped_folder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.categories import CalibratedScorer
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.moderation.policy import Policy
from hyperaware.search import Searcher

__all__ = [
    "FILE_NAME",
    "Reference",
    "open_model",
    "open_searcher",
    "open_store",
    "own_bounds",
    "own_scorer",
    "read_reference",
    "start_store",
]

FILE_NAME = "model.json"


@dataclass(frozen=True)
class Reference:
    """Which model an index belongs to, and enough of it to open the index without loading the model."""

    model: str
    """The name of a shipped model, or the absolute path of a model's folder."""
    fingerprint: str
    space: dict[str, Any]


def read_reference(index: Path) -> Reference:
    """The reference beside an index.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    path = Path(index) / FILE_NAME
    try:
        return Reference(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(
            f"{index} has no {FILE_NAME}: it is no index of hyperaware, or one that was not finished. "
            f"`hyperaware index add {index} FOLDER` makes one."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({error}). Run `index add` again with --model.") from error


def open_store(index: Path) -> SQLiteStore:
    """The store of an existing index, without its model.

    Raises:
        StoreError: no index, or a damaged one.
    """
    reference = read_reference(index)
    return SQLiteStore(
        index,
        space=space_from_config(reference.space),
        model_fingerprint=reference.fingerprint,
        create=False,
    )


def start_store(index: Path, model: DualEncoder) -> SQLiteStore:
    """The store of a new or existing index, opened with `model`, which it refers to from now on.

    Raises:
        StoreError: the index was built by another model, or is damaged.
    """
    spelling = _spelling(model)
    store = SQLiteStore(index, space=model.space, model_fingerprint=model.fingerprint)
    reference = Reference(model=spelling, fingerprint=store.model_fingerprint, space=store.space.config())
    with whole(Path(index) / FILE_NAME) as partial:
        partial.write_text(json.dumps(asdict(reference), indent=1) + "\n", encoding="utf-8")
    return store


def _spelling(model: DualEncoder) -> str:
    if model.folder is None:
        raise ConfigError("the model lies in no folder, so no search could find it again. Save it first.")
    folder = model.folder.resolve()
    return model.name if folder == shipped_folder(model.name).resolve() else str(folder)


def open_model(index: Path, name: str | None = None, *, device: str = "cpu") -> DualEncoder:
    """The model called `name`; without a name the one that the index refers to, or else the default model."""
    if name is None:
        name = read_reference(index).model if (Path(index) / FILE_NAME).exists() else DEFAULT
    return load(name, device=device)


def open_searcher(
    index: Path, *, model: str | None = None, policy: Policy | None = None, concepts: Path | None = None
) -> Searcher:
    """A searcher over an existing index, with its model, the model's bounds and the default policy.

    Raises:
        StoreError: no index, or one that was built by another model than `model`, or whose categories are by
            other concepts than the model's.
        SafetyError: the model has no bounds.
        ConfigError: the policy names a category that the model has no calibrated probabilities of.
    """
    read_reference(index)
    loaded = open_model(index, model)
    bounds = own_bounds(loaded)
    policy = Policy.default() if policy is None else policy
    scorer = own_scorer(loaded, concepts=concepts) if policy.categories else None
    store = SQLiteStore(index, space=loaded.space, model_fingerprint=loaded.fingerprint, create=False)
    try:
        return Searcher(loaded, store, bounds, policy, scorer=scorer)
    except BaseException:
        store.close()
        raise


def own_bounds(model: DualEncoder) -> Bounds | None:
    """The bounds in the model's folder; None for a model without a root, which nothing can be judged by.

    Raises:
        SafetyError: the model has a root and no bounds that were measured with it.
    """
    if not model.space.has_root:
        return None
    if model.folder is None:
        raise ConfigError("the model lies in no folder, so it has no bounds. Save it and measure them.")
    return bounds_module.load(model.folder, model_fingerprint=model.fingerprint)


def own_scorer(model: DualEncoder, *, concepts: Path | None = None) -> CalibratedScorer:
    """What computes the categories of points of the model: by a file of concepts or those that fit it, and
    by the calibration in the model's folder. Without a calibration no category has probabilities.

    Raises:
        ConfigError: no such file of concepts, or a wrong one.
        SafetyError: the model's bounds are missing, or its calibration does not belong to them.
    """
    bounds = own_bounds(model)
    found = None
    if bounds is not None and model.folder is not None:
        found = calibration.load(model.folder, bounds=bounds)
    return CalibratedScorer(Scorer(model, Concepts.of(model, concepts)), found)
