"""Fixtures: a running server under the demo's policy, and a browser that looks at its page."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from running_server import WITHIN, Gallery, Seen
from served_app import running

from hyperaware.server.settings import DEMO_POLICY, Settings

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return Gallery.drawn(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def server(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the demo: every role may be asked for, and no key is needed."""
    settings = Settings(
        index=gallery.index,
        policy=DEMO_POLICY,
        state=tmp_path_factory.mktemp("state"),
        demo=True,
        requests_per_minute=0,
    )
    with running(settings, gallery.model) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def _looking(browser: Browser, seen: Seen, **options: object) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 860}, **options)  # type: ignore[arg-type]
    context.set_default_timeout(WITHIN * 1000)
    page = context.new_page()
    page.on("console", lambda message: seen.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.urls.append(request.url))
    yield page
    context.close()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def looking(browser: Browser, seen: Seen) -> Callable[..., AbstractContextManager[Page]]:
    """Opens a new browser profile with an empty page; options as of `Browser.new_context`."""
    return lambda **options: _looking(browser, seen, **options)


@pytest.fixture
def page(browser: Browser, server: str, seen: Seen) -> Iterator[Page]:
    """The page, open. In the end nothing was written to the console, and no other host was asked."""
    with _looking(browser, seen, reduced_motion="reduce") as page:
        page.goto(server)
        page.locator("#query").wait_for()
        yield page
        assert seen.complaints == []
        assert {url for url in seen.urls if not url.startswith((server + "/", "blob:", "data:"))} == set()
