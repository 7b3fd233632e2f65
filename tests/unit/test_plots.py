"""Pictures: what stands where and in which colour, read back from the files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from moderation_samples import sample_bounds
from PIL import Image, ImageColor

from hyperaware.errors import DataError, MediaError
from hyperaware.evaluation import plots, protocols
from hyperaware.evaluation.plots import Shown

RED = (255, 0, 0)
WIDE = Image.new("RGB", (40, 20), RED)
GREEN_FRAME, RED_FRAME, GREY_FRAME = (
    ImageColor.getrgb(plots.SAFETY[safe][0]) for safe in (True, False, None)
)
LEFT = plots.MARGIN + plots.QUERY_WIDTH + plots.GROUP_GAP
TOP = plots.MARGIN + plots.TITLE_HEIGHT
STEP = plots.TILE + plots.GAP


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
    return picture


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The matplotlib figures that are written while the test runs."""
    figures: list[Figure] = []
    save: Callable[..., None] = Figure.savefig

    def kept(figure: Figure, *args: object, **kwargs: object) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def test_a_sheet_frames_hits_by_their_safety(tmp_path: Path) -> None:
    """Raw: one unsafe and one unknown hit; redirected: one safe hit, after the gap of its group."""
    groups = {"raw": [Shown(WIDE, False, "exact"), Shown(WIDE, None)], "redirected": [Shown(WIDE, True)]}
    path = plots.sheet([plots.SheetRow("a query", groups)], tmp_path / "new" / "sheet.png")
    assert max(GREEN_FRAME) == GREEN_FRAME[1]
    assert max(RED_FRAME) == RED_FRAME[0]
    sheet = opened(path)
    middle = TOP + plots.TILE // 2
    third = LEFT + 2 * STEP - plots.GAP + plots.GROUP_GAP
    assert sheet.size == (third + plots.TILE + plots.MARGIN, TOP + plots.TILE + plots.MARGIN)
    for left, frame in ((LEFT, RED_FRAME), (LEFT + STEP, GREY_FRAME), (third, GREEN_FRAME)):
        assert sheet.getpixel((left, middle)) == frame
        assert sheet.getpixel((left + plots.FRAME - 1, middle)) == frame
        assert sheet.getpixel((left + plots.TILE // 2, middle)) == RED
        assert sheet.getpixel((left + plots.TILE // 2, TOP + plots.FRAME)) == ImageColor.getrgb(plots.SHADE)
    title = sheet.crop((LEFT, plots.MARGIN, LEFT + plots.TILE, TOP))
    assert RED_FRAME in title.get_flattened_data()  # the title has the colour of its frame


def test_queries_and_hits_may_be_captions_or_pictures(tmp_path: Path) -> None:
    """The first query is a caption, so its cell is dark ink on white; the second is a red picture."""
    picture = tmp_path / "picture.png"
    WIDE.save(picture)
    path = plots.sheet(
        [
            plots.SheetRow("a caption " * 40, {"hits": [Shown(picture, True)]}),
            plots.SheetRow(picture, {"hits": [Shown("another caption " * 40, False)], "more": []}),
        ],
        tmp_path / "sheet.png",
    )
    sheet = opened(path)
    low = TOP + plots.TITLE_HEIGHT + plots.TILE + plots.GAP
    cells = {
        "caption": (plots.MARGIN, TOP),
        "picture": (plots.MARGIN + (plots.QUERY_WIDTH - plots.TILE) // 2, low),
        "hit": (LEFT, low),
    }
    seen = {
        name: set(sheet.crop((x, y, x + plots.TILE, y + plots.TILE)).get_flattened_data())
        for name, (x, y) in cells.items()
    }
    ink = ImageColor.getrgb(plots.INK)
    assert ink in seen["caption"]
    assert RED not in seen["caption"]
    assert RED in seen["picture"]
    assert {ink, RED_FRAME, ImageColor.getrgb(plots.SHADE)} <= seen["hit"]
    beside = sheet.crop((plots.MARGIN, TOP + plots.TILE, LEFT, low - plots.TITLE_HEIGHT))
    assert set(beside.get_flattened_data()) == {
        ImageColor.getrgb(plots.PAPER)
    }  # long captions stay in their cell


def test_texts_are_wrapped_and_shortened_to_their_width() -> None:
    font = plots._font(plots.TEXT_SIZE)
    text = "a cat and a supercalifragilisticexpialidocious dog"
    lines = plots._wrapped(text, font, 100)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[0] == "a cat and a"
    assert len(lines) > 3
    assert max(font.getlength(line) for line in lines) <= 100
    short = plots._shortened(text, font, 100)
    assert short.startswith("a cat and")
    assert short.endswith("…")
    assert font.getlength(short) <= 100
    assert plots._shortened("a cat", font, 100) == "a cat"


def test_a_sheet_of_nothing_or_of_a_broken_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one row"):
        plots.sheet([], tmp_path / "sheet.png")
    gone = plots.SheetRow("a query", {"hits": [Shown(tmp_path / "gone.png", True)]})
    with pytest.raises(MediaError, match=r"gone\.png"):
        plots.sheet([gone], tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


def test_histograms_hold_every_value_and_the_bounds(tmp_path: Path, drawn: list[Figure]) -> None:
    """A panel per modality: texts with safe 3 and unsafe 2 values, images with safe 1 and no unsafe one."""
    distances = {
        "safe_text": torch.tensor([0.1, 0.2, 0.3]),
        "safe_image": torch.tensor([0.4]),
        "unsafe_text": torch.tensor([0.8, 0.9]),
        "unsafe_image": torch.tensor([]),
    }
    path = plots.root_distance_histogram(
        tmp_path / "histogram.png", distances, bounds=sample_bounds(), title="a title"
    )
    assert opened(path).format == "PNG"
    texts, images = drawn[0].axes
    assert [sum(bar.get_height() for bar in bars) for bars in texts.containers] == [3, 2]
    assert [sum(bar.get_height() for bar in bars) for bars in images.containers] == [1]
    assert [line.get_xdata()[0] for line in texts.lines] == [0.5, 0.55, 0.2]  # trigger, limit, landing
    assert [line.get_xdata()[0] for line in images.lines] == [0.7, 0.75, 0.3]
    labels = texts.get_legend_handles_labels()[1]
    assert labels[:2] == ["safe text (3)", "unsafe text (2)"]
    assert "trigger 0.500" in labels
    with pytest.raises(DataError, match="no root distances"):
        plots.root_distance_histogram(tmp_path / "none.png", {"safe_text": torch.tensor([])})


def test_equal_root_distances_can_be_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.root_distance_histogram(tmp_path / "one.png", {"safe_text": torch.tensor([0.4, 0.4])})
    assert sum(bar.get_height() for bar in drawn[0].axes[0].containers[0]) == 2


def test_bars_are_percent_and_absent_where_a_model_has_no_figure(tmp_path: Path, drawn: list[Figure]) -> None:
    text, image = (f"redirect/{direction}" for direction in protocols.REDIRECT)
    models = {
        "world": {f"{text}/raw/harmful_top1": 0.9, f"{image}/raw/harmful_top1": 0.8},
        "hysac": {
            f"{text}/raw/harmful_top1": 0.7,
            f"{text}/redirected/harmful_top1": 0.0,
            f"{image}/redirected/recall@1": 0.4,
        },
    }
    path = plots.redirect_bars(tmp_path / "bars.png", models)
    assert opened(path).format == "PNG"
    heights = [
        [[round(bar.get_height(), 6) for bar in bars] for bars in axes.containers] for axes in drawn[0].axes
    ]
    assert heights == [
        [[90.0, 70.0], [0.0]],  # unsafe text, harmful: raw of both, redirected of the second
        [[80.0], []],
        [[], []],
        [[], [40.0]],  # unsafe image, twin
    ]
    assert [tick.get_text() for tick in drawn[0].axes[2].get_xticklabels()] == ["world", "hysac"]
