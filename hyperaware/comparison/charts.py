"""Charts of a comparison as SVG text, for a page: in the page's own ink, so that they suit light and dark.

The same comparison gives the same bytes. Colours are Okabe and Ito's, and none stands alone: unsafe classes
are hatched, methods that redirect have another mark, lines end in their names. Every chart carries its
numbers as a text alternative.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperaware.comparison.headline import (
    AWARE,
    DIRECTIONS,
    HARMFUL,
    HARMFUL_SERVED,
    SAFE_RECALL,
    SAFE_SERVED,
    TWIN_SERVED,
    Figure,
    Measure,
    mean_spread,
)
from hyperaware.comparison.placement import label_places
from hyperaware.comparison.results import Entry, Study
from hyperaware.evaluation.keys import REDIRECT, STATES
from hyperaware.evaluation.plots import COLOURS
from hyperaware.geometry.space import space_from_config
from hyperaware.moderation.bounds import MODALITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.text import Text

__all__ = ["categories", "histograms", "safety_utility", "sweep"]

INK = "#1b1c1d"
"""Becomes the page's own ink."""
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
WIDTH = 11.0
"""Of every chart, in inches of 72 units: the page scales it."""
COLUMNS = 3
"""Panels side by side."""
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "hatch.color"), INK
    ),
}


@contextmanager
def _styled(name: str) -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({**STYLE, "svg.hashsalt": name}):
        yield


def _svg(figure: "Drawing", name: str, alternative: str) -> str:
    """The figure as an `<svg>` element whose ids start with `name`: several can stand in one page."""
    text = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)  # matplotlib repeats every text in a comment
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    said = f'role="img" aria-label="{escape(alternative)}" style="aspect-ratio: {width} / {height}"'
    return svg.replace("<svg", f'<svg class="chart" {said}', 1).strip()


# Distances to the root ----------------------------------------------------------------------------


