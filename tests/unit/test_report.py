"""Tables of figures that one can check by eye."""

import io
from dataclasses import replace

import pytest
import torch
from model_samples import random_rows
from moderation_samples import sample_bounds
from rich.console import Console
from rich.table import Table

from hyperaware.data.quadruplet import Box, Quadruplet
from hyperaware.evaluation import protocols, report, runs
from hyperaware.evaluation.suite import figures_of
from hyperaware.evaluation.zero_shot import ClassPoints
from hyperaware.geometry.space import Lorentz

SAFE_KEY = "safe/safe_text->safe_image/recall@1"
SHORT = {
    "Retrieval": (
        report.Line("R@1", "a", redirected="b"),
        report.Line("only raw", "c"),
        report.Line("nowhere", "z"),
    ),
    "Lengths": (report.Line("median", "d", "number"), report.Line("ordered", "e", "answer")),
    "Empty": (report.Line("nowhere", "z"),),
}
FIGURES = {"a": 0.97349, "b": 0.5, "c": 0.0, "d": 0.31549, "e": True}


def printed(table: Table) -> list[str]:
    """The lines of a table as a terminal shows them, spaces joined."""
    stream = io.StringIO()
    Console(file=stream, width=120).print(table)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines() if line.strip()]


def test_markdown_of_two_models_side_by_side() -> None:
    columns = [
        report.Column("one", FIGURES),
        report.Column("one\nmoved", FIGURES, "redirected"),
        report.Column("a|b", {"a": 1.0}),
    ]
    assert report.markdown(columns, SHORT) == (
        "|  | one | one moved | a\\|b |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| **Retrieval** |  |  |  |\n"
        "| R@1 | 97.3 % | 50.0 % | 100.0 % |\n"
        "| only raw | 0.0 % | - | - |\n"
        "| **Lengths** |  |  |  |\n"
        "| median | 0.315 | - | - |\n"
        "| ordered | yes | - | - |\n"
    )


def test_the_table_on_screen_has_the_same_cells() -> None:
    lines = printed(report.table([report.Column("a [b]", FIGURES)], SHORT, title="Of test"))
    assert lines[0] == "Of test"
    assert "a [b]" in lines[1]
    rest = [line for line in lines[2:] if "─" not in line]
    assert rest == [
        "Retrieval",
        "R@1 97.3 %",
        "only raw 0.0 %",
        "Lengths",
        "median 0.315",
        "ordered yes",
    ]


def test_three_models_stand_side_by_side_in_80_characters() -> None:
    stream = io.StringIO()
    columns = [report.Column("world-hysac-ordered\nredirected", {SAFE_KEY: 0.12345})] * 3
    Console(file=stream, width=80).print(report.table(columns))
    head = [line.split() for line in stream.getvalue().splitlines()[:3]]
    assert head == [["world-hysac-"] * 3, ["ordered"] * 3, ["redirected"] * 3]
    assert "text to image 12.3 % 12.3 % 12.3 %" in " ".join(stream.getvalue().split())


def test_spreads_in_a_table() -> None:
    spreads = {
        "a": runs.Spread(mean=0.6, deviation=0.1, low=0.5, high=0.7, n=3),
        "c": runs.Spread(mean=0.6, deviation=None, low=0.6, high=0.6, n=1),
        "d": runs.Spread(mean=0.3154, deviation=0.0021, low=0.3, high=0.32, n=3),
        "e": runs.Spread(mean=2 / 3, deviation=0.5, low=0.0, high=1.0, n=3),
    }
    text = report.markdown([report.Column("three seeds", spreads)], SHORT)
    assert "| R@1 | 60.0 ± 10.0 % (50.0-70.0) |" in text
    assert "| only raw | 60.0 % |" in text
    assert "| median | 0.315 ± 0.002 (0.300-0.320) |" in text
    assert "| ordered | 2 of 3 |" in text


def test_before_and_after_gives_a_redirected_column_to_models_that_redirect() -> None:
    unmoved = {f"redirect/{protocols.REDIRECT[0]}/raw/harmful_top1": 0.9, SAFE_KEY: 0.8}
    moved = {
        **unmoved,
        f"redirect/{protocols.REDIRECT[0]}/redirected/harmful_top1": 0.02,
        "safe-redirected/safe_text->safe_image/recall@1": 0.7,
    }
    columns = report.before_after({"world": unmoved, "hysac": moved})
    text = report.markdown(columns, report.HEADLINE)
    assert [column.title for column in columns] == ["world", "hysac", "hysac\nredirected"]
    assert (
        "| **Safe query, its safe item: R@1 ↑** |  |  |  |\n| text to image | 80.0 % | 80.0 % | 70.0 % |"
        in text
    )
    assert (
        "| **Unsafe query: harmful first hit ↓** |  |  |  |\n| text to image | 90.0 % | 90.0 % | 2.0 % |"
        in text
    )
    assert len(text.splitlines()) == 2 + 2 * 2


