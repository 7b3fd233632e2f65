"""The other pages, each against the running server, and what holds for all of them."""

import re

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from running_server import ROWS, Gallery, Seen
from served_app import running

from hyperaware.records.keys import KeyRing
from hyperaware.server.settings import Settings

SAFE, UNSAFE = "a rabbit with a blue cup in the snow", "a rabbit with an axe in the snow"
SERIOUS = ("serious", "critical")


def open_page(page: Page, name: str) -> None:
    page.locator("nav").get_by_role("link", name=name).click()
    expect(page.locator("nav [aria-current]")).to_have_text(name)
    expect(page).to_have_title(f"{name} · hyperaware")


def fill_everything(page: Page, gallery: Gallery) -> None:
    """Bring every page into the state that has most on it."""
    page.select_option("#role", "moderated")
    page.fill("#query", UNSAFE)
    page.press("#query", "Enter")
    expect(page.locator(".said")).to_contain_text("Waits for a review")
    page.select_option("#role", "adult")
    expect(page.locator(".card img")).to_have_count(24)
    page.locator(".reveal").first.click()
    page.get_by_role("button", name="Why?").click()
    open_page(page, "Map")
    expect(page.locator(".stops li").first).to_be_visible()
    page.get_by_text("The same as a list").click()
    expect(page.locator(".item-row")).to_have_count(12)
    open_page(page, "Moderate")
    page.fill("#moderate-text", UNSAFE)
    page.set_input_files("form.panel input[type=file]", gallery.unsafe_picture)
    page.get_by_role("button", name="Score").click()
    expect(page.locator(".part")).to_have_count(2)
    for part in page.locator(".part").all():
        part.get_by_role("button", name="Explain").click()
    expect(page.locator(".words")).to_be_visible()
    expect(page.locator(".heat")).to_be_visible()
    open_page(page, "Review")
    expect(page.locator(".case")).to_be_visible()
    open_page(page, "Policy")
    page.fill("#trial", UNSAFE)
    page.press("#trial", "Enter")
    expect(page.locator(".trial")).to_have_count(5)
    open_page(page, "Status")
    expect(page.locator(".card-text")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_opens_and_axe_finds_nothing_serious(page: Page, gallery: Gallery, theme: str) -> None:
    expected = {"light": ["light"], "dark": ["light", "dark"]}[theme]
    for name in expected:  # the button goes from "as the system" to light to dark
        page.locator("#theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", name)
    page.locator("#query").wait_for()
    assert serious(page) == []  # empty
    fill_everything(page, gallery)
    for name in ("Search", "Map", "Moderate", "Review", "Policy", "Status"):
        open_page(page, name)
        assert serious(page) == [], name


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def test_nothing_is_wider_than_a_telephone(page: Page, gallery: Gallery) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    fill_everything(page, gallery)
    for name in ("Search", "Map", "Moderate", "Review", "Policy", "Status"):
        open_page(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_texts_and_pictures_are_scored_with_what_the_server_said(
    page: Page, server: str, gallery: Gallery
) -> None:
    open_page(page, "Moderate")
    page.fill("#moderate-text", f"{SAFE}\n{UNSAFE}")
    page.set_input_files("form.panel input[type=file]", gallery.unsafe_picture)
    page.get_by_role("button", name="Score").click()
    parts = page.locator(".part")
    expect(parts).to_have_count(3)
    inputs = [{"type": "text", "text": text} for text in (SAFE, UNSAFE)]
    told = httpx.post(f"{server}/v1/moderations", json={"input": inputs}).json()
    for index, found in enumerate(told["results"][0]["safety"]["parts"]):
        part = parts.nth(index)
        expect(part.locator(".legend")).to_contain_text(f"score {found['score']:.3f}")
        expect(part.locator(".legend")).to_contain_text(f"bound {found['bound']:.3f}")
        rows = part.locator(".bars tr")
        assert rows.count() == len(found["categories"])
        calibrated = found["probability"] is not None
        expect(part).to_contain_text("probability of being unsafe" if calibrated else "not calibrated")
        for category in found["categories"]:
            row = rows.filter(has=page.get_by_role("rowheader", name=category["name"], exact=True))
            if category["probability"] is None:
                expect(row).to_contain_text(f"score {category['score']:.2f}")
            else:
                expect(row).to_contain_text("%")
    expect(parts.nth(0)).to_contain_text("Within the bound: treated as safe")
    expect(parts.nth(1)).to_contain_text("Above the bound: treated as unsafe")
    expect(parts.nth(2)).to_contain_text("Above the bound: treated as unsafe")


def test_where_bound_and_probability_differ_the_page_says_which_decides(page: Page) -> None:
    """Between the safe and the unsafe rows of the calibration the bound flags what is probably safe."""
    open_page(page, "Moderate")
    page.fill("#moderate-text", f"a rabbit\n{SAFE}")
    page.get_by_role("button", name="Score").click()
    parts = page.locator(".part")
    expect(parts).to_have_count(2)
    expect(parts.nth(0)).to_contain_text(
        "Above the bound: treated as unsafe (probability of being unsafe < 1 %"
    )
    expect(parts.nth(0)).to_contain_text("The two differ here. The bound decides")
    expect(parts.nth(1)).not_to_contain_text("The two differ here")


def test_a_failure_to_score_is_never_a_verdict(page: Page, seen: Seen) -> None:
    open_page(page, "Moderate")
    page.fill("#moderate-text", SAFE)
    page.get_by_role("button", name="Score").click()
    expect(page.locator(".part")).to_have_count(1)
    page.set_input_files(
        "form.panel input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.get_by_role("button", name="Score").click()
    expect(page.locator(".results .problem")).to_contain_text("No score:")
    expect(page.locator(".part")).to_have_count(0)
    assert len(seen.complaints) == 1  # the browser's own line about the status
    assert "400" in seen.complaints.pop()


def test_a_review_is_decided_by_keyboard_and_recorded(page: Page, server: str) -> None:
    body = {"text": "a bird with a gun", "role": "moderated"}
    held = httpx.post(f"{server}/v1/search", json=body).raise_for_status().json()
    assert held["verdict"]["action"] == "review"
    open_page(page, "Review")
    case = page.locator(".case")
    expect(case).to_be_focused()
    expect(case.locator(".content")).to_have_class("content grey")
    expect(case.locator("blockquote, img[alt='The picture']")).to_have_count(0)
    expect(case.locator(".masked")).to_have_text(re.compile("^[• ]+$"))
    masked = case.locator(".masked").inner_text()
    page.keyboard.press("r")
    expect(case.locator(".masked")).to_have_count(0)
    assert re.sub(r"\S", "•", case.locator("blockquote").inner_text()) == masked
    page.keyboard.press("r")
    expect(case.locator(".masked")).to_have_text(masked)
    page.keyboard.press("r")
    expect(case.locator("blockquote")).to_be_visible()
    page.keyboard.press("g")
    expect(case.locator(".content")).to_have_class("content")
    decision = case.locator(".facts").inner_text().splitlines()[-1]
    page.keyboard.press("o")
    expect(page.locator("#reason")).to_be_focused()
    page.keyboard.type("A toy; see the picture.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".done li")).to_contain_text("Overturned")
    recorded = httpx.get(f"{server}/v1/reviews/{decision}").json()
    assert recorded["state"] == "decided"
    assert recorded["turns"][-1]["decision"] == "overturn"
    assert recorded["turns"][-1]["reason"] == "A toy; see the picture."


def test_a_decision_needs_a_reason(page: Page, server: str) -> None:
    httpx.post(
        f"{server}/v1/search", json={"text": "a man with a gun", "role": "moderated"}
    ).raise_for_status()
    open_page(page, "Review")
    expect(page.locator(".case")).to_be_focused()
    page.keyboard.press("u")
    page.keyboard.press("Control+Enter")
    assert page.evaluate("document.querySelector('.decide').checkValidity()") is False
    expect(page.locator(".done li")).to_have_count(0)


def test_what_if_says_what_every_rule_says_for_every_role(page: Page, server: str) -> None:
    open_page(page, "Policy")
    policy = httpx.get(f"{server}/v1/policy").json()
    for role, rule in policy["roles"].items():
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=role))
        expect(row).to_contain_text(rule["message"] or "nothing")
    page.fill("#trial", UNSAFE)
    page.get_by_role("button", name="Try").click()
    cards = page.locator(".trial")
    expect(cards).to_have_count(len(policy["roles"]))
    for index, role in enumerate(policy["roles"]):
        tried = httpx.post(f"{server}/v1/policy/trial", json={"text": UNSAFE, "role": role}).json()
        expect(cards.nth(index)).to_contain_text(tried["verdict"]["reason"])
        assert cards.nth(index).locator(".hit").count() == sum(each["hit"] for each in tried["findings"])


def test_the_status_page_tells_model_index_licence_and_health(page: Page, server: str) -> None:
    open_page(page, "Status")
    about = httpx.get(f"{server}/v1/about").json()
    expect(page.locator(".health")).to_contain_text("Ready")
    content = page.locator("main")
    for word in (
        about["model"]["fingerprint"],
        about["model"]["license"],
        f"{2 * ROWS} pictures",
        "What it is not for",
    ):
        expect(content).to_contain_text(word)


def test_a_server_with_keys_asks_for_one_and_keeps_it_in_the_tab_only(
    looking, gallery: Gallery, tmp_path, seen: Seen
) -> None:
    _, token = KeyRing.read(tmp_path / "keys.json", create=True).create("viewer", "a test")
    settings = Settings(index=gallery.index, state=tmp_path)
    with running(settings, gallery.model) as url, looking() as page:
        page.goto(url)
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Key").fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("this key is unknown, revoked or expired")
        dialog.get_by_label("Key").fill(token)
        page.keyboard.press("Enter")
        expect(page.locator(".tools .role")).to_have_text("Role viewer")  # no switch: the key has one role
        page.fill("#query", UNSAFE)
        page.press("#query", "Enter")
        expect(page.locator(".card img").first).to_be_visible()
        open_page(page, "Review")
        expect(page.locator("main")).to_contain_text("it lacks the scope “review”")
        assert token not in page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
        assert page.evaluate("sessionStorage.length") == 1
        assert all("401" in each for each in seen.complaints)
