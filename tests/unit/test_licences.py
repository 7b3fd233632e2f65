"""Licences: what a card states, which forbid commercial use, and what was accepted on this machine."""

import json
from pathlib import Path

import pytest

from hyperaware.errors import ConfigError
from hyperaware.models import hub
from hyperaware.models.hub import HubName, parse
from hyperaware.models.licences import (
    known,
    licence_of,
    non_commercial,
    remember,
    require_accepted,
    stated,
)

NC = "cc-by-nc-4.0"
PUBLISHED_NC = {
    "aimagelab/HySAC",
    "aimagelab/safeclip_vit-l_14",
    "Adeely93/SafeR_CLIP",
    "facebookresearch/meru",
}


def test_published_safety_models_are_known_as_non_commercial() -> None:
    restricted = {name for name, row in known().items() if non_commercial(row.licence)}
    assert restricted >= PUBLISHED_NC
    assert not any(name.startswith(("openai/", "google/")) for name in restricted)
    for row in known().values():
        assert row.base is None or row.base in known()
        assert row.source
        assert row.what


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [clip]\n---\n", "apache-2.0"),
        ("---\nlicense: 'CC-BY-NC-4.0'\n---\n", NC),
        ("# SafeR-CLIP\n\n---\nlicense: cc-by-nc-4.0\n---\n", NC),  # at the end of its text, as published
        ("Read the license: it is short.", "unknown"),
        ("", "unknown"),
        ("---\nlicense:\n---\n# A model", "unknown"),
        ("---\nlicense:\ntags: [clip]\n---\n", "unknown"),
        (f"---\nlicense:\n- mit\n- {NC}\ntags:\n- nc\n---\n", NC),  # a list: the strictest
        (f"---\nlicense: [mit, {NC}]\n---\n", NC),
        ("---\nlicense: mit # read it\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: Apple-AMLR\n---\n", "apple-amlr"),
    ],
)
def test_the_licence_that_a_card_states(card: str, licence: str) -> None:
    assert stated(card) == licence


@pytest.mark.parametrize(
    "licence", [NC, "CC-BY-NC-SA-4.0", "apple-amlr-research", "non-commercial", "noncommercial"]
)
def test_licences_that_forbid_commercial_use(licence: str) -> None:
    assert non_commercial(licence)


@pytest.mark.parametrize("licence", ["mit", "apache-2.0", "openrail", "unknown", "cc-by-4.0", "ncsa"])
def test_licences_that_do_not(licence: str) -> None:
    assert not non_commercial(licence)


def test_the_stricter_of_table_and_card_counts(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of("aimagelab/HySAC", tmp_path) == NC
    assert licence_of("somebody/else", tmp_path) == "mit"
    assert licence_of("somebody/else", None) == "unknown"
    (tmp_path / "README.md").write_text(f"---\nlicense: {NC}\n---\n")
    assert licence_of("openai/clip-vit-base-patch32", tmp_path) == NC


def test_an_acceptance_is_needed_once_and_only_for_what_it_names(tmp_path: Path) -> None:
    record = tmp_path / "cache" / "licences.json"
    require_accepted("a/free", "mit", accepted=None, record=record)
    with pytest.raises(ConfigError, match=f"--accept-license {NC}"):
        require_accepted("a/b", NC, accepted=None, record=record)
    with pytest.raises(ConfigError, match="not 'mit'"):
        require_accepted("a/b", NC, accepted="mit", record=record)
    require_accepted("a/b", NC, accepted=NC.upper(), record=record)
    assert not record.exists()
    remember("a/b", NC, record=record)
    require_accepted("a/b", NC, accepted=None, record=record)
    assert set(json.loads(record.read_text())["a/b"]) == {"licence", "accepted"}
    for name, licence in (("a/c", NC), ("a/b", "cc-by-nc-sa-4.0")):
        with pytest.raises(ConfigError, match="forbids commercial use"):
            require_accepted(name, licence, accepted=None, record=record)


def test_a_damaged_record_accepts_nothing(tmp_path: Path) -> None:
    (tmp_path / "licences.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        require_accepted("a/b", NC, accepted=None, record=tmp_path / "licences.json")


# -- names -----------------------------------------------------------------------------------------------


def test_names_on_the_hub() -> None:
    assert parse("hf:a/b") == HubName("a/b")
    assert parse("hf:a/b@v1.0", revision="v1.0") == HubName("a/b", "v1.0")
    assert str(HubName("a/b", "main")) == "hf:a/b@main"
    assert parse("world") is None
    assert parse("models/hf") is None


@pytest.mark.parametrize(
    "name", ["hf:", "hf:a", "hf:a/b/c", "hf:a/b@", "hf:../b", "hf:a/b c", "hf:/b", "hf:a/.."]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected hf:ORG/NAME"):
        parse(name)


def test_caches_lie_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path))
    assert hub.store() == tmp_path / "models"
    assert hub.licences_file() == tmp_path / "licences.json"
