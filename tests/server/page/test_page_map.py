"""The page "Map": what it draws, how it is pointed at, its list, and how fast it draws 5,000 points."""

import math

import httpx
from playwright.sync_api import Page, expect

UNSAFE = "a rabbit with an axe in the snow"
MANY = 5000
FRAME = 1000 / 60
"""Milliseconds."""

# The colour of a canvas at a place, as "r,g,b".
PIXEL = """([x, y]) => {
    const canvas = document.querySelector(".disk");
    const ratio = canvas.width / canvas.clientWidth;
    const one = new OffscreenCanvas(1, 1).getContext("2d");
    one.drawImage(canvas, Math.round(x * ratio), Math.round(y * ratio), 1, 1, 0, 0, 1, 1);
    return [...one.getImageData(0, 0, 1, 1).data.slice(0, 3)].join(",");
}"""


def open_map(page: Page, *, role: str = "researcher") -> None:
    page.select_option("#role", role)
    page.locator("nav").get_by_role("link", name="Map").click()
    expect(page.locator(".keys li").first).to_be_visible()


def radius(distance: float, curv: float) -> float:
    return math.tanh(math.sqrt(curv) * distance / 2)


def place(page: Page, server: str, point: dict) -> tuple[float, float]:
    """Where a point must be on the canvas: by the formula, in the magnification that the page states."""
    curv = httpx.get(f"{server}/v1/policy").json()["model"]["space"]["curv"]
    side = page.locator(".disk").evaluate("canvas => canvas.clientWidth")
    far = max(
        each["root_distance"]
        for each in httpx.get(f"{server}/v1/map?role=researcher&limit=5000").json()["points"]
    )
    zoom = 0.94 / radius(far, curv)
    out = radius(point["root_distance"], curv) * zoom * (side / 2 - 18)
    return side / 2 + out * math.cos(point["angle"]), side / 2 - out * math.sin(point["angle"])


def test_the_map_tells_bounds_and_items_and_hovering_and_clicking_find_them(page: Page, server: str) -> None:
    open_map(page)
    found = httpx.get(f"{server}/v1/map", params={"role": "researcher", "limit": MANY}).json()
    unsafe = [each for each in found["points"] if each["root_distance"] > found["limit"][each["modality"]]]
    keys = page.locator(".keys")
    expect(keys).to_contain_text(f"Within the limit {len(found['points']) - len(unsafe)}")
    expect(keys).to_contain_text(f"Beyond the limit {len(unsafe)}")
    for name, at in (
        ("Trigger", found["trigger"]["text"]),
        ("Limit", found["limit"]["image"]),
        ("Landing", found["landing"]["image"]),
    ):
        expect(keys).to_contain_text(f"{name} {at:.3f}")

    farthest = max(found["points"], key=lambda each: each["root_distance"])  # nothing lies over it
    x, y = place(page, server, farthest)
    told = httpx.get(f"{server}/v1/items/{farthest['id']}", params={"role": "researcher"}).json()
    page.locator(".disk").hover(position={"x": x, "y": y})
    expect(page.locator(".hover")).to_contain_text(told["caption"])
    expect(page.locator(".hover")).to_contain_text(f"{farthest['root_distance']:.3f}")
    expect(page.locator(".hover img")).to_be_visible()
    page.locator(".disk").click(position={"x": x, "y": y})
    expect(page.locator(".chip.given")).to_contain_text(told["caption"])
    expect(keys).to_contain_text("Found 24")


