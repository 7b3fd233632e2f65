"""`hyperaware import`: each published format becomes a folder that every other verb takes."""

import json
import resource
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from command_line import document, run
from published_samples import (
    BOUNDS,
    CLIP_PREPROCESSOR,
    SCALARS,
    hysac_state,
    tiny_clip,
    write_tokenizer,
    write_transformers,
)
from state_dict_samples import meru_state, open_clip_state

from hyperaware.cli.app import app
from hyperaware.models import meru_checkpoint
from hyperaware.models.open_clip import ARCHS, Arch
from hyperaware.models.pretrained import load


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files in every published format; no licence was accepted on this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "cache"))
    clip = tiny_clip()
    write_transformers(tmp_path / "clip", clip, preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(tmp_path / "base")
    write_transformers(tmp_path / "base", clip, preprocessor=CLIP_PREPROCESSOR)
    torch.save(hysac_state(clip), tmp_path / "hysac_model.pth")
    (tmp_path / "hysac_bounds.json").write_text(json.dumps(BOUNDS))
    torch.save(open_clip_state(clip), tmp_path / "open_clip_pytorch_model.bin")
    torch.save({"model": meru_state()}, tmp_path / "meru_vit_s.pth")
    return tmp_path


HYSAC = (
    *("import", "hysac", "--weights", "hysac_model.pth", "--bounds", "hysac_bounds.json"),
    *("--backbone", "base", "--out", "hysac"),
)


def test_hysac_needs_its_licence_and_becomes_a_folder_with_bounds(here: Path) -> None:
    refused = run(*HYSAC)
    assert refused.exit_code == 2
    assert "stands under cc-by-nc-4.0" in refused.stderr
    assert not (here / "hysac").exists()
    made = document(*HYSAC, "--accept-license", "cc-by-nc-4.0")
    assert made["license"] == "cc-by-nc-4.0"
    assert made["remarks"] == []
    assert made["space"] == {"name": "lorentz", "curv": pytest.approx(0.1, rel=1e-4)}
    config = json.loads((here / "hysac" / "config.json").read_text())
    assert config["provenance"] == {"source": "hysac_model.pth", "license": "cc-by-nc-4.0"}
    bounds = json.loads((here / "hysac" / "bounds.json").read_text())
    assert bounds["model_fingerprint"] == made["fingerprint"] == load(here / "hysac").fingerprint
    assert bounds["safe_text"]["n"] is None


def test_hysac_weights_of_ones_own_have_ones_own_licence(here: Path) -> None:
    torch.save(hysac_state(tiny_clip(), scalars={**SCALARS, "curv": 0.0}), here / "hysac_model.pth")
    done = run(*HYSAC, "--license", "apache-2.0")
    assert done.exit_code == 0
    assert "note: the curvature is 1, but that of the released HySAC" in done.stderr
    assert "apache-2.0" in done.stdout


def test_an_imported_model_is_indexed_and_searched(here: Path) -> None:
    """The published bounds judge: the same verbs as for any model."""
    assert run(*HYSAC, "--accept-license", "cc-by-nc-4.0").exit_code == 0
    assert run("world", "export", here / "data", "--split", "test", "--count", 6).exit_code == 0
    assert run("index", "add", here / "index", here / "data", "--model", here / "hysac").exit_code == 0
    found = document("search", here / "index", "a rabbit in the snow")
    assert found["verdict"]["action"] in ("allow", "redirect")


def test_open_clip_by_its_architecture(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHS, "ViT-T-8", Arch(48, 2, 3, 32, 2, 2))
    words = ("import", "open_clip", "--weights", "open_clip_pytorch_model.bin", "--tokenizer", "base")
    unnamed = run(*words, "--out", "laion")
    assert unnamed.exit_code == 2
    assert "--arch" in unnamed.stderr
    made = [
        document(*words, "--out", f"laion-{arch}", "--arch", arch, "--license", "mit")
        for arch in ("ViT-T-8", "ViT-T-8-quickgelu")
    ]
    assert made[0]["fingerprint"] != made[1]["fingerprint"]
    assert {each["license"] for each in made} == {"mit"}
    assert load(here / "laion-ViT-T-8-quickgelu").fingerprint == made[1]["fingerprint"]


def test_meru_needs_its_licence(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(meru_checkpoint.HEADS, 48, 3)
    words = ("import", "meru", "--weights", "meru_vit_s.pth", "--tokenizer", "base", "--out", "meru")
    assert run(*words).exit_code == 2
    made = document(*words, "--accept-license", "cc-by-nc-4.0")
    assert made["space"]["name"] == "lorentz"
    assert load(here / "meru").dim == 16


def test_a_transformers_folder_with_the_tokenizer_of_another(here: Path) -> None:
    words: tuple[Any, ...] = ("import", "transformers", "clip", "--out", "ours")
    without = run(*words)
    assert without.exit_code == 1
    assert "--tokenizer" in without.stderr
    made = document(*words, "--tokenizer", "base", "--license", "cc-by-nc-4.0")
    assert made["fingerprint"] == load(here / "base").fingerprint
    assert "license: cc-by-nc-4.0" in (here / "ours" / "README.md").read_text()


OPEN_CLIP = ("import", "open_clip", "--weights", "open_clip_pytorch_model.bin", "--tokenizer", "base")


def every_import(here: Path, out: object) -> list[tuple[object, ...]]:
    """A command for each format, into `out`."""
    (here / "open_clip_config.json").write_text(
        json.dumps(
            {
                "model_cfg": {
                    "quick_gelu": True,
                    "vision_cfg": {"layers": 2, "width": 48, "head_width": 16},
                    "text_cfg": {"width": 32, "heads": 2, "layers": 2},
                }
            }
        )
    )
    return [
        (*HYSAC[:-1], out, "--accept-license", "cc-by-nc-4.0"),
        (*OPEN_CLIP, "--out", out),
        ("import", "transformers", "base", "--out", out),
    ]


def test_a_folder_in_use_is_left_as_it_is(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "config.json").write_text("years of work")
    for words in every_import(here, "mine"):
        done = run(*words)
        assert done.exit_code == 2, done.output
        assert "mine is there and not empty" in done.stderr
    assert [path.read_text() for path in (here / "mine").iterdir()] == ["years of work"]


def test_a_full_disk_leaves_no_half_folder(here: Path) -> None:
    """Files may grow to 40 kB, less than the weights and more than the rest."""
    commands = every_import(here, "out")
    before = sorted(here.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        for words in commands:
            done = run(*words)
            assert done.exit_code == 1, done.output
            assert "could not be written" in done.stderr
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(here.iterdir()) == before
    for words in commands[:1]:
        assert run(*words).exit_code == 0


def test_into_the_folder_that_one_is_in(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "clip-of-mine").mkdir()
    monkeypatch.chdir(here / "clip-of-mine")
    assert run("import", "transformers", here / "base", "--out", ".").exit_code == 0
    assert load(here / "clip-of-mine").name == "clip-of-mine"


def test_the_licence_on_a_card_is_kept_and_a_non_commercial_one_cannot_be_renamed(here: Path) -> None:
    (here / "base" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    (here / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")  # beside open_clip's weights
    _, *others = every_import(here, "out")
    for index, words in enumerate(others):
        words = (*words[:-1], f"out-{index}")
        refused = run(*words, "--license", "mit")
        assert refused.exit_code == 2
        assert "states cc-by-nc-4.0, which forbids commercial use, not mit" in refused.stderr
        assert document(*words)["license"] == "cc-by-nc-4.0"
    (here / "base" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    words = ("import", "transformers", "base", "--out", "renamed", "--license", "mit")
    assert document(*words)["license"] == "mit"


def test_commands_of_the_page_on_real_models_are_understood() -> None:
    """Verbs and options of docs/real-models.md exist; what they do is tested here and in test_hub.py."""
    page = (Path(__file__).parents[2] / "docs" / "real-models.md").read_text(encoding="utf-8")
    lines = page.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("$ hyperaware ")]
    assert len(commands) >= 8
    for words in commands:
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        command.make_context("hyperaware", list(words), resilient_parsing=False)
