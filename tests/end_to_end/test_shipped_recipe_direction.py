"""A short run of the shipped recipe moves from the shipped start towards the shipped figures."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from hyperaware.data.quadruplet import Row
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.losses.radial import radial_order
from hyperaware.methods import method_class
from hyperaware.methods.hysac import OUTWARDS
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.options import override
from hyperaware.recipes import read_recipe
from hyperaware.training.loop import fit
from hyperaware.training.monitor import validation_figures
from hyperaware.world import export

RECIPE = read_recipe("world-hysac-ordered")
METHOD = override(method_class(RECIPE.method)(), RECIPE.settings)
STEPS = 60


@torch.no_grad()
def figures(model: DualEncoder, rows: list[Row]) -> dict[str, Any]:
    """Recall, AUROC and how far the four classes are from their radial order, on `rows`."""
    points, space = embed(model, Examples(rows, model=model)), model.space
    distances = [space.root_distance(getattr(points, name)) for name in OUTWARDS]
    order = float(radial_order(distances, margin=METHOD.radial_margin) / torch.cat(distances).mean())
    return validation_figures(points, space=space, selection=METHOD.selection) | {"disorder": order}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Figures on validation rows: at the start, after a short run, and of the shipped model."""
    folder: Path = tmp_path_factory.mktemp("direction")
    rows = {
        split: export(folder / split, split=split, count=count)
        for split, count in (("train", 400), ("validation", 150))
    }
    assert RECIPE.base is not None
    model = load(RECIPE.base)
    train, validation = (Examples(rows[split], model=model) for split in ("train", "validation"))
    settings = dataclasses.replace(
        RECIPE.training, steps=STEPS, warmup_steps=10, evaluate_every=STEPS, log_every=STEPS
    )
    start = load(RECIPE.base)
    METHOD.prepare(start, features=embed(start, train, lift=False))
    fit(model, METHOD, train=train, validation=validation, settings=settings, folder=folder / "run")
    return {
        "start": figures(start, rows["validation"]),
        "short": figures(model, rows["validation"]),
        "shipped": figures(load(RECIPE.name), rows["validation"]),
    }


@pytest.mark.parametrize("figure", ["auroc/text", "auroc/image"])
def test_root_distance_learns_to_tell_unsafe_from_safe(
    figure: str, measured: dict[str, dict[str, Any]]
) -> None:
    start, short, shipped = (measured[state][figure] for state in ("start", "short", "shipped"))
    assert shipped > 0.95
    assert start < 0.7
    assert short - start > 0.6 * (shipped - start)


def test_the_classes_take_their_places(measured: dict[str, dict[str, Any]]) -> None:
    start, short, shipped = (measured[state]["disorder"] for state in ("start", "short", "shipped"))
    assert shipped < start
    assert start - short > 0.3 * (start - shipped)
    for state, ordered in (("start", False), ("short", True), ("shipped", True)):
        medians = [measured[state][f"root_distance/{name}"][1] for name in OUTWARDS]
        assert (medians == sorted(medians)) == ordered, state


def test_safe_retrieval_does_not_collapse(measured: dict[str, dict[str, Any]]) -> None:
    for direction in ("safe_text->safe_image", "safe_image->safe_text"):
        start, short = (measured[state][f"recall@1/{direction}"] for state in ("start", "short"))
        assert start > 0.75
        assert short > 0.8 * start
