"""Run folders of comparisons, read back, and the summaries that are written into them."""

import json
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hyperaware.comparison.contenders import STUDIES
from hyperaware.comparison.measure import Measured, read_measured
from hyperaware.comparison.results import Comparison, Entry, Study, Variant
from hyperaware.errors import DataError
from hyperaware.files import whole

__all__ = ["CELLS", "CONFIG", "FORMAT", "MANIFEST", "PICTURES", "read_comparison", "write_summaries"]

FORMAT = 1
MANIFEST, CONFIG, METRICS, PREDICTIONS = (
    "manifest.json",
    "resolved-config.json",
    "metrics.json",
    "predictions.jsonl",
)
CELLS, PICTURES = "cells", "pictures"


def read_comparison(folder: Path) -> Comparison:
    """The comparison in a run folder, as far as its cells are finished.

    Raises:
        DataError: it is no run folder, is of another format, or no cell is finished.
    """
    manifest, settings = (_read(folder / name) for name in (MANIFEST, CONFIG))
    if manifest.get("format") != FORMAT:
        raise DataError(f"{folder / MANIFEST} is not of format {FORMAT}; compare again with this version.")
    found: dict[str, dict[int, tuple[str, Measured]]] = {}
    for name, told in manifest["cells"].items():
        if "measured" in told:
            measured = read_measured(folder / CELLS / name / told["measured"], folder / PICTURES)
            found.setdefault(told["contender"], {})[told["seed"]] = (name, measured)
    if not any(name in found for name in settings["request"]["names"]):
        raise DataError(f"{folder} has no finished cell. Run the same `hyperaware compare` again.")
    request = settings["request"]
    names = [name for name in request["names"] if name in found]
    drawn = (_study(name, manifest, found) for name in request["studies"])
    return Comparison(
        settings=settings,
        manifest=manifest,
        data=manifest["data"]["name"],
        rows=next(iter(found[names[0]].values()))[1].run.rows,
        entries=tuple(_entry(manifest, found[name]) for name in names),
        studies=tuple(study for study in drawn if study is not None),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path.parent} is no run folder of `hyperaware compare`: no {path.name}.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


def _entry(manifest: Mapping[str, Any], seeds: Mapping[int, tuple[str, Measured]]) -> Entry:
    """The entry of one contender, from what was measured of each of its seeds."""
    names, measured = zip(*(seeds[seed] for seed in sorted(seeds)), strict=True)
    told = [manifest["cells"][name] for name in names]
    first: Measured = measured[0]
    return Entry(
        name=told[0]["contender"],
        title=told[0]["title"],
        paper=told[0]["paper"],
        made=told[0]["made"],
        seconds=statistics.fmean(one["seconds"] for one in told),
        runs=tuple(one.run for one in measured),
        outcomes={
            key: torch.stack([one.outcomes[key] for one in measured]).mean(0) for key in first.outcomes
        },
        distances=first.distances,
        bounds=first.bounds,
        retrieved=first.retrieved,
    )


def _study(
    name: str, manifest: Mapping[str, Any], found: Mapping[str, Mapping[int, tuple[str, Measured]]]
) -> Study | None:
    """The study of this name, of the variants that are finished; None without any."""
    plan = STUDIES[name]
    variants = tuple(
        Variant(label, value, _entry(manifest, {0: found[one.name][0]}))
        for label, value, one in plan.variants
        if 0 in found.get(one.name, {})
    )
    return Study(name, plan.title, plan.source, plan.swept, variants) if variants else None


def write_summaries(folder: Path, comparison: Comparison) -> None:
    """Write metrics.json and predictions.jsonl, of all cells together."""
    spreads = {
        entry.name: {key: asdict(spread) for key in entry.runs[0].figures if (spread := entry.spread(key))}
        for entry in comparison.entries
    }
    studies = {
        study.name: {variant.label: dict(variant.entry.runs[0].figures) for variant in study.variants}
        for study in comparison.studies
    }
    with whole(folder / METRICS) as partial:
        document = {"methods": spreads, "studies": studies}
        partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with whole(folder / PREDICTIONS) as partial, partial.open("wb") as lines:
        for name, told in comparison.manifest["cells"].items():
            if "measured" in told:
                path = folder / CELLS / name / told["measured"] / PREDICTIONS
                with path.open("rb") as part:
                    shutil.copyfileobj(part, lines)
