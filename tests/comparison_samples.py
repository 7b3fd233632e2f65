"""Comparisons for tests: a small real one of the shipped models, and entries whose every outcome is given."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from hyperaware.catalogue import own_bounds
from hyperaware.comparison.results import Comparison, Entry, Retrieved, ShownItem, Study, Variant
from hyperaware.data.quadruplet import Row
from hyperaware.evaluation.outcomes import outcomes
from hyperaware.evaluation.runs import Run, measurement
from hyperaware.models.pretrained import load
from hyperaware.moderation.bounds import Bounds
from hyperaware.world import export

ROWS = 40
MODELS = {"clip": "world", "hysac": "world-hysac", "hysac-ordered": "world-hysac-ordered"}
TITLES = {"clip": "CLIP", "hysac": "HySAC", "hysac-ordered": "HySAC, ordered"}
RUN = Run(
    model="given",
    model_fingerprint="weights",
    provenance={},
    seed=0,
    space={"name": "sphere"},
    data="folder",
    data_fingerprint="rows",
    split="test",
    rows=4,
    failed={},
    bounds=None,
    figures={},
    command=["hyperaware", "compare"],
    versions={"hyperaware": "0.1.0"},
    machine="a machine",
    date="2026-11-21T00:00:00+00:00",
)


def entry(
    name: str,
    given: Mapping[str, list[float] | float],
    *,
    bounds: Bounds | None = None,
    paper: str = "arXiv 0000.00000",
    seconds: float = 0.0,
    fingerprint: str = "rows",
) -> Entry:
    """An entry of one seed: a list is a figure's outcomes (NaN: did not ask), a number the figure alone."""
    columns = {
        key: torch.tensor(value, dtype=torch.float64)
        for key, value in given.items()
        if isinstance(value, list)
    }
    figures = {
        key: columns[key].nanmean().item() if key in columns else value for key, value in given.items()
    }
    return Entry(
        name=name,
        title=name,
        paper=paper,
        made="given",
        seconds=seconds,
        runs=(replace(RUN, figures=figures, data_fingerprint=fingerprint),),
        outcomes=columns,
        distances={"safe_text": torch.tensor([0.1, 0.2]), "unsafe_text": torch.tensor([0.3, 0.5])},
        bounds=bounds,
        retrieved=(),
    )


def comparison(*entries: Entry, studies: tuple[Study, ...] = ()) -> Comparison:
    """These entries, on rows that nobody looks at."""
    return Comparison(settings={}, manifest={}, data="given", rows=4, entries=entries, studies=studies)


def small_comparison(folder: Path) -> Comparison:
    """The shipped models on rows of the world; HySAC has two seeds, and a study of two apertures."""
    rows = export(folder, count=ROWS, split="test")
    entries = {name: _measured(name, rows) for name in MODELS}
    ordered = entries["hysac-ordered"]
    entries["hysac"] = _two_seeds(entries["hysac"], ordered)
    sweep = Study(
        name="aperture-sweep",
        title="Scale of the cones' half-aperture",
        source="HySAC, table 10",
        swept="aperture scale",
        variants=(
            Variant("0.5", 0.5, replace(ordered, name="half", title="HySAC")),
            Variant("1", 1.0, replace(entries["hysac"], runs=entries["hysac"].runs[:1], outcomes={})),
        ),
    )
    return Comparison(
        settings={"seeds": 2, "note": "<script>alert('settings')</script>"},
        manifest={
            "command": ["hyperaware", "compare", "--out", "runs/<table>"],
            "cells": {
                "uwm-seed0": {"contender": "uwm", "seed": 0, "failed": "a <reason>"},
                "clip-seed0": {"contender": "clip", "seed": 0},
            },
        },
        data="world:test",
        rows=ROWS,
        entries=tuple(entries.values()),
        studies=(sweep,),
    )


@torch.no_grad()
def _measured(name: str, rows: list[Row]) -> Entry:
    model = load(MODELS[name])
    bounds = own_bounds(model) if model.space.has_root else None
    run, points = measurement(model, rows, data="world:test", bounds=bounds)
    found: dict[str, Tensor] = {}
    for group in outcomes(points, rows, space=model.space, bounds=bounds):
        for key, values in group.values.items():
            found[key] = torch.full((len(rows),), torch.nan, dtype=torch.float64)
            found[key][group.rows] = values.double()
    if model.space.has_root:
        away = model.space.root_distance
    else:
        empty = model.embed_tokens(*model.tokenizer([""]))
        away = lambda part: model.space.distance(part, empty.expand_as(part))  # noqa: E731
    parts = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
    return Entry(
        name=name,
        title=TITLES[name],
        paper="ours" if name == "hysac-ordered" else "arXiv 2503.12127",
        made="as it is shipped",
        seconds=0.0,
        runs=(run,),
        outcomes=found,
        distances={part: away(getattr(points, part)) for part in parts},
        bounds=bounds,
        retrieved=_retrieved(rows, redirects=bounds is not None),
    )


def _two_seeds(first: Entry, second: Entry) -> Entry:
    """The runs of two models as two seeds of the first."""
    means = {key: (values + second.outcomes[key]) / 2 for key, values in first.outcomes.items()}
    return replace(first, runs=(*first.runs, *second.runs), outcomes=means)


def _retrieved(rows: list[Row], *, redirects: bool) -> tuple[Retrieved, ...]:
    """An unsafe query with its own picture first, and its twin where it is redirected; and a safe query."""
    answers = []
    for row, unsafe, redirected in ((rows[0], True, False), (rows[0], True, True), (rows[1], False, False)):
        if redirects or not redirected:
            sides = ("safe", "safe") if redirected or not unsafe else ("unsafe", "unsafe")
            hits = tuple(
                ShownItem(
                    row=hit.id,
                    side=side,
                    unsafe=side == "unsafe",
                    path=getattr(hit, f"{side}_image"),
                    caption=getattr(hit, f"{side}_text"),
                )
                for hit, side in zip((row, rows[2]), sides, strict=True)
            )
            text = row.unsafe_text if unsafe else row.safe_text
            answers.append(Retrieved(row.id, text, unsafe=unsafe, redirected=redirected, hits=hits))
    return tuple(answers)
