"""Data sets from a hub on this machine: never fetched silently, fetched when asked for, then read offline."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import document, run
from hub_server import Hub, hub_of
from huggingface_hub import constants
from model_samples import random_picture

OWN, RESTRICTED = "some/pairs", "some/pairs-nc"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    for number in range(4):
        random_picture(number).save(tmp_path / f"{number}.png")
    images = [(tmp_path / f"{number}.png").read_bytes() for number in range(4)]
    rows = {"safe_text": ["a", "b"], "unsafe_text": ["c", "d"]}
    rows |= {"safe_image": images[:2], "unsafe_image": images[2:]}
    for name in (OWN, RESTRICTED):
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        pq.write_table(pa.table(rows), folder / "data" / "train-00000-of-00001.parquet")
        (folder / "README.md").write_text("---\nlicense: mit\n---\n")
        (folder / "load.py").write_text("raise SystemExit")
    with hub_of({OWN: tmp_path / OWN, RESTRICTED: tmp_path / RESTRICTED}) as running:
        running.card[OWN] = {"license": "mit"}
        running.card[RESTRICTED] = {"license": "cc-by-nc-4.0"}
        yield running


@pytest.fixture(autouse=True)
def machine(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and the network allowed."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "cache"))


def test_a_data_set_is_fetched_when_asked_for_and_then_read_without_the_network(
    hub: Hub, tmp_path: Path
) -> None:
    before = run("data", "check", f"hf:{OWN}")
    assert before.exit_code == 2
    assert f"hyperaware download --data hf:{OWN}" in before.stderr
    assert hub.asked == []

    listed = document("download", "--data", f"hf:{OWN}", "--dry-run")
    assert listed["datasets"][0]["files"].keys() == {"README.md", "data/train-00000-of-00001.parquet"}
    assert not any("resolve" in line for line in hub.asked)
    assert document("download", "--data", f"hf:{OWN}")["datasets"][0]["licence"] == "mit"
    assert any(line.startswith("GET /datasets/some/pairs/resolve/") for line in hub.asked)
    assert not any("load.py" in line for line in hub.asked)

    hub.asked.clear()
    assert document("data", "check", f"hf:{OWN}")["rows"] == 2
    assert hub.asked == []


def test_a_changed_file_is_removed_and_an_unknown_data_set_is_told(hub: Hub, tmp_path: Path) -> None:
    hub.spoiled.add("data/train-00000-of-00001.parquet")
    done = run("download", "--data", OWN)
    assert done.exit_code == 1
    assert "has another hash than the Hub says" in done.stderr
    assert not [path for path in (tmp_path / "hub").rglob("*.parquet") if path.exists()]
    done = run("download", "--data", "some/thing")
    assert done.exit_code == 2
    assert "has no dataset 'some/thing'" in done.stderr


def test_a_licence_that_restricts_is_accepted_first(hub: Hub) -> None:
    done = run("download", "--data", RESTRICTED)
    assert done.exit_code == 2
    assert "--accept-license cc-by-nc-4.0" in done.stderr
    assert not any("resolve" in line for line in hub.asked)
    assert run("download", "--data", RESTRICTED, "--accept-license", "cc-by-nc-4.0").exit_code == 0


def test_nothing_heavy_is_imported_for_other_data(tmp_path: Path) -> None:
    heavy = "('datasets', 'pyarrow', 'torch')"
    code = f"import sys, hyperaware.data.sources; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert told.stdout.strip() == "[]"
