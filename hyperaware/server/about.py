"""`GET /v1/about`: the model with its card, the index, and what the thresholds promise."""

from typing import Any, get_args

from fastapi import APIRouter

import hyperaware
from hyperaware.moderation.bounds import MODALITIES
from hyperaware.moderation.calibration import Calibration
from hyperaware.server.access import Anyone, TheEngine
from hyperaware.server.engine import Parts
from hyperaware.server.problems import public
from hyperaware.server.shapes import Modality, Told

__all__ = ["router"]

router = APIRouter(tags=["operation"])
CARD = "README.md"


class ModelAbout(Told):
    """The model, in its own words."""

    name: str
    fingerprint: str
    space: dict[str, Any]
    dimension: int
    license: str | None
    """Null where the card names none."""
    card: str | None
    """Markdown; null for a model without a card."""


class IndexAbout(Told):
    """What is searched."""

    items: dict[str, int]
    """By modality; items that nobody sees are counted too."""
    generation: int
    """Grows with every change."""


class ThresholdAbout(Told):
    """The thresholds of one modality, and what is promised of them."""

    trigger: float
    limit: float
    landing: float
    false_positive_rate: float | None
    """Share of safe calibration rows above the trigger."""
    rows: int | None
    """Safe calibration rows."""
    promise: str | None
    """In one sentence; null where the model is not calibrated."""


class About(Told):
    """What this server is."""

    version: str
    model: ModelAbout
    index: IndexAbout | None
    """Null without an index, and for a key that may not switch its role: the counts tell of hidden items."""
    thresholds: dict[Modality, ThresholdAbout] | None
    """Null for a model without a root."""
    calibrated: dict[str, list[Modality]] | None
    """Categories with probabilities, by the inputs for which they hold; null where nothing is calibrated."""


@router.get("/v1/about")
def about(engine: TheEngine, caller: Anyone) -> About:
    """The model with its card and licence, the index, and what the thresholds promise."""
    parts = engine.parts
    calibration = parts.moderator.calibration
    return About(
        version=hyperaware.__version__,
        model=_model(parts),
        index=_index(parts) if caller.switches else None,
        thresholds=_thresholds(parts, calibration),
        calibrated=None
        if calibration is None
        else {
            name: [modality for modality in get_args(Modality) if modality in each.probability]
            for name, each in calibration.categories.items()
        },
    )


def _model(parts: Parts) -> ModelAbout:
    model = parts.model
    try:
        card = None if model.folder is None else (model.folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        card = None
    head, body = _split(card or "")
    licenses = [line.partition(":")[2].strip() for line in head.splitlines() if line.startswith("license:")]
    return ModelAbout(
        name=model.name,
        fingerprint=model.fingerprint,
        space=model.space.config(),
        dimension=model.dim,
        license=model.provenance.get("license") or next(iter(licenses), None),
        card=public(body) or None,
    )


def _split(card: str) -> tuple[str, str]:
    """The front matter of a card, and what follows it.

    >>> _split("---\\nlicense: mit\\n---\\n# A model")
    ('\\nlicense: mit\\n', '# A model')
    """
    if not card.startswith("---"):
        return "", card
    _, head, body = card.split("---", 2) if card.count("---") > 1 else ("", "", card)
    return head, body.lstrip()


def _index(parts: Parts) -> IndexAbout | None:
    if parts.index is None:
        return None
    status = parts.index.searcher.store.status()
    return IndexAbout(items=dict(status.by_modality), generation=status.generation)


def _thresholds(parts: Parts, calibration: Calibration | None) -> dict[Modality, ThresholdAbout] | None:
    bounds = parts.bounds
    if bounds is None:
        return None
    return {
        modality: ThresholdAbout(  # type: ignore[misc]
            trigger=bounds.trigger[modality],
            limit=bounds.limit[modality],
            landing=bounds.landing[modality],
            false_positive_rate=bounds.trigger_false_positive_rate[modality],
            rows=(bounds.safe_text if modality == "text" else bounds.safe_image).n,
            promise=None if calibration is None else calibration.guarantee(modality),
        )
        for modality in MODALITIES
    }
