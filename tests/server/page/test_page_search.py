"""The page "Search": redirection that says so, the slider, pictures, blurring, and all of it by keyboard."""

import httpx
from playwright.sync_api import Page, expect
from running_server import Gallery, Seen

SAFE, UNSAFE = "a rabbit with a blue cup in the snow", "a rabbit with an axe in the snow"


def ask(page: Page, text: str, *, role: str | None = None) -> None:
    if role is not None:
        page.select_option("#role", role)
    page.fill("#query", text)
    page.press("#query", "Enter")
    expect(page.locator(".said")).to_be_visible()


def ids(page: Page) -> list[str]:
    return page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.id)")


def answer(server: str, **body: object) -> dict:
    return httpx.post(f"{server}/v1/search", json={"k": 24, **body}).raise_for_status().json()


def settled(page: Page, expected: list[str]) -> None:
    """Wait until the grid shows these items in this order."""
    page.wait_for_function(
        "ids => JSON.stringify([...document.querySelectorAll('.card')].map(card => card.dataset.id))"
        " === JSON.stringify(ids)",
        arg=expected,
    )


def test_a_safe_query_shows_what_the_server_found_with_captions(page: Page, server: str) -> None:
    ask(page, SAFE)
    found = answer(server, text=SAFE)
    settled(page, [item["id"] for item in found["items"]])
    captions = page.locator(".caption").all_text_contents()
    assert captions == [item["caption"] for item in found["items"]]
    expect(page.locator(".card img").first).to_have_attribute("alt", captions[0])
    expect(page.locator(".said")).to_contain_text("Allowed")
    expect(page.locator("#strength")).to_be_disabled()
    expect(page.get_by_text("within the bound: there is nothing to move")).to_be_visible()


def test_redirected_results_say_so_and_why_with_the_numbers(page: Page, server: str) -> None:
    ask(page, UNSAFE)
    expect(page.locator(".said")).to_contain_text(f"Showing safer results for “{UNSAFE}”")
    expect(page.locator(".why")).to_be_hidden()
    page.get_by_role("button", name="Why?").click()
    found = answer(server, text=UNSAFE)
    steps = page.locator(".steps li")
    assert steps.count() == len(found["steps"])
    for step, shown in zip(found["steps"], steps.all_text_contents(), strict=True):
        assert step["sentence"] in shown
    expect(page.locator(".why .legend")).to_contain_text(f"as asked {found['root_distance_before']:.3f}")
    expect(page.locator(".why .legend")).to_contain_text(f"searched with {found['root_distance_after']:.3f}")
    # This role's rule moves all the way, so the slider stands there, cannot move, and says so.
    expect(page.locator("#strength")).to_be_disabled()
    expect(page.locator("#strength")).to_have_value("1")
    expect(page.get_by_text("Role “viewer” always gets the safest results")).to_contain_text(
        "choose the role “adult” to move this"
    )
    ask(page, UNSAFE, role="adult")
    expect(page.locator("#strength")).to_be_enabled()


def test_the_grid_follows_the_slider_and_stale_requests_are_given_up(page: Page, server: str) -> None:
    ask(page, UNSAFE, role="researcher")
    as_asked = [i["id"] for i in answer(server, text=UNSAFE, role="researcher")["items"]]
    safest = [i["id"] for i in answer(server, text=UNSAFE, role="researcher", strength=1)["items"]]
    assert as_asked != safest
    settled(page, as_asked)
    expect(page.locator(".said")).to_contain_text("Searched as asked")

    sent = []
    page.on(
        "request",
        lambda request: sent.append(request.post_data_json) if request.url.endswith("/v1/search") else None,
    )
    page.evaluate(
        """() => {
            const slider = document.getElementById("strength");
            for (let step = 1; step <= 50; step++) {
                slider.value = String(step / 50);
                slider.dispatchEvent(new Event("input", { bubbles: true }));
            }
        }"""
    )
    settled(page, safest)
    assert [body["strength"] for body in sent] == [1]  # fifty movements in a row, one search
    expect(page.locator(".said")).to_contain_text("Redirected")

    page.locator("#strength").fill("0")
    settled(page, as_asked)
    assert "strength" not in sent[-1]


def test_an_answer_that_comes_too_late_is_not_shown(page: Page, server: str) -> None:
    held = []
    page.route(
        "**/v1/search",
        lambda route: held.append(route) if SAFE in route.request.post_data else route.continue_(),
    )
    page.fill("#query", SAFE)
    page.press("#query", "Enter")
    while not held:
        page.wait_for_timeout(10)
    ask(page, UNSAFE)
    expect(page.locator(".said")).to_contain_text(UNSAFE)
    held[0].abort()  # the page has given it up before
    settled(page, [item["id"] for item in answer(server, text=UNSAFE)["items"]])


