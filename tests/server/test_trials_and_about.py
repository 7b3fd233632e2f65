"""`/v1/policy/trial` and `/v1/about`: for whom, what is wrong, what is never told; nothing is kept."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model_samples import tiny_model
from served_app import data_url, served
from starlette.testclient import TestClient

from hyperaware.data.quadruplet import Row
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load, shipped_folder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration as calibration_module

Keyed = Callable[..., dict[str, str]]
POLICY = """
version = "trial-1"
default_role = "viewer"

[roles.viewer]
action = "redirect"
strength = 1.0
show = "safe"

[[roles.viewer.queries]]
category = "violence"
above = 0.9
action = "review"

[[roles.viewer.queries]]
category = "hate"
above = 0.2
action = "block"
shadow = true

[roles.secret]
action = "block"
show = "safe"
message = "Only the secret role is told this."
"""


@pytest.fixture(scope="module")
def state(ring_file: Path) -> Path:
    (ring_file.parent / "policy.toml").write_text(POLICY)
    return ring_file.parent


@pytest.fixture(scope="module")
def client(model: DualEncoder, shared_index: Path, state: Path) -> Iterator[TestClient]:
    """A server with keys, an index, and rules for categories."""
    options = {"demo": False, "index": shared_index, "state": state, "policy": state / "policy.toml"}
    with served(model, **options) as client:
        yield client


def tried(client: TestClient, headers: dict[str, str], **body: object) -> dict:
    answer = client.post("/v1/policy/trial", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- trials ----------------------------------------------------------------------------------------------


def test_a_trial_says_of_every_rule_whether_it_hits(
    client: TestClient, keyed: Keyed, unsafe_text: str
) -> None:
    mine = keyed()
    given = {"violence": 0.95, "hate": 0.1}
    found = tried(client, mine, text=unsafe_text, categories=given)
    assert (found["modality"], found["verdict"]["action"], found["verdict"]["role"]) == (
        "text",
        "review",
        "viewer",
    )
    rules = [(each["rule"]["category"], each["rule"]["action"], each["hit"]) for each in found["findings"]]
    assert rules == [(None, "redirect", True), ("violence", "review", True), ("hate", "block", False)]
    assert "0.9500 of violence is above 0.9" in found["findings"][1]["why"]
    other = tried(client, mine, text=unsafe_text, categories={"violence": 0.1, "hate": 0.9})
    assert (other["verdict"]["action"], other["verdict"]["shadow"]) == ("redirect", "block")


def test_a_trial_is_the_verdict_of_a_search(client: TestClient, keyed: Keyed, rows: list[Row]) -> None:
    mine = keyed()
    for body in (
        {"text": rows[0].unsafe_text},
        {"text": rows[0].safe_text},
        {"text": " and ".join([row.safe_text for row in rows] + [rows[0].unsafe_text])},
        {"image": {"url": data_url(rows[0].unsafe_image)}},
    ):
        found = tried(client, mine, **body)["verdict"]
        searched = client.post("/v1/search", json=body, headers=mine).json()["verdict"]
        assert found == searched


def test_nothing_of_a_trial_is_kept(
    client: TestClient, keyed: Keyed, state: Path, unsafe_text: str, rows: list[Row]
) -> None:
    mine, reviewer = keyed(), keyed("viewer", "review")

    def kept() -> tuple[object, ...]:
        page = client.get("/metrics", headers=mine).text
        verdicts = [line for line in page.splitlines() if line.startswith("hyperaware_verdicts_total")]
        copies = sorted(path.name for path in (state / "quarantine").iterdir())
        cases = client.get("/v1/reviews", headers=reviewer).json()
        return (state / "audit.jsonl").read_bytes(), copies, cases, verdicts

    before = kept()
    held = tried(client, mine, text=f"{unsafe_text} again", categories={"violence": 0.95})
    assert held["verdict"]["action"] == "review"
    tried(client, mine, image={"url": data_url(rows[0].unsafe_image)})
    assert kept() == before


@pytest.mark.parametrize(
    ("scopes", "body", "status", "code"),
    [
        (("search", "review", "admin"), {"text": "x"}, 403, "scope"),
        (("moderate",), {"text": "x", "role": "secret"}, 403, "role"),
        (("moderate", "admin"), {"text": "x", "role": "king"}, 400, "unknown_role"),
        (("moderate",), {}, 400, "value_error"),
        (("moderate",), {"text": "x", "image": {"url": "data:,"}}, 400, "value_error"),
        (("moderate",), {"text": " "}, 400, "value_error"),
        (("moderate",), {"text": "x", "rolle": "y"}, 400, "extra_forbidden"),
        (("moderate",), {"text": "x", "categories": {"violence": 1.5}}, 400, "less_than_equal"),
        (("moderate",), {"text": "x", "categories": {"violence": None}}, 400, "float_type"),
        (("moderate",), {"text": "x", "categories": {"violense": 0.5}}, 400, "unknown_category"),
        (("moderate",), {"text": "x" * 20_001}, 400, "too_large"),
        (("moderate",), {"text": "x " * 9_000}, 400, "too_long"),
        (("moderate",), {"image": {"url": data_url(b"GIF8 and no more")}}, 400, "corrupt"),
        (("moderate",), {"image": {"url": "https://example.org/a.png"}}, 400, "unsupported_url"),
    ],
)
def test_a_wrong_trial_is_refused_with_its_reason(
    client: TestClient, keyed: Keyed, scopes: tuple[str, ...], body: dict, status: int, code: str
) -> None:
    answer = client.post("/v1/policy/trial", json=body, headers=keyed("viewer", *scopes))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert "secret" not in answer.text


def test_no_trial_tells_of_another_roles_rules(client: TestClient, keyed: Keyed, unsafe_text: str) -> None:
    answer = client.post("/v1/policy/trial", json={"text": unsafe_text}, headers=keyed())
    assert "secret" not in answer.text
    admin = keyed("viewer", "moderate", "admin")
    told = tried(client, admin, text=unsafe_text, role="secret")["verdict"]
    assert (told["action"], told["message"]) == ("block", "Only the secret role is told this.")


def test_a_model_without_a_root_has_no_trials(tmp_path: Path) -> None:
    with served(tiny_model(), state=tmp_path) as client:
        answer = client.post("/v1/policy/trial", json={"text": "a red ball"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_root")


# -- about -----------------------------------------------------------------------------------------------


def test_about_tells_the_thresholds_as_they_stand_in_the_files(
    client: TestClient, keyed: Keyed, model: DualEncoder
) -> None:
    told = client.get("/v1/about", headers=keyed()).json()
    folder = shipped_folder(model.name)
    bounds = bounds_module.load(folder, model_fingerprint=model.fingerprint)
    calibration = calibration_module.load(folder, bounds=bounds)
    assert calibration is not None
    for modality, found in told["thresholds"].items():
        assert found["trigger"] == bounds.trigger[modality]
        assert found["limit"] == bounds.limit[modality]
        assert found["landing"] == bounds.landing[modality]
        assert found["promise"] == calibration.guarantee(modality)
    assert set(told["thresholds"]) == {"text", "image"}
    assert set(told["calibrated"]) == set(calibration.categories)
    assert told["model"]["fingerprint"] == model.fingerprint
    assert (told["model"]["license"], told["model"]["dimension"]) == ("apache-2.0", model.dim)
    assert told["model"]["card"].startswith("# ")


def test_about_tells_no_paths_and_of_hidden_items_only_who_may_see_all(
    client: TestClient, keyed: Keyed, state: Path, shared_index: Path
) -> None:
    for scopes, counted in (
        (("search",), False),
        (("moderate", "review"), False),
        (("search", "admin"), True),
    ):
        answer = client.get("/v1/about", headers=keyed("viewer", *scopes))
        assert answer.status_code == 200
        assert (answer.json()["index"] is not None) == counted
        for folder in (state, shared_index, shipped_folder("world")):
            assert str(folder.parent) not in answer.text
    assert client.get("/v1/about").status_code == 401


def test_the_count_follows_the_index(model: DualEncoder, own_index: Path, tmp_path: Path) -> None:
    with served(model, index=own_index, state=tmp_path) as client:
        before = client.get("/v1/about").json()["index"]
        client.post("/v1/items", json={"text": "a red cup"})
        after = client.get("/v1/about").json()["index"]
        assert after["items"] == {**before["items"], "text": 1}
        assert after["generation"] > before["generation"]


@pytest.mark.parametrize(
    ("card", "licence", "told"),
    [
        (None, None, None),
        ("no front matter", None, "no front matter"),
        (
            "---\nlicense: mit\n---\n# Mine\n\nMade in /srv/me/models\n\n---\n",
            "mit",
            "# Mine\n\nMade in [path]",
        ),
        ("---\nlicense: mit\n", None, "---\nlicense: mit\n"),
        (b"\xff\xfe", None, None),
    ],
)
def test_a_card_is_told_as_far_as_it_can_be_read(
    card: str | bytes | None, licence: str | None, told: str | None, tmp_path: Path
) -> None:
    folder = shutil.copytree(shipped_folder("world-hysac-ordered"), tmp_path / "model")
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "calibration.json").unlink()
    if card is not None:
        (folder / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    with served(load(folder), state=tmp_path / "state") as client:
        found = client.get("/v1/about").json()
    assert found["model"]["license"] == licence
    assert (found["model"]["card"] or "").startswith(told or "")
    assert (found["model"]["card"] is None) == (told is None)
    assert found["index"] is found["calibrated"] is None
    assert found["thresholds"]["text"]["promise"] is None


def test_a_model_without_a_root_has_no_thresholds_and_no_card(tmp_path: Path) -> None:
    model = tiny_model()
    model.provenance = {"license": "cc-by-nc-4.0"}  # as of a Hub folder whose card has no front matter
    with served(model, state=tmp_path) as client:
        found = client.get("/v1/about").json()
    assert found["model"]["license"] == "cc-by-nc-4.0"
    assert found["thresholds"] is found["calibrated"] is found["model"]["card"] is None
    assert found["model"]["space"] == {"name": "sphere"}
