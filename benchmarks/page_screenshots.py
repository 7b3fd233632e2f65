"""The page in pictures: `hyperaware serve --demo`, then `python -m benchmarks.page_screenshots`

They are written to docs/images as page-NAME-THEME-WIDTH.png, with 256 colours so that they stay small.
"""

import argparse
import base64
import io
from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

OUT = Path(__file__).parent.parent / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
UNSAFE = "a rabbit with an axe in the snow"
SIZES = {1280: 800, 390: 844}
TALL = {"moderate": 1160, "policy": 1160}
"""Heights of what needs more."""
MINUTE = 60_000


def search(page: Page, url: str) -> None:
    """A redirected query."""
    ask(page, UNSAFE, role="viewer")
    page.locator(".card img").nth(11).wait_for()


def why(page: Page, url: str) -> None:
    """The reason for it, with the numbers."""
    search(page, url)
    page.get_by_role("button", name="Why?").click()


def blur(page: Page, url: str) -> None:
    """Blurred results, one of them revealed."""
    ask(page, UNSAFE, role="adult")
    page.locator(".card img").nth(11).wait_for()
    page.locator(".reveal").first.click()
    page.get_by_role("button", name="Blur again").wait_for()


def disk(page: Page, url: str) -> None:
    """The way of a query that was moved by the slider."""
    open_page(page, "Map")
    ask(page, UNSAFE, role="researcher")
    page.locator(".stops").wait_for()
    page.locator("#strength").fill("0.6")
    page.get_by_text("Showing safer results").wait_for()
    page.evaluate("document.activeElement.blur()")


def moderate(page: Page, url: str) -> None:
    """A text with its explanation."""
    page.select_option("#role", "viewer")
    open_page(page, "Moderate")
    page.fill("#moderate-text", "a man with a gun in the street")
    page.get_by_role("button", name="Score").click()
    page.get_by_role("button", name="Explain").click()
    page.locator(".words").wait_for()
    page.evaluate("document.activeElement.blur()")


def review(page: Page, url: str) -> None:
    """A picture that waits for a person."""
    found = httpx.post(f"{url}/v1/search", json={"text": UNSAFE, "role": "researcher"}, timeout=60).json()
    item = max(found["items"], key=lambda each: each["score"])
    jpeg = httpx.get(f"{url}/v1/items/{item['id']}/thumbnail", params={"role": "researcher"}).content
    picture = {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}
    httpx.post(
        f"{url}/v1/search", json={"image": picture, "role": "moderated"}, timeout=60
    ).raise_for_status()
    open_page(page, "Review")
    page.locator(".case .content img").wait_for()
    page.keyboard.press("u")
    page.keyboard.type("A pistol beside crime tape: it stays held back.")


def policy(page: Page, url: str) -> None:
    """What the policy says to an example."""
    open_page(page, "Policy")
    page.fill("#trial", UNSAFE)
    page.press("#trial", "Enter")
    page.locator(".trial").first.wait_for()
    page.evaluate("document.activeElement.blur()")


def status(page: Page, url: str) -> None:
    """Health, figures and the model card."""
    open_page(page, "Status")
    page.locator(".card-text").wait_for()
    page.locator(".facts").nth(1).wait_for()


SHOTS: dict[str, Callable[[Page, str], None]] = {
    "search": search,
    "why": why,
    "blur": blur,
    "map": disk,
    "moderate": moderate,
    "review": review,
    "policy": policy,
    "status": status,
}
NARROW = ("search", "map")
"""What is also shown on a telephone."""


def open_page(page: Page, name: str) -> None:
    page.locator("nav").get_by_role("link", name=name).click()


def ask(page: Page, text: str, *, role: str) -> None:
    page.select_option("#role", role)
    page.fill("#query", text)
    page.press("#query", "Enter")
    page.locator(".said").wait_for()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a server with the demo's policy")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", choices=SHOTS, action="append", help="one shot; several times")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in given.only or SHOTS:
            for width, height in SIZES.items():
                for theme in ("light", "dark") if width > 1000 or name in NARROW else ():
                    context = browser.new_context(
                        color_scheme=theme,
                        viewport={"width": width, "height": TALL.get(name, height)},
                        reduced_motion="reduce",
                    )
                    context.set_default_timeout(MINUTE)
                    page = context.new_page()
                    page.goto(given.url)
                    page.locator("#query").wait_for()
                    SHOTS[name](page, given.url)
                    page.wait_for_load_state("networkidle")
                    page.evaluate("scrollTo(0, 0)")
                    path = given.out / f"page-{name}-{theme}-{width}.png"
                    path.write_bytes(small(page.screenshot()))
                    print(f"{path.name}: {path.stat().st_size:,} bytes")
                    context.close()
        browser.close()


def small(png: bytes) -> bytes:
    """The picture with 256 colours."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


if __name__ == "__main__":
    main()
