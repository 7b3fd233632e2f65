"""The report of a comparison: one HTML file that asks for nothing else, and its tables as Markdown.

Titles, captions and names are data: jinja2 escapes them, and the page's own policy forbids every request.
"""

import base64
import io
import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ImageOps

from hyperaware.comparison import charts, published
from hyperaware.comparison.claims import judge
from hyperaware.comparison.reading import random_sentence, sentences
from hyperaware.comparison.results import Comparison, Retrieved, ShownItem
from hyperaware.comparison.significance import LEVEL, RESAMPLES
from hyperaware.comparison.summary import (
    ABSENT,
    Grid,
    markdown,
    safeground_grid,
    said,
    study_grid,
    summary_grid,
)
from hyperaware.files import whole
from hyperaware.media.images import decode

__all__ = ["markdown_table", "write_report"]

TEMPLATE = "report.html.jinja"
THUMBNAIL = 96
"""Pixels of a picture's side."""
CHOSEN = {"aperture-sweep": 1.0}
"""Study -> the value that the method has by default, as the paper chose it."""


def write_report(comparison: Comparison, path: Path) -> Path:
    """The path of the report: one HTML file with every chart and picture inside, written whole or not at all.

    Raises:
        DataError: outcomes and figures do not belong together; see `comparison.significance`.
        MediaError: a picture that is to be shown cannot be decoded.
    """
    pictures, queries = _searches(comparison)
    page = _template().render(
        comparison=comparison,
        **_making(comparison),
        seeds=max(len(entry.runs) for entry in comparison.entries),
        level=round(100 * LEVEL),
        resamples=RESAMPLES,
        reading=sentences(comparison),
        summary=summary_grid(comparison),
        safeground=safeground_grid(comparison),
        random_sentence=random_sentence(comparison),
        studies=[(study, study_grid(study)) for study in comparison.studies],
        charts=_charts(comparison),
        pictures=pictures,
        queries=queries,
        figures=_all_figures(comparison),
        papers=[
            (title, list(tables)) for title, tables in groupby(published.read(), lambda one: one.paper.title)
        ],
        claims=judge(comparison),
        settings=_json(comparison.settings),
        manifest=_json(comparison.manifest),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _making(comparison: Comparison) -> dict[str, Any]:
    """How it was made, by the manifest or else by the first run; and which models could not be made."""
    first, manifest = comparison.entries[0].runs[0], comparison.manifest
    cells = manifest.get("cells", {}).values()
    return {
        "first": first,
        "command": " ".join(manifest.get("command", first.command)),
        "machine": manifest.get("machine", first.machine),
        "versions": {**first.versions, **manifest.get("versions", {})},
        "failures": [
            f"{told['contender']}, seed {told['seed']}: {told['failed']}"
            for told in cells
            if "failed" in told
        ],
    }


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE)


def _charts(comparison: Comparison) -> dict[str, Any]:
    """Every chart as markup; those of studies by the study's name."""
    from markupsafe import Markup

    drawn = {
        "safety-utility": charts.safety_utility(comparison.entries),
        "histograms": charts.histograms(comparison.entries),
    }
    if charts.category_names(comparison.entries):
        drawn["categories"] = charts.categories(comparison.entries)
    for study in comparison.studies:
        if study.swept is not None:
            drawn[study.name] = charts.sweep(study, CHOSEN.get(study.name))
    return {name: Markup(svg) for name, svg in drawn.items()}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


# Searches -----------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    title: str
    redirected: bool
    hits: tuple[tuple[ShownItem, str, str], ...]
    """Item, id of its picture, and what it is to the query."""


class _Query(NamedTuple):
    asked: Retrieved
    answers: tuple[_Answer, ...]


def _searches(comparison: Comparison) -> tuple[dict[str, str], list[_Query]]:
    """Each picture once, id -> data URI; and each query with the answers of all methods."""
    ids: dict[Path, str] = {}
    queries: dict[str, tuple[Retrieved, list[_Answer]]] = {}
    for entry in comparison.entries:
        for found in entry.retrieved:
            hits = tuple(
                (hit, ids.setdefault(hit.path, f"picture-{len(ids)}"), _relation(hit, found))
                for hit in found.hits
            )
            _, answers = queries.setdefault(found.row, (found, []))
            answers.append(_Answer(entry.title, found.redirected, hits))
    pictures = {id: _data_uri(path) for path, id in ids.items()}
    return pictures, [_Query(found, tuple(answers)) for found, answers in queries.values()]


def _relation(hit: ShownItem, query: Retrieved) -> str:
    if hit.row != query.row:
        return ""
    if hit.side == ("unsafe" if query.unsafe else "safe"):
        return "its own"
    return "its twin"


def _data_uri(path: Path) -> str:
    picture = ImageOps.pad(decode(path), (THUMBNAIL, THUMBNAIL), color="#f1f1f1")
    data = io.BytesIO()
    picture.save(data, format="WEBP", quality=82)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


# All figures --------------------------------------------------------------------------------------


def _all_figures(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Every key, and how each method's mean and spread are printed; as they are recorded, in fractions."""
    keys = dict.fromkeys(key for entry in comparison.entries for run in entry.runs for key in run.figures)
    lines = []
    for key in keys:
        spreads = [entry.spread(key) for entry in comparison.entries]
        lines.append((key, [ABSENT if one is None else " ".join(said(one, "number")) for one in spreads]))
    return lines


# Markdown -----------------------------------------------------------------------------------------


def markdown_table(comparison: Comparison) -> str:
    """Summary, reading, SafeGround, studies and claims as Markdown: the tables of the page."""
    claims = [
        "| "
        + " | ".join(text.replace("|", "\\|") for text in (one.claim, f"**{one.verdict}**", one.because))
        + " |"
        for one in judge(comparison)
    ]
    parts = [
        _section(summary_grid(comparison)),
        " ".join(sentences(comparison)),
        _section(safeground_grid(comparison)),
        random_sentence(comparison),
        *(_section(study_grid(study)) for study in comparison.studies),
        "\n".join(["| claim | verdict | because |", "| --- | --- | --- |", *claims]),
    ]
    return "\n\n".join(parts) + "\n"


def _section(table: Grid) -> str:
    return f"{table.caption}.\n\n{markdown(table).rstrip()}"
