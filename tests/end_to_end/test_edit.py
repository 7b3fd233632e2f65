"""`hyperaware edit`: an edit, its patch, and the way back, on files."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from command_line import document, run


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def edited(workplace: Path) -> Path:
    out = workplace / "edited"
    done = run("edit", "uwm", workplace / "model", "--data", workplace / "data", "--tau", 0.1, "--out", out)
    assert done.exit_code == 0, done.output
    [text, vision] = [line.split() for line in done.stdout.splitlines() if " 12 " in line]
    assert text[:4] == ["text", "12", "1", "256"]
    assert vision[:4] == ["vision", "12", "1", "1,024"]
    assert "Next: hyperaware evaluate" in done.stdout
    assert "Measure them: hyperaware bounds" in done.stderr
    return out


def test_an_edit_that_is_reverted_gives_the_identical_file(
    workplace: Path, edited: Path, tmp_path: Path
) -> None:
    original = sha256(workplace / "model" / "model.safetensors")
    assert sha256(edited / "model.safetensors") != original
    words = ("edit", "uwm", edited, "--revert", edited / "patch.safetensors", "--out", tmp_path / "again")
    assert "undone" in run(*words).stdout
    assert sha256(tmp_path / "again" / "model.safetensors") == original
    assert document(*words[:5], "--out", tmp_path / "twice")["reverted"] is True


def test_apply_gives_the_edited_file(workplace: Path, edited: Path, tmp_path: Path) -> None:
    words = ("edit", "apply", workplace / "model", edited / "patch.safetensors", "--out", tmp_path / "x")
    found = document(*words)
    for name in ("model.safetensors", "config.json", "README.md"):
        assert sha256(tmp_path / "x" / name) == sha256(edited / name)
    record = json.loads((edited / "config.json").read_text())["provenance"]["edits"]
    assert [edit["method"] for edit in record] == ["uwm"]
    assert found["reverted"] is False


def test_the_document_counts_pairs_and_weights(workplace: Path, tmp_path: Path) -> None:
    """A shipped-size world slice is drawn for it; the patch may lie elsewhere."""
    found = document(
        *("edit", "uwm", workplace / "model", "--data", "world:train", "--pairs", 9, "--tau", 0.3),
        *("--out", tmp_path / "x", "--world", workplace / "world", "--patch", tmp_path / "p.safetensors"),
    )
    assert found["pairs"] == {"text": 9, "vision": 9}
    assert found["settings"]["tau"] == 0.3
    assert found["patch"] == str(tmp_path / "p.safetensors")
    assert len(found["layers"]) == 2
    assert all(0 < layer["flipped"] < 0.3 * layer["weights"] for layer in found["layers"].values())
    assert not (tmp_path / "x" / "patch.safetensors").exists()
    assert found["failed"] == []


def test_a_bad_picture_leaves_its_pair_out(workplace: Path, tmp_path: Path) -> None:
    data = shutil.copytree(workplace / "data", tmp_path / "data")
    bad = min((data / "images").iterdir())
    bad.write_bytes(bad.read_bytes()[:100])
    words = ("edit", "uwm", workplace / "model", "--data", data, "--out", tmp_path / "x")
    found = document(*words, code=3)
    assert found["pairs"] == {"text": 11, "vision": 11}
    assert [failure["path"] for failure in found["failed"]] == [str(bad)]
    assert (tmp_path / "x" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["MODEL", "--out", "x"], 2, "give --data SOURCE"),
        (["MODEL", "--out", "x", "--revert", "PATCH", "--tau", "0.1"], 2, "takes none of --data, --tau"),
        (["MODEL", "--out", "x", "--revert", "PATCH"], 1, "does not have this edit"),
        (["MODEL", "--out", "x", "--revert", "nothing"], 1, "there is no patch nothing"),
        (["MODEL", "--out", "x", "--data", "DATA", "--tau", "2"], 2, "got tau=2.0"),
        (["MODEL", "--out", "x", "--data", "world:trian"], 2, "Did you mean 'train'?"),
        (["MODEL", "--out", "MODEL", "--data", "DATA"], 2, "a folder of its own"),
        (["EDITED", "--out", "x", "--data", "DATA", "--pairs", "0"], 2, "--pairs"),
    ],
)
def test_wrong_use_is_told(
    workplace: Path,
    edited: Path,
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {
        "MODEL": workplace / "model",
        "DATA": workplace / "data",
        "EDITED": edited,
        "PATCH": edited / "patch.safetensors",
    }
    result = run("edit", "uwm", *(places.get(word, word) for word in words))
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "x").exists()


def test_a_patch_is_refused_by_another_model(workplace: Path, edited: Path, tmp_path: Path) -> None:
    words = ("edit", "apply", edited, edited / "patch.safetensors", "--out", tmp_path / "x")
    result = run(*words)
    assert result.exit_code == 1
    assert "has this edit already" in result.stderr
