"""The command line from outside: what it prints where, what it answers, and what it does with bad input."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from command_line import document, run

from hyperaware.comparison import published
from hyperaware.evaluation.sources import PROTOCOLS
from hyperaware.index import STORES
from hyperaware.methods import METHODS
from hyperaware.models.pretrained import SHIPPED
from hyperaware.recipes import RECIPES
from hyperaware.world import SPLITS

COMMAND = [sys.executable, "-m", "hyperaware.cli"]


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("hyperaware 0.")
    helped = run("--help")
    assert helped.exit_code == 0
    verbs = ("demo", "world", "train", "bounds", "evaluate", "edit", "index", "search", "traverse", "list")
    for verb in verbs:
        assert f"\n  {verb} " in helped.stdout
    assert "..." not in helped.stdout.partition("Commands:")[2]  # every verb in a sentence that fits
    assert "Example" in run("index", "add", "--help").stdout


# -- exit codes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["search", "nowhere", "a rabbit"], 1, "nowhere has no model.json"),
        (["index", "status", "nowhere"], 1, "nowhere has no model.json"),
        (["evaluate", "world", "--data", "nowhere"], 1, "nowhere is no data that can be read"),
        (["search", "nowhere"], 2, "a search needs either a text or --image"),
        (["evaluate", "world", "world", "--data", "nowhere"], 2, "a model was given twice"),
        (["evaluate", "wurld", "--data", "world:test"], 2, "Did you mean 'world'?"),
        (["evaluate", "world", "--data", "world:tset"], 2, "Did you mean 'test'?"),
        (["train", "world-hysack", "--out", "x"], 2, "Did you mean 'world-hysac'?"),
        (["world", "export", "x", "--split", "tset"], 2, "has no split 'tset'"),
        (["world", "export", "x", "--count", "0"], 2, "count"),
        (["sorch"], 2, "sorch"),
        (["train", "world"], 2, "--out"),
    ],
)
def test_what_goes_wrong_is_one_line_on_stderr(
    words: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path))
    result = run(*words)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (0 if "Usage:" in result.stderr else 1)
    assert "Traceback" not in result.output


def test_an_unreadable_file_is_an_error_line(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("world", "export", tmp_path / "file" / "below", "--count", 1)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_an_index_of_no_folder_is_not_begun(tmp_path: Path) -> None:
    result = run("index", "add", tmp_path / "index", tmp_path / "pictures")
    assert result.exit_code == 1
    assert "pictures is not a folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("traverse", "world-hysac", "picture.png", "--pool"), ("moderate", "world-hysac", "--jsonl")]
)
def test_a_file_of_another_encoding_is_an_error_line(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("café\n".encode("latin-1"))
    result = run(*words, tmp_path / "latin.txt")
    assert result.exit_code == 1
    assert "latin.txt is not UTF-8 text" in result.stderr


def test_a_setting_of_the_wrong_type_is_wrong_use(workplace: Path, tmp_path: Path) -> None:
    words = ("train", workplace / "toy.toml", "--out", tmp_path / "x", "--set")
    assert run(*words, "training.steps=many").exit_code == 2
    assert "Did you mean 'steps'?" in run(*words, "training.stepz=3").stderr
    assert run(*words, "no-equals-sign").exit_code == 2
    assert not (tmp_path / "x").exists()


# -- train, bounds, evaluate -----------------------------------------------------------------------------


def test_training_leaves_a_model_with_bounds_and_a_log(workplace: Path) -> None:
    names = {path.name for path in (workplace / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "bounds.json", "log.jsonl"} <= names


def test_training_again_finds_itself_finished(workplace: Path) -> None:
    before = (workplace / "model" / "model.safetensors").read_bytes()
    found = document(
        "train", workplace / "toy.toml", "--out", workplace / "model", "--world", workplace / "world"
    )
    assert found["steps"] == 4
    assert found["recipe"] == "toy"
    assert 0 <= found["validation"]["auroc/text"] <= 1
    assert (workplace / "model" / "model.safetensors").read_bytes() == before


def test_training_on_own_data_from_an_own_base(workplace: Path, tmp_path: Path) -> None:
    for split in ("train", "validation", "calibration"):
        assert run("world", "export", tmp_path / split, "--split", split, "--count", 60).exit_code == 0
    found = document(
        "train",
        workplace / "toy.toml",
        *("--out", tmp_path / "model", "--base", workplace / "model", "--set", "training.steps=2"),
        *("--data", tmp_path / "train", "--validation", tmp_path / "validation"),
        *("--calibration", tmp_path / "calibration", "--seed", 3),
    )
    assert found["steps"] == 2
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["provenance"]["base"] == str(workplace / "model")
    assert config["provenance"]["seed"] == 3


def test_training_by_a_method_of_ones_own(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [tmp_path / split for split in ("train", "validation", "calibration")]
    for folder in data:
        exported = run("world", "export", folder, "--split", folder.name, "--count", 60, "--size", 24)
        assert exported.exit_code == 0
    (tmp_path / "my_method.py").write_text(
        "from dataclasses import dataclass\n\nfrom hyperaware.methods.hysac import HySAC\n\n\n"
        "@dataclass(frozen=True)\nclass Mine(HySAC):\n    lora_rank: int | None = None\n"
    )
    options = ("--data", data[0], "--validation", data[1], "--calibration", data[2])
    words = ("train", "my_method:Mine", "--base", workplace / "model", *options, "--out", tmp_path / "mine")
    missing = run(*words)
    assert missing.exit_code == 2
    assert "Where is my_method.py? Name its folder in PYTHONPATH." in missing.stderr
    monkeypatch.syspath_prepend(tmp_path)
    assert document(*words, *(f"--set=training.{key}=2" for key in ("steps", "batch_size")))["steps"] == 2


def test_bounds_are_measured_again_on_other_rows(workplace: Path, tmp_path: Path) -> None:
    model = shutil.copytree(workplace / "model", tmp_path / "model")
    for split in ("validation", "calibration"):
        assert run("world", "export", tmp_path / split, "--split", split, "--count", 70).exit_code == 0
    words = (
        "bounds",
        model,
        "--calibration",
        tmp_path / "calibration",
        "--validation",
        tmp_path / "validation",
    )
    found = document(*words)
    assert found["safe_text"]["n"] == 70
    assert json.loads((model / "bounds.json").read_text())["trigger"] == found["trigger"]
    told = run(*words)
    assert "trigger" in told.stdout
    assert told.stderr.splitlines() == ["read: 140 of 140"] * 2  # calibration, validation


def test_evaluate_writes_table_record_and_plots(workplace: Path, tmp_path: Path) -> None:
    result = run(
        *("evaluate", workplace / "model", "--data", workplace / "data"),
        *("--out", tmp_path / "run.json", "--plots", tmp_path / "plots"),
    )
    assert result.exit_code == 0, result.output
    assert "12 rows" in result.stdout
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["rows"] == 12
    assert "redirect/unsafe_text->safe_image+unsafe_image/redirected/harmful_top1" in record["figures"]
    drawn = sorted(path.name.partition("-toy")[0] for path in (tmp_path / "plots").iterdir())
    assert drawn == ["redirect.png", "root-distance"]


def test_seed_runs_give_mean_and_spread(workplace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    words = ("train", workplace / "toy.toml", "--out", other, "--seed", 1, "--world", workplace / "world")
    assert run(*words).exit_code == 0
    found = document("evaluate", workplace / "model", other, "--seed-runs", "--data", workplace / "data")
    assert len(found["runs"]) == 2
    spread = found["spread"]["toy"]["separation/text/all/auroc"]
    values = [one["figures"]["separation/text/all/auroc"] for one in found["runs"]]
    assert spread["n"] == 2
    assert spread["mean"] == pytest.approx(sum(values) / 2)


def test_evaluate_counts_rows_with_a_bad_picture(workplace: Path, tmp_path: Path) -> None:
    data = shutil.copytree(workplace / "data", tmp_path / "data")
    bad = min((data / "images").iterdir())
    bad.write_bytes(bad.read_bytes()[:100])
    found = document("evaluate", workplace / "model", "--data", data, code=3)
    assert found["runs"][0]["rows"] == 11
    assert list(found["runs"][0]["failed"]) == [str(bad)]


# -- index and search ------------------------------------------------------------------------------------


def test_a_bad_picture_is_named_and_counted_and_stops_nothing(workplace: Path, tmp_path: Path) -> None:
    pictures = shutil.copytree(workplace / "data", tmp_path / "data")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    words = ("index", "add", tmp_path / "index", pictures, "--model", workplace / "model")
    result = run(*words)
    assert result.exit_code == 3
    assert "24 added" in result.stdout
    assert "failed: broken.png" in result.stderr
    found = document(*words, code=3)
    assert found["counts"]["unchanged"] == 24
    assert [each["path"] for each in found["failed"]] == ["broken.png"]


def test_add_remove_prune_status_verify(workplace: Path, tmp_path: Path) -> None:
    pictures = shutil.copytree(workplace / "data", tmp_path / "data")
    folder = tmp_path / "index"
    assert document("index", "add", folder, pictures, "--model", workplace / "model")["counts"]["added"] == 24
    status = document("index", "status", folder)
    assert status["items"] == 24
    assert status["model"] == str(workplace / "model")
    assert status["root"] == str(pictures)
    assert "24" in run("index", "status", folder).stdout

    first = document("search", folder, "a rabbit", "--role", "researcher", "-k", 1)["hits"][0]
    assert document("index", "remove", folder, first["id"], "unknown") == {
        "index": str(folder),
        "asked": 2,
        "removed": 1,
    }
    ids = {
        hit["id"] for hit in document("search", folder, "a rabbit", "--role", "researcher", "-k", 50)["hits"]
    }
    assert first["id"] not in ids
    assert len(ids) == 23

    assert document("index", "verify", folder)["problems"] == []
    gone = sorted((pictures / "images").iterdir())[0]
    gone.unlink()
    verified = run("index", "verify", folder)
    assert verified.exit_code == (1 if gone.name != Path(first["path"]).name else 0)
    pruned = document("index", "add", folder, pictures, "--prune")
    assert pruned["counts"]["removed"] == (1 if gone.name != Path(first["path"]).name else 0)


def test_an_index_of_another_model_is_refused(workplace: Path, index: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    words = ("train", workplace / "toy.toml", "--out", other, "--seed", 2, "--world", workplace / "world")
    assert run(*words).exit_code == 0
    result = run("index", "add", index, workplace / "data", "--model", other)
    assert result.exit_code == 1
    assert "cannot be compared" in result.stderr
    assert run("search", index, "a rabbit", "--model", other).exit_code == 1
    assert run("search", index, "a rabbit").exit_code == 0


def test_search_says_how_it_judged(index: Path) -> None:
    result = run("search", index, "a rabbit [in] the snow")
    assert result.exit_code == 0, result.output
    for word in ("encode", "judge", "root distance", "similarity"):
        assert word in result.stdout
    found = document("search", index, "a rabbit [in] the snow", "-k", 3)
    assert found["query"] == "a rabbit [in] the snow"
    assert found["verdict"]["role"] == "viewer"
    assert found["verdict"]["bound"] > 0
    assert [step["name"] for step in found["steps"]] == ["encode", "judge", "redirect", "search"]


def test_search_by_a_picture_finds_it_and_draws_a_sheet(workplace: Path, index: Path, tmp_path: Path) -> None:
    picture = sorted((workplace / "data" / "images").iterdir())[0]
    found = document(
        *("search", index, "--image", picture, "--role", "researcher", "-k", 4),
        *("--sheet", tmp_path / "sheet.png"),
    )
    assert Path(found["hits"][0]["file"]) == picture
    assert len(found["hits"]) == 4
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_policy_of_ones_own_can_block(index: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('version = "t"\ndefault_role = "all"\n[roles.all]\naction = "block"\nshow = "safe"\n')
    bound = document("search", index, "a rabbit", "--policy", policy)["verdict"]["bound"]
    assert bound > 0
    assert run("search", index, "a rabbit", "--policy", policy, "--role", "nobody").exit_code == 2
    assert run("search", index, "a rabbit", "--strength", "0.1").exit_code == 2


def test_traverse_ends_at_the_root(workplace: Path, tmp_path: Path) -> None:
    picture = sorted((workplace / "data" / "images").iterdir())[0]
    pool = tmp_path / "pool.txt"
    pool.write_text("a rabbit\n\na rabbit in the snow\na rabbit\n")
    for source in (pool, workplace / "data"):
        stops = document("traverse", workplace / "model", picture, "--pool", source)["stops"]
        assert stops[-1]["caption"] == "[ROOT]"
    assert "[ROOT]" in run("traverse", workplace / "model", picture, "--pool", pool).stdout
    (tmp_path / "empty.txt").write_text("\n")
    assert run("traverse", workplace / "model", picture, "--pool", tmp_path / "empty.txt").exit_code == 1
    assert run("traverse", workplace / "model", picture, "--pool", tmp_path / "none.txt").exit_code == 1


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("models", SHIPPED),
        ("methods", METHODS),
        ("recipes", RECIPES),
        ("stores", STORES),
        ("splits", SPLITS),
        ("protocols", PROTOCOLS),
        ("published", [table.id for table in published.read()]),
    ],
)
def test_every_list_names_and_explains(kind: str, names: Iterable[str]) -> None:
    found = document("list", kind)[kind]
    hub = {name for name in found if kind == "models" and "/" in name}
    assert bool(hub) == (kind == "models")
    assert set(found) - hub == set(names)
    assert all(found.values())
    assert kind == "protocols" or not [text for text in found.values() if text.endswith(".")]
    assert min(found) in run("list", kind).stdout


# -- as a process ----------------------------------------------------------------------------------------


def test_stdout_of_a_process_is_one_document(workplace: Path, tmp_path: Path) -> None:
    words = ["world", "export", str(tmp_path / "x"), "--count", "3", "--json"]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows"] == 3
    assert "draw train: 3 of 3" in done.stderr


def test_a_failing_process_prints_its_error_line(tmp_path: Path) -> None:
    words = ["traverse", str(tmp_path), "x.png", "--pool", str(tmp_path / "none")]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["world", "export", str(tmp_path / "x"), "--count", "100000"]
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("x/images/*.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from there" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert out == ""