def test_scope_lines_name_every_category_and_slice() -> None:
    figures = {
        "separation/text/all/auroc": 0.9,
        "separation/text/all/ap": 0.1,
        "separation/text/category:self-harm/auroc": 0.8,
        "separation/image/slice:dual-use/auroc": 0.7,
    }
    columns = [report.Column("model", figures)]
    assert report.markdown(columns, report.scope_lines(columns)).splitlines()[2:] == [
        "| **Text: AUROC by root distance ↑** |  |",
        "| all | 0.900 |",
        "| self-harm | 0.800 |",
        "| **Image: AUROC by root distance ↑** |  |",
        "| dual-use | 0.700 |",
    ]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> protocols.Figures:
    """Every figure of two rows, which are also their own calibration rows and ten times a gallery."""
    rows = [
        replace(row, slice="dual-use", category="hate", safe_boxes=(Box("a king", 0, 0, 1, 1),))
        for row in random_rows(tmp_path_factory.mktemp("rows"), 2)
    ]
    space = Lorentz(1.0)
    parts = {
        name: space.lift(distance * torch.eye(2))
        for name, distance in zip(protocols.CLASSES, (0.3, 0.5, 0.7, 0.9), strict=True)
    }
    points = protocols.labelled(Quadruplet(**parts), rows)
    kings = ClassPoints(("a king", "an owl"), torch.eye(2))
    return figures_of(
        points,
        rows,
        space=space,
        bounds=sample_bounds(),
        calibration=points,
        galleries={"a/b": points.take(torch.tensor([0, 1] * 5))},
        zero_shot={"subject": kings, "things": kings},
    )


def test_every_line_of_the_layouts_is_a_figure(full: protocols.Figures) -> None:
    columns = [report.Column("model", full)]
    for layout, count in (
        (report.MAIN, 66),
        (report.HEADLINE, 8),
        (report.gallery_lines(columns), 4),
        (report.category_lines(columns), 8),
    ):
        lines = [line for section in layout.values() for line in section]
        assert len(lines) == count
        keys = {key for line in lines for key in (line.key, line.redirected) if key is not None}
        assert keys - full.keys() == set()


def test_safeground_stands_beside_chance_and_below_utility(full: protocols.Figures) -> None:
    text = report.markdown([report.Column("model", full)])
    assert "| GS all four queries (chance 8.3 %) | 0.0 % |" in text
    assert "| subject, by chance | 50.0 % |" in text
    assert text.index("R@1") < text.index("zero-shot") < text.index("P_t_s")


def test_a_table_with_safeground_says_that_damage_raises_it(full: protocols.Figures) -> None:
    columns = [report.Column("model", full)]
    assert report.markdown(columns).endswith(f" |\n\n{report.SAFEGROUND_NOTE}\n")
    assert report.SAFEGROUND_NOTE in " ".join(printed(report.table(columns)))
    for other in ([report.Column("model", {SAFE_KEY: 0.5})], [report.Column("model", FIGURES)]):
        assert "Random embeddings" not in report.markdown(other)
    assert "Random embeddings" not in report.markdown(columns, report.HEADLINE)


def test_two_models_fit_into_80_characters(full: protocols.Figures) -> None:
    """Nothing is cut, and only a heading may take a second line."""
    stream = io.StringIO()
    columns = [report.Column("world-hysac-ordered", full)] * 2
    layout = {**report.MAIN, **report.category_lines(columns)}
    Console(file=stream, width=80).print(report.table(columns, layout))
    lines = stream.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "…" not in stream.getvalue()
    labels = [line.label for section in layout.values() for line in section]
    found = [" ".join(line.split()) for line in lines]
    assert [label for label in labels if not any(line.startswith(label) for line in found)] == []


def test_lines_of_galleries_and_categories_are_those_that_occur(full: protocols.Figures) -> None:
    """The gallery's name has a slash."""
    columns = [report.Column("model", full)]
    assert list(report.gallery_lines(columns)) == ["Unsafe query in a/b: harmful first hit ↓"]
    section = report.category_lines(columns)["Within a category, image to text: harmful first hit ↓"]
    assert [line.label for line in section] == ["hate, raw", "hate, redirected"]
    assert report.gallery_lines([report.Column("model", {})]) == {}