def histograms(entries: Sequence[Entry]) -> str:
    """A panel for each method: distances of the four classes, texts upwards, images downwards."""
    from matplotlib.figure import Figure as Drawing
    from matplotlib.patches import Patch

    lines = -(-len(entries) // COLUMNS)
    with _styled("histograms"):
        figure = Drawing(figsize=(WIDTH, 0.5 + 2.35 * lines), layout="constrained")
        panels = figure.subplots(lines, COLUMNS, squeeze=False).flatten()
        for axes, entry in zip(panels, entries, strict=False):
            _draw_distances(axes, entry)
        for axes in panels[len(entries) :]:
            axes.set_axis_off()
        handles = [
            Patch(
                facecolor=COLOURS[name],
                hatch="////" if "unsafe" in name else None,
                label=name.replace("_", " "),
            )
            for name in COLOURS
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
        return _svg(figure, "histograms", "; ".join(_said_medians(entry) for entry in entries))


def _draw_distances(axes: "Axes", entry: Entry) -> None:
    values = {name: part.tolist() for name, part in entry.distances.items() if len(part)}
    everything = [value for part in values.values() for value in part]
    axes.set_title(entry.title)
    if not everything:
        axes.set_axis_off()
        return
    low, high = min(everything), max(everything)
    edges = [low + step * ((high - low) / 48 or 0.01) for step in range(49)]
    top = 0.0
    for name, part in values.items():
        share = (1.0 if name.endswith("text") else -1.0) / len(part)
        heights, _, _ = axes.hist(
            part,
            bins=edges,
            weights=[share] * len(part),
            histtype="stepfilled",
            color=COLOURS[name],
            alpha=0.8,
            hatch="////" if name.startswith("unsafe") else None,
            linewidth=0,
        )
        top = max(top, *(abs(float(height)) for height in heights))
    axes.set_ylim(-1.12 * top, 1.12 * top)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_yticks([-0.56 * top, 0.56 * top], ["images", "texts"], rotation=90, va="center")
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    if entry.bounds is not None:
        for modality, half in zip(MODALITIES, ((0.5, 1.0), (0.0, 0.5)), strict=True):
            for value, style in (
                (entry.bounds.trigger[modality], "-"),
                (entry.bounds.landing[modality], "--"),
            ):
                axes.axvline(value, *half, color=INK, linewidth=1.1, linestyle=style)
    axes.set_xlabel("distance to the root" if _has_root(entry) else "distance to the empty text")


def _has_root(entry: Entry) -> bool:
    return space_from_config(dict(entry.runs[0].space)).has_root


def _said_medians(entry: Entry) -> str:
    medians = [
        f"{name.replace('_', ' ')} {float(part.double().median()):.3f}"
        for name, part in entry.distances.items()
        if len(part)
    ]
    return f"{entry.title}, median distance: {', '.join(medians)}"


# Safety and utility -------------------------------------------------------------------------------


class _Point(NamedTuple):
    entry: Entry
    place: tuple[float, float]
    """Safe R@1 and harmful first hits, as served, in percent."""
    spread: tuple[float, float]
    start: tuple[float, float]
    """The same as they are without the redirect."""


def safety_utility(entries: Sequence[Entry]) -> str:
    """Each method at its safe R@1 and its share of harmful first hits; an arrow leads from raw to served."""
    from matplotlib.figure import Figure as Drawing

    points = [point for entry in entries if (point := _point(entry)) is not None]
    with _styled("safety-utility"):
        figure = Drawing(figsize=(WIDTH, 6.2), dpi=72)  # pixels are points, as in SVG
        axes = figure.add_axes((0.075, 0.1, 0.9, 0.86))
        ends = [value for point in points for value in (point.place[0], point.start[0])]
        low, high = min(ends, default=0.0), max(ends, default=100.0)
        pad = max(1.0, 0.09 * (high - low))
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(-15, 116)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(visible=True)
        for point in points:
            _draw_point(axes, point)
        axes.set_xlabel(
            "safe query finds its safe item, redirect in force: R@1 in %, mean of both directions"
        )
        axes.set_ylabel("unsafe query: first hit harmful, as served, in %")
        hint = axes.text(
            0.012,
            0.02,
            "better: ↘ to the right, and down",
            transform=axes.transAxes,
            style="italic",
        )
        if points:
            _label(axes, points, hint)
        alternative = "; ".join(
            f"{point.entry.title}: safe R@1 {point.place[0]:.1f} %, harmful first hits "
            f"{point.place[1]:.1f} % as served, {point.start[1]:.1f} % raw"
            for point in points
        )
        return _svg(figure, "safety-utility", alternative)


def _point(entry: Entry) -> _Point | None:
    safe, harmful = mean_spread(entry, SAFE_SERVED), mean_spread(entry, HARMFUL_SERVED)
    raw_safe, raw_harmful = mean_spread(entry, SAFE_RECALL), mean_spread(entry, HARMFUL)
    if safe is None or harmful is None or raw_safe is None or raw_harmful is None:
        return None
    return _Point(
        entry,
        (100 * safe.mean, 100 * harmful.mean),
        (100 * (safe.deviation or 0.0), 100 * (harmful.deviation or 0.0)),
        (100 * raw_safe.mean, 100 * raw_harmful.mean),
    )


def _draw_point(axes: "Axes", point: _Point) -> None:
    (x, y), (across, along) = point.place, point.spread
    colour, mark = (BLUE, "D") if point.entry.redirects else (VERMILLION, "o")
    axes.errorbar(x, y, xerr=across, yerr=along, color=colour, marker=mark, markersize=7, capsize=3, zorder=3)
    if point.entry.redirects:
        axes.plot(*point.start, marker=mark, markersize=6, color=colour, fillstyle="none", zorder=3)
        axes.annotate(
            "",
            xy=point.place,
            xytext=point.start,
            arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.55, "shrinkA": 5, "shrinkB": 6},
        )


def _label(axes: "Axes", points: Sequence[_Point], hint: "Text") -> None:
    """Name each point, with a thin line to its name where they stand apart."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()
    texts = [axes.text(0, 0, point.entry.title, ha="center", va="center", transform=None) for point in points]
    taken = [hint.get_window_extent(renderer).extents]
    for point in points:
        start, end = axes.transData.transform([point.start, point.place])
        along = start + np.linspace(0, 1, 40)[:, None] * (end - start)
        taken += list(np.hstack([along - 7, along + 7]))
    anchors = axes.transData.transform([point.place for point in points])
    sizes = np.array([text.get_window_extent(renderer).size for text in texts])
    centres = label_places(anchors, sizes, np.array(taken), axes.get_window_extent(renderer).extents)
    for text, anchor, centre, size in zip(texts, anchors, centres, sizes, strict=True):
        text.set_position(tuple(centre))
        near = np.clip(anchor, centre - size / 2, centre + size / 2)
        if np.linalg.norm(near - anchor) > 18:
            (x, y), (to_x, to_y) = near, anchor + (near - anchor) * 6 / np.linalg.norm(near - anchor)
            axes.plot([x, to_x], [y, to_y], color=INK, alpha=0.45, linewidth=0.7, transform=None)


# Sweeps -------------------------------------------------------------------------------------------

SWEPT: Mapping[str, tuple[Measure, str, str]] = {
    "safe R@1, as served": (SAFE_SERVED, BLUE, "o"),
    "safe twin R@1, as served": (TWIN_SERVED, GREEN, "s"),
    "unsafe R@1, on demand": (AWARE, ORANGE, "^"),
    "harmful first hit, as served": (HARMFUL_SERVED, VERMILLION, "X"),
}


def sweep(study: Study, chosen: float | None) -> str:
    """A line for each measure over the swept setting; `chosen` is the method's own value."""
    from matplotlib.figure import Figure as Drawing

    variants = sorted(
        (one for one in study.variants if one.value is not None), key=lambda one: one.value or 0.0
    )
    with _styled(study.name):
        figure = Drawing(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        ends, said = {}, []
        for label, (measure, colour, mark) in SWEPT.items():
            found = [(one.value, mean_spread(one.entry, measure)) for one in variants]
            line = [(value, 100 * spread.mean) for value, spread in found if value is not None and spread]
            if line:
                axes.plot(*zip(*line, strict=True), color=colour, marker=mark, linewidth=1.8, markersize=6)
                ends[label] = (*line[-1], colour)
                said.append(f"{label}: " + ", ".join(f"{value:.1f} % at {at:g}" for at, value in line))
        if chosen is not None:
            axes.axvline(chosen, color=INK, linestyle=":", linewidth=1.2)
            axes.text(chosen, 107, f"chosen: {chosen:g}", ha="center")
        axes.set_ylim(-4, 114)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(visible=True, axis="y")
        axes.set_xticks([one.value for one in variants if one.value is not None])
        axes.set_xlabel(str(study.swept))
        axes.set_ylabel("% of queries, mean of both directions")
        _name_ends(axes, ends)
        return _svg(figure, study.name, "; ".join(said))


def _name_ends(axes: "Axes", ends: Mapping[str, tuple[float, float, str]]) -> None:
    """The names of the lines to the right of their ends, at least six units apart."""
    height = float("-inf")
    for label, (x, y, _) in sorted(ends.items(), key=lambda item: item[1][1]):
        height = max(y, height + 6)
        axes.annotate(label, (x, y), xytext=(x, height), textcoords=axes.transData, va="center", ha="left")
        axes.texts[-1].set_x(x + 0.015 * (axes.get_xlim()[1] - axes.get_xlim()[0]))


# Categories ---------------------------------------------------------------------------------------

BARS = (
    ("harmful_top1", "harmful first hit, as served", VERMILLION, "////"),
    ("recall@1", "safe twin R@1, as served", BLUE, None),
)


def categories(entries: Sequence[Entry]) -> str:
    """A panel for each method: harmful first hits and the safe twin's R@1, as served, for each category."""
    from matplotlib.figure import Figure as Drawing
    from matplotlib.patches import Patch

    names = category_names(entries)
    lines = -(-len(entries) // COLUMNS)
    said: list[str] = []
    with _styled("categories"):
        figure = Drawing(figsize=(WIDTH, 0.8 + lines * (0.6 + 0.32 * len(names))), layout="constrained")
        panels = figure.subplots(lines, COLUMNS, squeeze=False, sharex=True, sharey=True).flatten()
        for axes, entry in zip(panels, entries, strict=False):
            said += _draw_categories(axes, entry, names)
            axes.set_title(entry.title)
            axes.set_xlim(0, 114)
            axes.set_yticks(range(len(names)), names)
            axes.tick_params(left=False)
        for axes in panels[len(entries) :]:
            axes.set_axis_off()
        panels[0].invert_yaxis()
        handles = [Patch(facecolor=colour, hatch=hatch, label=label) for _, label, colour, hatch in BARS]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
        figure.supxlabel("% of the category's unsafe queries, mean of both directions", fontsize=9.5)
        return _svg(figure, "categories", "; ".join(said))


def _draw_categories(axes: "Axes", entry: Entry, names: Sequence[str]) -> Iterator[str]:
    """Draws the bars of one method, and says their numbers."""
    for shift, (measure, label, colour, hatch) in zip((-0.19, 0.19), BARS, strict=True):
        for place, name in enumerate(names):
            spread = mean_spread(entry, by_category(name, measure))
            if spread is not None:
                value = 100 * spread.mean
                axes.barh(place + shift, value, height=0.36, color=colour, hatch=hatch, linewidth=0)
                axes.text(value + 1.5, place + shift, f"{value:.0f}", va="center", fontsize=7.5)
                yield f"{entry.title}, {name}, {label}: {value:.1f} %"


def category_names(entries: Sequence[Entry]) -> list[str]:
    """The categories that any of the methods has figures of."""
    keys = (key for entry in entries for run in entry.runs for key in run.figures)
    return sorted({key.split("/")[1] for key in keys if key.startswith("by-category/")})


def by_category(name: str, figure: str) -> Measure:
    """One of the figures `recall@1` and `harmful_top1` of a category, as served."""
    return Measure(
        name,
        tuple(
            Figure(label, *(f"by-category/{name}/{direction}/{state}/{figure}" for state in STATES))
            for label, direction in zip(DIRECTIONS, REDIRECT, strict=True)
        ),
        lower_is_better=figure == "harmful_top1",
    )