def test_the_way_of_the_query_moves_with_the_slider(page: Page, server: str) -> None:
    open_map(page)
    page.fill("#query", UNSAFE)
    page.press("#query", "Enter")
    way = page.locator(".aside .panel", has=page.get_by_role("heading", name="The way to the root"))
    asked = httpx.post(f"{server}/v1/search", json={"text": UNSAFE, "role": "researcher"}).json()
    expect(way).to_contain_text(f"Query at {asked['root_distance_before']:.3f}.")
    path = httpx.post(f"{server}/v1/traverse", json={"text": UNSAFE, "role": "researcher"}).json()
    expect(way.locator("li")).to_have_count(len(path["stops"]))

    start = {"root_distance": asked["root_distance_before"], "angle": path["angle"]}
    filled = page.evaluate(PIXEL, list(place(page, server, start)))
    page.locator("#strength").fill("0.5")
    half = httpx.post(
        f"{server}/v1/search", json={"text": UNSAFE, "role": "researcher", "strength": 0.5}
    ).json()
    expect(way).to_contain_text(f"searched at {half['root_distance_after']:.3f}")
    page.wait_for_function(
        f"([x, y]) => ({PIXEL})([x, y]) !== '{filled}'", arg=list(place(page, server, start))
    )
    landed = {"root_distance": half["root_distance_after"], "angle": path["angle"]}
    assert page.evaluate(PIXEL, list(place(page, server, landed))) == filled  # the dot has moved there


def test_the_list_has_the_same_items_and_searches_by_keyboard(page: Page, server: str) -> None:
    open_map(page, role="adult")
    page.get_by_text("The same as a list").focus()
    page.keyboard.press("Enter")
    rows = page.locator(".item-row")
    expect(rows).to_have_count(12)
    page.select_option("#order", "-1")
    found = httpx.get(f"{server}/v1/map", params={"role": "adult", "limit": MANY}).json()["points"]
    farthest = max(each["root_distance"] for each in found)
    expect(rows.first).to_contain_text(f"{farthest:.3f}, beyond the limit")
    expect(rows.first).to_contain_text("A blurred picture")
    expect(page.locator(".list")).to_contain_text(f"1 to 12 of {len(found)}")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".list")).to_contain_text("13 to 24 of")
    rows.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chip.given")).to_contain_text("Like")


def test_another_role_gets_another_map(page: Page, server: str) -> None:
    open_map(page)
    page.select_option("#role", "viewer")
    found = httpx.get(f"{server}/v1/map", params={"limit": MANY}).json()["points"]
    expect(page.locator(".keys")).to_contain_text(f"Within the limit {len(found)}")
    expect(page.locator(".keys")).not_to_contain_text("Beyond the limit")


def many_points(real: dict) -> dict:
    """A map of 5,000 points, every seventh of them blurred."""
    some = real["points"][0]
    points = [
        {
            **some,
            "id": f"{index:032x}",
            "angle": 2.4 * index % (2 * math.pi) - math.pi,
            "root_distance": 0.24 + 0.26 * index / MANY,
            "blurred": index % 7 == 0,
        }
        for index in range(MANY)
    ]
    return {**real, "points": points}


def test_five_thousand_points_are_drawn_within_a_frame(page: Page) -> None:
    page.route("**/v1/map*", lambda route: route.fulfill(json=many_points(route.fetch().json())))
    open_map(page)
    page.fill("#query", UNSAFE)
    page.press("#query", "Enter")
    expect(page.get_by_role("heading", name="The way to the root")).to_be_visible()
    times = page.evaluate(MEASURED)
    print({name: round(value, 2) for name, value in times.items()})
    assert times["points"] == MANY
    assert times["moves"] >= 30  # the slider's movements are drawn
    assert times["move"] < FRAME


# Medians in milliseconds: of drawing while the slider moves, and of the frames then.
MEASURED = """async () => {
    const { Disk } = await import("/page/disk.js");
    const draw = Disk.prototype.draw;
    const slider = document.getElementById("strength");
    const [moves, frames] = [[], []];
    let points = 0;
    Disk.prototype.draw = function () {
        points = this.points.length;
        const start = performance.now();
        draw.call(this);
        moves.push(performance.now() - start);
    };
    let last = 0;
    for (let step = 0; step < 60; step++) {
        slider.value = String(step / 60);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        const now = await new Promise(requestAnimationFrame);
        if (last) frames.push(now - last);
        last = now;
    }
    Disk.prototype.draw = draw;
    const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
    return { points, moves: moves.length, move: median(moves), frame: median(frames) };
}"""