def test_more_results_are_the_next_page(page: Page, server: str, gallery: Gallery) -> None:
    ask(page, UNSAFE, role="researcher")
    first = answer(server, text=UNSAFE, role="researcher")
    rest = answer(server, text=UNSAFE, role="researcher", offset=24)
    assert first["more"]
    assert not rest["more"]
    page.get_by_role("button", name="More results").click()
    settled(page, [item["id"] for item in first["items"] + rest["items"]])
    expect(page.get_by_role("button", name="More results")).to_be_hidden()


def test_a_picture_is_searched_by_choosing_and_by_dropping_it(
    page: Page, server: str, gallery: Gallery
) -> None:
    page.select_option("#role", "researcher")
    page.set_input_files("input[type=file]", gallery.unsafe_picture)
    expect(page.locator(".chip.given")).to_contain_text(gallery.unsafe_picture.name)
    expect(page.locator(".card")).to_have_count(24)
    chosen = ids(page)
    page.get_by_role("button", name="Clear the query").click()
    expect(page.locator(".card")).to_have_count(0)

    page.evaluate(
        """async ([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            document.querySelector("form.question").dispatchEvent(
                new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        ["dropped.png", list(gallery.unsafe_picture.read_bytes())],
    )
    settled(page, chosen)
    expect(page.locator(".chip.given")).to_contain_text("dropped.png")


def test_a_file_that_is_no_picture_is_refused_in_the_page(page: Page, seen: Seen) -> None:
    page.set_input_files("input[type=file]", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"})
    expect(page.get_by_text("That is no picture.")).to_be_visible()
    assert not [url for url in seen.urls if url.endswith("/v1/search")]


def test_blurred_items_are_fetched_blurred_and_revealed_on_purpose(
    page: Page, server: str, seen: Seen
) -> None:
    ask(page, UNSAFE, role="adult")
    expect(page.locator(".said")).to_contain_text("blurred until you reveal them")
    first = page.locator(".card").first
    expect(first.locator("img")).to_have_attribute("alt", "A blurred picture")
    expect(page.get_by_role("button", name="Reveal")).to_have_count(24)
    assert not [url for url in seen.urls if "reveal" in url]
    assert all("blur=true" in url for url in seen.urls if "/thumbnail" in url)
    expect(first.locator(".caption")).to_have_text("Blurred by the policy")

    first.get_by_role("button", name="Reveal").focus()
    page.keyboard.press("Enter")
    again = first.get_by_role("button", name="Blur again")
    expect(again).to_be_focused()
    (id,) = ids(page)[:1]
    told = httpx.get(f"{server}/v1/items/{id}", params={"role": "adult", "reveal": True}).json()
    expect(first.locator(".caption")).to_have_text(told["caption"])
    assert len([url for url in seen.urls if "/thumbnail" in url and "reveal=true" in url]) == 1

    page.keyboard.press("Enter")
    expect(first.locator(".caption")).to_have_text("Blurred by the policy")
    expect(first.locator("img")).to_have_attribute("alt", "A blurred picture")


def test_a_blocked_query_and_one_under_review_show_nothing_and_say_why(page: Page) -> None:
    ask(page, UNSAFE, role="researcher")
    expect(page.locator(".card").first).to_be_visible()
    for role, action in (("child", "Blocked"), ("moderated", "Waits for a review")):
        page.select_option("#role", role)
        expect(page.locator(".said")).to_contain_text(action)
        expect(page.locator(".card")).to_have_count(0)
        expect(page.locator("#strength")).to_be_hidden()


def test_the_likes_of_an_item_are_searched(page: Page, server: str) -> None:
    ask(page, SAFE)
    expect(page.locator(".card").first).to_be_visible()
    (id,) = ids(page)[:1]
    page.locator(".like").first.click()
    settled(page, [item["id"] for item in answer(server, item=id)["items"]])
    expect(page.locator(".chip.given")).to_contain_text("Like")


def test_search_works_by_keyboard_alone(page: Page, server: str) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not lead to {selector}")

    tab_to(".skip")
    page.keyboard.press("Enter")
    tab_to("#query")
    page.keyboard.type(UNSAFE)
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_contain_text("Showing safer results")

    page.keyboard.press("Shift+Tab")
    while not page.evaluate("document.activeElement.id === 'role'"):
        page.keyboard.press("Shift+Tab")
    page.keyboard.type("researcher")
    expect(page.locator(".said")).to_contain_text("Searched as asked")
    tab_to("#strength")
    page.keyboard.press("End")
    safest = answer(server, text=UNSAFE, role="researcher", strength=1)
    settled(page, [item["id"] for item in safest["items"]])
    tab_to(".said button")
    page.keyboard.press("Enter")
    expect(page.locator(".steps li")).to_have_count(len(safest["steps"]))
    tab_to(".like")
    page.keyboard.press("Enter")
    expect(page.locator(".chip.given")).to_contain_text("Like")
