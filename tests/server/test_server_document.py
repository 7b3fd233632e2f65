"""docs/server.md: its settings are the server's, its commands run against a live server, its facts hold."""

import re
import subprocess
from pathlib import Path

import httpx
import pytest
from model_samples import random_picture
from served_app import PATIENCE, running
from typer.testing import CliRunner

from hyperaware.cli.app import app
from hyperaware.cli.settings_page import table
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.records.keys import SCOPES, KeyRing
from hyperaware.server.settings import DEMO_POLICY, Settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
SCRIPT = "\n".join(re.findall(r"^```bash\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))


def test_the_table_of_settings_is_current() -> None:
    written = re.search(r"<!-- settings: .* -->\n(.*?)\n<!-- end of settings -->", DOCUMENT, re.DOTALL)
    assert written is not None
    assert written[1] == table(), "run: python -m hyperaware.cli.settings_page, and put it there"


def test_every_setting_is_in_the_table_with_its_meaning() -> None:
    rows = [row.split(" | ") for row in table().splitlines()[2:]]
    assert [row[0].strip("| `") for row in rows] == list(Settings.model_fields)
    for row in rows:
        assert len(row) == 5
        assert len(row[4].strip("| ")) > 10, row


def test_flags_of_the_table_are_flags_of_the_command() -> None:
    said = " ".join(CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).stdout.split())
    flags = re.findall(r"`(--[a-z-]+)", table())
    assert "--set" in flags
    for flag in set(flags):
        assert flag in said, flag


def test_the_commands_run_and_reach_every_route(model: DualEncoder, own_index: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    _, token = KeyRing.read(state / "keys.json", create=True).create("viewer", "a reader", scopes=SCOPES)
    random_picture(1, size=(40, 30)).save(tmp_path / "picture.png")
    settings = Settings(index=own_index, state=state, policy=DEMO_POLICY, decode_seconds=PATIENCE)
    with running(settings, model) as url:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", SCRIPT],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "URL": url, "KEY": token},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout[-2000:]}"
        header = {"Authorization": f"Bearer {token}"}
        figures = httpx.get(f"{url}/metrics", headers=header, timeout=PATIENCE).text
        paths = httpx.get(f"{url}/openapi.json", timeout=PATIENCE).json()["paths"]
    answered = set(re.findall(r'hyperaware_requests_total{route="([^"]+)",status="20[01]"}', figures))
    assert set(paths) <= answered, "a route has no example that works"
    refused = re.findall(r'hyperaware_requests_total{route="([^"]+)",status="[45]\d\d"}', figures)
    assert set(refused) <= {"/health/ready"}  # while the model was not there yet
    assert (tmp_path / "thumbnail.jpg").read_bytes().startswith(b"\xff\xd8")
    for word in ("-X DELETE", "reveal=true"):
        assert word in SCRIPT


def test_the_figures_that_it_names_are_told(model: DualEncoder, tmp_path: Path) -> None:
    named = set(re.findall(r"`hyperaware_([a-z_]+)", DOCUMENT))
    assert len(named) >= 9
    with running(Settings(no_auth=True, state=tmp_path), model) as url:
        httpx.post(f"{url}/v1/moderations", json={"input": "a rabbit"}, timeout=PATIENCE)
        httpx.post(
            f"{url}/v1/moderations",
            json={"input": [{"type": "image_url", "image_url": {"url": "data:;base64,AAAA"}}]},
            timeout=PATIENCE,
        )
        page = httpx.get(f"{url}/metrics", timeout=PATIENCE).text
    for name in named:
        assert f"hyperaware_{name}" in page, name


@pytest.mark.parametrize(("strength", "within"), [(1.0, True), (0.5, False)])
def test_what_it_says_of_the_strength_holds(model: DualEncoder, strength: float, within: bool) -> None:
    """A redirected unsafe text, as far out as the shipped model's unsafe texts are, among pictures."""
    bounds = bounds_module.load(model.folder or "", model_fingerprint=model.fingerprint)
    before, landing = bounds.unsafe_text.median, bounds.landing["image"]
    after = (1 - strength) * before + strength * landing
    assert (after <= bounds.limit["image"]) == within
    assert f"{after:.3f}" in DOCUMENT or f"{after:.2f}" in DOCUMENT
    assert f"{bounds.limit['image']:.3f}" in DOCUMENT


def test_its_roles_and_scopes_are_those_of_the_keys() -> None:
    assert all(f"| `{scope}` |" in DOCUMENT for scope in SCOPES)
