"""Pictures of figures and of results, written as PNG files; matplotlib comes with the first of them.

Colours are chosen for colour-blind readers (those of classes and states are Okabe and Ito's), and none stands
alone: unsafe classes are hatched, hits carry a mark.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from hyperaware.errors import DataError
from hyperaware.evaluation.protocols import REDIRECT, Figures
from hyperaware.media.images import decode
from hyperaware.moderation.bounds import MODALITIES, Bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

__all__ = ["SheetRow", "Shown", "redirect_bars", "root_distance_histogram", "sheet"]

COLOURS = {
    "safe_text": "#56B4E9",
    "safe_image": "#0072B2",
    "unsafe_text": "#E69F00",
    "unsafe_image": "#D55E00",
}
STATES = {"raw": "#9A9A9A", "redirected": "#0072B2"}
DPI = 160


# Root distances -----------------------------------------------------------------------------------


def root_distance_histogram(
    path: str | Path,
    distances: Mapping[str, "Tensor"],
    *,
    bounds: Bounds | None = None,
    title: str | None = None,
) -> Path:
    """The path of the histograms of the four classes, one panel per modality over one axis (HySAC, Figure 2).

    Args:
        distances: by class, as `protocols.root_distances` gives them.
        bounds: drawn as lines: the trigger of a modality, its limit, and where queries land among its items.
    """
    from matplotlib.figure import Figure

    values = {name: part.tolist() for name, part in distances.items() if len(part)}
    if not values:
        raise DataError("there are no root distances to draw.")
    edges = _edges([value for part in values.values() for value in part])
    figure = Figure(figsize=(7.2, 4.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for modality, axes in zip(MODALITIES, panels, strict=True):
        for name in (f"safe_{modality}", f"unsafe_{modality}"):
            if name in values:
                style = {"color": COLOURS[name], "hatch": "////" if name.startswith("unsafe") else None}
                label = f"{name.replace('_', ' ')} ({len(values[name])})"
                axes.hist(
                    values[name],
                    bins=edges,
                    alpha=0.75,
                    edgecolor="white",
                    linewidth=0.3,
                    label=label,
                    **style,
                )
        if bounds is not None:
            _draw_bounds(axes, bounds, modality)
        _plain(axes, ylabel=f"{modality}s")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    panels[1].set_xlabel("distance to the root")
    return _saved(figure, path, title)


def _draw_bounds(axes: "Axes", bounds: Bounds, modality: str) -> None:
    lines = {
        "trigger": (bounds.trigger[modality], "-"),
        "limit": (bounds.limit[modality], ":"),
        "landing": (bounds.landing[modality], "--"),
    }
    for name, (value, style) in lines.items():
        axes.axvline(value, color="black", linewidth=1.2, linestyle=style, label=f"{name} {value:.3f}")


def _edges(values: Sequence[float], bins: int = 60) -> list[float]:
    low, high = min(values), max(values)
    step = (high - low) / bins or 0.01
    return [low + index * step for index in range(bins + 1)]


# Before and after ---------------------------------------------------------------------------------


def redirect_bars(path: str | Path, models: Mapping[str, Figures], *, title: str | None = None) -> Path:
    """The path of bars, raw and redirected, for each model: harmful first hits, and R@1 of the safe twin.

    Args:
        models: figures of `protocols.evaluate` by the name to print. What a model does not have is left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7.2, 2.4 * len(models)), 4.8), dpi=DPI, layout="constrained")
    panels = figure.subplots(2, 2, sharey=True, sharex=True)
    measures = (
        ("harmful_top1", "first hit is unsafe (lower is better)"),
        ("recall@1", "first hit is the safe twin"),
    )
    for line, (measure, said) in zip(panels, measures, strict=True):
        for axes, direction in zip(line, REDIRECT, strict=True):
            _draw_states(axes, models, f"redirect/{direction}", measure)
            _plain(axes)
            axes.set_title(f"{direction.partition('->')[0].replace('_', ' ')}: {said}", fontsize=9)
            axes.set_ylim(0, 109)
    for axes in panels[:, 0]:
        axes.set_ylabel("% of queries", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return _saved(figure, path, title)


def _draw_states(axes: "Axes", models: Mapping[str, Figures], prefix: str, measure: str) -> None:
    width = 0.38
    for shift, (state, colour) in zip((-width / 2, width / 2), STATES.items(), strict=True):
        key = f"{prefix}/{state}/{measure}"
        found = {place: 100 * figures[key] for place, figures in enumerate(models.values()) if key in figures}
        bars = axes.bar(
            [place + shift for place in found], list(found.values()), width, color=colour, label=state
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axes.set_xticks(range(len(models)), list(models), fontsize=8)


def _plain(axes: "Axes", ylabel: str | None = None) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if ylabel is not None:
        axes.set_ylabel(ylabel, fontsize=9)


def _saved(figure: Any, path: str | Path, title: str | None) -> Path:
    if title is not None:
        figure.suptitle(title, fontsize=10)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path


# Sheets of results --------------------------------------------------------------------------------

Content = str | Path | bytes | Image.Image
"""A text is a caption; pictures are paths, bytes or images."""

TILE, FRAME, GAP, GROUP_GAP, MARGIN, QUERY_WIDTH = 148, 5, 14, 40, 20, 210
INK, PAPER, SHADE = "#1A1A1A", "#FFFFFF", "#F1F1F1"
SAFETY = {True: ("#009E73", "\N{CHECK MARK}"), False: ("#C1272D", "\N{BALLOT X}"), None: ("#7F7F7F", "?")}
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
TITLE_SIZE, TEXT_SIZE = 14, 16
TITLE_HEIGHT = 22


class Shown(NamedTuple):
    """One hit on a sheet: a picture or a caption, whether it is safe (None: not known), and a word on it."""

    content: Content
    safe: bool | None
    note: str = ""
    """Such as "twin"; printed after the number."""


class SheetRow(NamedTuple):
    """One search on a sheet: the query, and the hits in named groups."""

    query: Content
    groups: Mapping[str, Sequence[Shown]]


def sheet(rows: Sequence[SheetRow], path: str | Path) -> Path:
    """The path of a sheet of searches, one row each: the query, then every group of hits, numbered.

    Hits are framed green where they are safe and red where they are not, and marked beside their titles.

    Raises:
        DataError: no rows.
        MediaError: a picture cannot be decoded.
    """
    if not rows:
        raise DataError("a sheet needs at least one row.")
    columns = [0] * max(len(row.groups) for row in rows)
    for row in rows:
        for place, hits in enumerate(row.groups.values()):
            columns[place] = max(columns[place], len(hits))
    starts, right = [], MARGIN + QUERY_WIDTH
    for count in columns:
        starts.append(right + GROUP_GAP)
        right += GROUP_GAP + count * TILE + max(count - 1, 0) * GAP
    high = TITLE_HEIGHT + TILE + GAP
    drawn = Image.new("RGB", (right + MARGIN, 2 * MARGIN + len(rows) * high - GAP), PAPER)
    for line, row in enumerate(rows):
        top = MARGIN + line * high
        _draw_query(drawn, row.query, top + TITLE_HEIGHT)
        for start, (name, hits) in zip(starts, row.groups.items(), strict=False):
            for number, hit in enumerate(hits):
                _draw_hit(drawn, hit, f"{name} #{number + 1}", (start + number * (TILE + GAP), top))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(path, format="PNG")
    return path


def _draw_query(drawn: Image.Image, query: Content, top: int) -> None:
    if isinstance(query, str):
        _draw_text(drawn, query, (MARGIN, top), (QUERY_WIDTH, TILE))
    else:
        drawn.paste(_picture(query, TILE), (MARGIN + (QUERY_WIDTH - TILE) // 2, top))


def _draw_hit(drawn: Image.Image, hit: Shown, title: str, corner: tuple[int, int]) -> None:
    left, top = corner[0], corner[1] + TITLE_HEIGHT
    colour, mark = SAFETY[hit.safe]
    draw = ImageDraw.Draw(drawn)
    font, baseline = _font(TITLE_SIZE), top - 6
    words = _shortened(f"{title} {hit.note}".strip(), font, TILE - TITLE_SIZE)
    draw.text((left, baseline), words, fill=colour, font=font, anchor="ls")
    draw.text((left + TILE, baseline), mark, fill=colour, font=font, anchor="rs")
    draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), fill=colour)
    inside, place = TILE - 2 * FRAME, (left + FRAME, top + FRAME)
    if isinstance(hit.content, str):
        drawn.paste(Image.new("RGB", (inside, inside), SHADE), place)
        _draw_text(drawn, hit.content, (place[0] + 6, place[1] + 4), (inside - 12, inside - 8))
    else:
        drawn.paste(_picture(hit.content, inside), place)


def _picture(source: Content, side: int) -> Image.Image:
    """The picture in a square, whole, on a light ground where it is not square."""
    return ImageOps.pad(decode(source), (side, side), method=Image.Resampling.LANCZOS, color=SHADE)


def _draw_text(drawn: Image.Image, text: str, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """The text wrapped into a box and centred in its height; what does not fit ends in an ellipsis."""
    font, step = _font(TEXT_SIZE), TEXT_SIZE + 5
    lines, room = _wrapped(text, font, size[0]), size[1] // step
    if len(lines) > room:
        lines = [*lines[: room - 1], _shortened(" ".join(lines[room - 1 :]), font, size[0])]
    top = corner[1] + (size[1] - step * len(lines)) // 2
    for number, line in enumerate(lines):
        ImageDraw.Draw(drawn).text((corner[0], top + number * step), line, fill=INK, font=font)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of whole words that are at most `width` wide; a word wider than that is cut."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, or as much of it as fits before an ellipsis."""
    if font.getlength(text) <= width:
        return text
    end = len(text)
    while end and font.getlength(text[:end] + ELLIPSIS) > width:
        end -= 1
    return text[:end].rstrip() + ELLIPSIS


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows most alphabets."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
