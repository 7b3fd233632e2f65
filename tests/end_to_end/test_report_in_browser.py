"""The report in a real browser: it opens without a request or an error, shows its pictures, and fits."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comparison_samples import small_comparison

from hyperaware.comparison.report import write_report
from hyperaware.comparison.results import Comparison

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
SECTIONS = (
    "summary",
    "safety-and-utility",
    "claims",
    "safeground",
    "distances",
    "studies",
    "categories",
    "searches",
    "figures",
    "published",
    "made",
)
DECODED = """async () => Promise.all([...document.querySelectorAll('symbol image')].map(async image => {
    const picture = new Image();
    picture.src = image.getAttribute('href');
    await picture.decode();
    return picture.naturalWidth;
}))"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return small_comparison(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def report(compared: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(compared, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}; name one in CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[(1200, "light"), (1200, "dark"), (400, "light")], ids=["light", "dark", "narrow"])
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The open report; whatever it asked for or complained about is in `page.asked` and `page.said`."""
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened.asked, opened.said = [], []
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def test_it_opens_without_requests_and_errors(page: Any, report: Path) -> None:
    assert [url for url in page.asked if not url.startswith("data:")] == [report.as_uri()]
    assert page.said == []


def test_every_section_is_there_and_can_be_reached(page: Any) -> None:
    assert [section.get_attribute("id") for section in page.query_selector_all("main section")] == list(
        SECTIONS
    )
    links = [link.get_attribute("href") for link in page.query_selector_all("nav a")]
    assert links == [f"#{name}" for name in SECTIONS]
    for name in SECTIONS:
        assert page.query_selector(f"#{name} h2").is_visible()


def test_the_page_fits_and_only_tables_scroll(page: Any) -> None:
    """Details are opened first: nothing in them may widen the page either."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    table = page.query_selector("#summary .scroll")
    assert table.evaluate("box => getComputedStyle(box).overflowX") == "auto"
    head = page.query_selector("#summary tbody th")
    before = head.bounding_box()["x"]
    table.evaluate("box => { box.scrollLeft = 200 }")
    assert head.bounding_box()["x"] == pytest.approx(before, abs=1)


def test_pictures_decode_and_are_drawn(page: Any) -> None:
    widths = page.evaluate(DECODED)
    assert len(widths) > 3
    assert set(widths) == {96}
    hits = page.query_selector_all(".hit svg")
    assert all(hit.bounding_box()["width"] >= 60 for hit in hits)
    assert all(hit.get_attribute("aria-label") for hit in hits)
    chart = page.query_selector("#safety-and-utility svg.chart").bounding_box()
    assert chart["height"] > 300


def test_what_is_written_can_be_read(page: Any) -> None:
    """Contrast of ink and soft ink on paper and card is at least 4.5 (WCAG AA)."""
    colours = page.evaluate("""() => {
        const of = (name) => {
            const probe = document.body.appendChild(document.createElement('span'));
            probe.style.color = `var(--${name})`;
            const found = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
            probe.remove();
            return found;
        };
        const names = ['ink', 'soft', 'harm', 'good', 'link', 'paper', 'card', 'band', 'best', 'tie'];
        return Object.fromEntries(names.map(name => [name, of(name)]));
    }""")
    for ink in ("ink", "soft", "harm", "good", "link"):
        for ground in ("paper", "card"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ground in ("band", "best", "tie"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5, ground
        assert contrast(colours["soft"], colours[ground]) >= 4.5, ground


def contrast(one: list[int], other: list[int]) -> float:
    def luminance(colour: list[int]) -> float:
        parts = [value / 255 for value in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_screenshot_shows_more_than_paper(page: Any, tmp_path: Path) -> None:
    from PIL import Image

    page.screenshot(path=tmp_path / "report.png", full_page=True)
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.height > 4000
        assert len(picture.convert("RGB").resize((200, 800)).getcolors(200 * 800)) > 500
