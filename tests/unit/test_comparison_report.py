"""The report of a real comparison of the shipped models: what stands in the page, tables and charts."""

import io
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from comparison_samples import ROWS, entry, small_comparison
from comparison_samples import comparison as given
from moderation_samples import sample_bounds
from rich.console import Console

from hyperaware.comparison import charts, difference
from hyperaware.comparison.guess import random_figures
from hyperaware.comparison.headline import HARMFUL_SERVED, SAFE_RECALL, SAFE_SERVED, mean_spread
from hyperaware.comparison.placement import label_places
from hyperaware.comparison.reading import front, random_sentence
from hyperaware.comparison.report import markdown_table, write_report
from hyperaware.comparison.results import Comparison, Entry
from hyperaware.comparison.summary import grid, markdown, safeground_grid, summary_grid, summary_table
from hyperaware.metrics.safeground import CHANCE


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return small_comparison(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def page(compared: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report(compared, tmp_path_factory.mktemp("report") / "new" / "report.html")
    return path.read_text(encoding="utf-8")


class Ids(HTMLParser):
    """The ids, the targets that are referred to within the page, and the headings."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.addresses: list[str] = []
        self.levels: list[int] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if "id" in found:
            self.ids.append(found["id"])
        for name in ("href", "xlink:href", "src"):
            if found.get(name, "").startswith("#"):
                self.targets.add(found[name][1:])
            elif name in found:
                self.addresses.append(found[name])
        self.targets.update(filter(None, [found.get("aria-labelledby")]))


# The page -----------------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_else(page: str) -> None:
    found = Ids(page)
    assert len(found.ids) == len(set(found.ids))
    assert found.targets
    assert found.targets <= set(found.ids)
    assert found.addresses
    assert all(address.startswith("data:") for address in found.addresses)
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)|@import|<script", page)


def test_headings_go_down_by_one_level(page: str) -> None:
    levels = Ids(page).levels
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_picture_is_embedded_once(page: str, compared: Comparison) -> None:
    hits = [hit for one in compared.entries for found in one.retrieved for hit in found.hits]
    assert page.count("data:image/webp") == len({hit.path for hit in hits}) < len(hits)
    assert len(re.findall(r'<use href="#picture-', page)) == len(hits)
    assert page.count("✕ unsafe</span>") == sum(hit.unsafe for hit in hits)


def test_what_is_data_is_escaped(compared: Comparison, tmp_path: Path) -> None:
    """As settings, as a title (in tables and charts) and as a caption; `$` starts no formula in a chart."""
    evil = '<script>alert("$x_1$")</script>'
    first = compared.entries[0]
    answers = tuple(
        replace(one, text=evil, hits=tuple(replace(hit, caption=evil) for hit in one.hits))
        for one in first.retrieved
    )
    changed = replace(
        compared, entries=(replace(first, title=evil, retrieved=answers), *compared.entries[1:])
    )
    text = write_report(changed, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("$x_1$") > 10
    assert "alert(&#39;settings&#39;)" in text
    drawn = re.sub('aria-label="[^"]*"', "", charts.histograms(changed.entries))
    assert "$x_1$" in drawn


def test_what_could_not_be_made_is_said_at_the_top(page: str) -> None:
    top, rest = page.split('<section id="summary">')
    assert "<li>uwm, seed 0: a &lt;reason&gt;</li>" in top
    assert top.count("<li>") - top.count('<li><a href="#') == 1
    assert "hyperaware compare --out runs/&lt;table&gt;" in rest


def test_the_same_comparison_gives_the_same_bytes(page: str, compared: Comparison, tmp_path: Path) -> None:
    assert write_report(compared, tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_published_figures_stand_in_tables_of_their_own(page: str) -> None:
    ours, published = page.split('<section id="published">')
    assert "as published" in published
    assert "42.1" in published  # HySAC, table 1
    assert "grade" not in ours.lower()


# Tables -------------------------------------------------------------------------------------------


def test_the_summary_shows_means_spreads_and_marks(compared: Comparison) -> None:
    table = summary_grid(compared)
    assert [line.title for line in table.lines] == ["CLIP", "HySAC", "HySAC, ordered", "chance"]
    clip, hysac, _, chance = table.lines
    place = [group.heading for group in table.groups].index("Harmful first hit, as served ↓")
    column = sum(len(group.labels) for group in table.groups[:place])
    spread = HARMFUL_SERVED.figures[0].spread(compared.entry("hysac"))
    assert spread is not None
    assert spread.n == 2
    assert hysac.cells[column].text == f"{100 * spread.mean:.1f}"
    assert hysac.cells[column].spread.startswith("± ")
    assert (clip.cells[column].spread, clip.cells[column].mark) == ("", "")
    assert "best" in {line.cells[column].mark for line in table.lines}
    assert chance.guess
    assert all(len(line.cells) == len(table.labels) for line in table.lines)


def test_methods_that_cannot_be_told_apart_are_not_marked() -> None:
    figure = SAFE_RECALL.figures[0]
    entries = [entry(name, {figure.raw: [1.0, 0.0, 1.0]}) for name in ("one", "two")]
    cells = [line.cells[0] for line in grid(entries, (SAFE_RECALL,), caption="").lines]
    assert [(cell.text, cell.mark) for cell in cells] == [("66.7", ""), ("66.7", "")]


def test_markdown_marks_as_the_page_does(compared: Comparison) -> None:
    text = markdown_table(compared)
    assert markdown(summary_grid(compared)) in text + "\n"
    assert re.search(r"Harmful first hit, as served ↓, T → I \| 100.0 \|.*\*\*", text)
    assert "| **not tested** |" in text
    assert "HySAC, table 10" in text
    lines = [line for line in text.splitlines() if line.startswith("| Safe R@1 ↑, T → I")]
    assert lines
    assert all(line.count("|") == 6 for line in lines[:1])


def test_the_summary_fits_a_narrow_screen(compared: Comparison) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(compared))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("HySAC" in line for line in lines) == 2


def test_random_points_reach_chance_and_find_nothing() -> None:
    found = random_figures(1000)
    for name, chance in CHANCE.items():
        assert found[f"safeground/{name}"] == pytest.approx(chance, abs=0.04)
    assert found[SAFE_RECALL.figures[0].raw] < 0.01


def test_safeground_stands_beside_utility_and_random_points(compared: Comparison) -> None:
    table = safeground_grid(compared)
    assert [line.title for line in table.lines[-2:]] == ["chance", "random points"]
    assert table.groups[0].heading == "Safe R@1 ↑"
    assert "GS" in random_sentence(compared)


# Reading ------------------------------------------------------------------------------------------


def place(name: str, safe: float, harmful: float) -> Entry:
    figures = {figure.raw: safe for figure in SAFE_SERVED.figures}
    return entry(name, figures | {figure.raw: harmful for figure in HARMFUL_SERVED.figures})


def test_the_front_of_safety_and_utility() -> None:
    """`safe` and `useful` cannot be weighed; `worse` loses to `safe` in both, `equal` is where `safe` is."""
    entries = [
        place("safe", 0.8, 0.1),
        place("useful", 0.9, 0.5),
        place("worse", 0.7, 0.2),
        place("equal", 0.8, 0.1),
        entry("unknown", {}),
    ]
    assert [one.name for one in front(entries)] == ["safe", "useful", "equal"]


# Charts -------------------------------------------------------------------------------------------


def test_charts_say_their_numbers(compared: Comparison) -> None:
    said = charts.safety_utility(compared.entries)
    hysac = mean_spread(compared.entry("hysac"), SAFE_SERVED)
    assert hysac is not None
    assert f"HySAC: safe R@1 {100 * hysac.mean:.1f} %" in said
    assert "currentColor" in said
    assert "violence" in charts.categories(compared.entries)
    sweep = charts.sweep(compared.studies[0], 1.0)
    assert "chosen: 1" in sweep
    assert re.search(r"safe R@1, as served: [\d.]+ % at 0.5, [\d.]+ % at 1;", sweep)


def test_charts_stand_what_is_missing() -> None:
    """Methods without any figure, classes without a distance."""
    bare = replace(entry("bare", {}), distances={})
    assert "<svg" in charts.safety_utility([bare])
    assert "bare" in charts.histograms([bare])


def test_names_of_points_cover_nothing() -> None:
    """Nine points in one place: all names lie inside the frame, apart from each other and from the mark."""
    anchors = np.full((9, 2), 300.0) + np.arange(9)[:, None]
    sizes = np.tile([80.0, 14.0], (9, 1))
    mark = np.array([[293.0, 293.0, 315.0, 315.0]])
    centres = label_places(anchors, sizes, mark, (0.0, 0.0, 600.0, 600.0))
    boxes = np.vstack([np.hstack([centres - sizes / 2, centres + sizes / 2]), mark])
    for i, one in enumerate(boxes):
        assert (one[:2] >= 0).all()
        assert (one[2:] <= 600).all()
        for other in boxes[i + 1 :]:
            assert (one[:2] >= other[2:]).any() or (other[:2] >= one[2:]).any()


# Differences --------------------------------------------------------------------------------------


def test_a_paired_difference_has_an_interval() -> None:
    raw = SAFE_RECALL.figures[0].raw
    before = given(
        entry("clip", {raw: [0.0] * 20 + [1.0] * 20, "separation/text/all/auroc": 0.5}), entry("gone", {})
    )
    after = given(entry("clip", {raw: [1.0] * 40, "separation/text/all/auroc": 0.75}), entry("new", {}))
    found = difference.difference(before, after)
    assert found.same_rows
    assert (found.only_first, found.only_second) == (("gone",), ("new",))
    change = found.methods[0].changes[raw]
    assert (change.first, change.second, change.difference, change.significant) == (0.5, 1.0, 0.5, True)
    text = difference.markdown(found)
    assert "| clip | Safe R@1 ↑, T → I | 50.0 | 100.0 | +50.0 | +3" in text
    assert "| 0.500 | 0.750 | +0.250 | – |" in text
    assert "Only in the first: gone." in text
    figures = found.document()["methods"]["clip"]["figures"]
    assert figures[raw]["interval"]["value"] == 0.5
    assert figures["separation/text/all/auroc"]["interval"] is None


def test_other_rows_are_said_aloud_and_not_paired() -> None:
    raw = SAFE_RECALL.figures[0].raw
    before = given(entry("clip", {raw: [0.0, 1.0]}))
    after = given(entry("clip", {raw: [1.0, 1.0]}, fingerprint="other rows"))
    found = difference.difference(before, after)
    assert not found.same_rows
    assert found.methods[0].changes[raw].interval is None
    assert difference.markdown(found).startswith("DIFFERENT DATA")
    assert "| unpaired |" in difference.markdown(found)
    assert 'class="warning"' in difference.html(found)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(difference.difference_table(found))
    assert "DIFFERENT DATA" in console.export_text()


def test_a_comparison_does_not_differ_from_itself(compared: Comparison) -> None:
    found = difference.difference(compared, compared)
    assert len(found.methods) == 3
    assert all(not change.significant for method in found.methods for change in method.changes.values())
    assert "figures of the summary are equal" in difference.html(found)
    assert compared.rows == ROWS


def test_a_method_that_gained_a_redirect_is_compared_by_what_both_have() -> None:
    served = HARMFUL_SERVED.figures[0]
    assert served.redirected is not None
    before = given(entry("m", {served.raw: [1.0, 1.0]}))
    after = given(entry("m", {served.raw: [1.0, 1.0], served.redirected: [0.0, 0.0]}, bounds=sample_bounds()))
    found = difference.difference(before, after)
    assert list(found.methods[0].changes) == [served.raw]
    assert [change.key for _, _, change in found.methods[0].summary] == [served.raw]
