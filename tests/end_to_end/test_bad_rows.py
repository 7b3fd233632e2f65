"""Rows that cannot be used: `evaluate` leaves them out, `calibrate` and `bounds` refuse; each is named."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import document, run

from hyperaware.data.folder import fingerprint, read_folder

BAD = 5


def damage(folder: Path, place: Path) -> Path:
    """A copy of a world's folder in `place`, in which five rows are bad, each for another reason."""
    shutil.copytree(folder, place)
    lines = [json.loads(line) for line in (place / "captions.jsonl").read_text().splitlines()]
    lines[0]["unsafe_text"] = ""
    del lines[1]["unsafe_image"]
    lines[2]["safe_image"] = "gone.png"
    (place / lines[4]["safe_image"]).write_bytes(b"not a picture")
    written = [json.dumps(line) for line in lines]
    written[3] = "{"
    (place / "captions.jsonl").write_text("\n".join(written) + "\n")
    return place


def named(place: Path) -> list[str]:
    """Where each of the five is, and a part of the reason, as a pattern."""
    bad = json.loads((place / "captions.jsonl").read_text().splitlines()[4])
    table = re.escape(str(place / "captions.jsonl"))
    return [
        rf"{table}, line 1: 'unsafe_text' must be a text",
        rf"{table}, line 2: 'unsafe_image' must be a text",
        rf"{table}, line 3: the image 'gone.png' is missing",
        rf"{table}, line 4: not JSON",
        rf"{re.escape(str(place / bad['safe_image']))}: found an unknown format.*\(row {bad['id']}\)",
    ]


def require_named(place: Path, stderr: str) -> None:
    for pattern in named(place):
        assert re.search(f"^failed: {pattern}", stderr, re.MULTILINE), (pattern, stderr)


@pytest.fixture(scope="module")
def places(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Damaged rows of each split, and a model's folder to calibrate."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(workplace / "model", folder / "model")
    found = {part: workplace / "world" / f"{part}-0-60" for part in ("calibration", "validation")}
    found["test"] = workplace / "data"
    return {part: damage(place, folder / part) for part, place in found.items()} | {"model": folder / "model"}


@pytest.fixture(scope="module")
def good(workplace: Path) -> str:
    """The fingerprint of the calibration rows that are not bad."""
    return fingerprint(read_folder(workplace / "world" / "calibration-0-60")[BAD:])


# -- evaluate --------------------------------------------------------------------------------------------


def test_evaluate_measures_on_what_is_good_and_names_the_rest(
    places: dict[str, Path], workplace: Path, tmp_path: Path
) -> None:
    words = ("evaluate", workplace / "model", "--data", places["test"], "--out", tmp_path / "run.json")
    result = run(*words, "--json")
    assert result.exit_code == 3, result.output
    require_named(places["test"], result.stderr)
    (told,) = json.loads(result.stdout)["runs"]
    assert told["rows"] == 12 - BAD
    assert told["data_fingerprint"] == fingerprint(read_folder(workplace / "data")[BAD:])
    assert len(told["failed"]) == BAD
    assert json.loads((tmp_path / "run.json").read_text())["failed"] == told["failed"]
    for where, why in told["failed"].items():
        assert f"failed: {where}: {why}" in result.stderr
    assert run(*words[:-2], "--split", "test", "--count", 3).exit_code == 3


def test_bad_rows_of_the_calibration_and_the_gallery_are_named_too(
    places: dict[str, Path], workplace: Path
) -> None:
    words = ("evaluate", workplace / "model", "--data", workplace / "data", "--protocol", "classification")
    others = ("--calibration", places["calibration"], "--gallery", places["validation"])
    result = run(*words, *others, "--json")
    assert result.exit_code == 3, result.output
    for part in ("calibration", "validation"):
        require_named(places[part], result.stderr)
    (told,) = json.loads(result.stdout)["runs"]
    assert (told["rows"], len(told["failed"])) == (12, 2 * BAD)


def test_a_source_without_any_good_row_is_refused(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"id": "a"}\n{\n')
    result = run("evaluate", workplace / "model", "--data", tmp_path)
    assert result.exit_code == 1
    assert "has no row that can be used. The first problem:" in result.stderr
    assert "line 1: 'split' must be a text" in result.stderr


# -- calibrate and bounds --------------------------------------------------------------------------------


def words_of(verb: str, places: dict[str, Path]) -> tuple[Any, ...]:
    if verb == "bounds":
        parts = ("--calibration", places["calibration"], "--validation", places["validation"])
        return (verb, places["model"], *parts)
    return (verb, places["model"], "--data", places["calibration"], "--miss-rate", 0.05)


@pytest.mark.parametrize("verb", ["calibrate", "bounds"])
def test_bad_rows_are_refused_each_is_named_and_nothing_is_written(
    verb: str, places: dict[str, Path]
) -> None:
    before = {path.name: path.read_bytes() for path in places["model"].glob("*.json")}
    result = run(*words_of(verb, places))
    assert result.exit_code == 1
    number = 2 * BAD if verb == "bounds" else BAD
    assert f"error: {number} rows or pictures cannot be used" in result.stderr
    assert f"and {number - 3} more" in result.stderr
    assert "--leave-out-bad" in result.stderr
    for part in ("calibration", "validation") if verb == "bounds" else ("calibration",):
        require_named(places[part], result.stderr)
    assert {path.name: path.read_bytes() for path in places["model"].glob("*.json")} == before


def test_a_picture_alone_is_refused_too(places: dict[str, Path], workplace: Path, tmp_path: Path) -> None:
    shutil.copytree(workplace / "world" / "calibration-0-60", tmp_path / "rows")
    picture = sorted((tmp_path / "rows" / "images").iterdir())[0]
    picture.write_bytes(b"")
    result = run("calibrate", places["model"], "--data", tmp_path / "rows")
    assert result.exit_code == 1
    assert f"failed: {picture}: the file is empty" in result.stderr
    assert "1 rows or pictures cannot be used" in result.stderr


def test_calibrate_leaves_out_what_it_is_told_to_and_counts_it(places: dict[str, Path], good: str) -> None:
    result = run(*words_of("calibrate", places), "--leave-out-bad", "--json")
    assert result.exit_code == 3, result.output
    require_named(places["calibration"], result.stderr)
    told = json.loads(result.stdout)
    assert len(told["failed"]) == BAD
    kept = json.loads((places["model"] / "calibration.json").read_text())
    assert (kept["left_out"], kept["data_fingerprint"]) == (BAD, good)
    assert kept["text"]["thresholds"]["false_positive"]["n"] == 60 - BAD
    assert json.loads((places["model"] / "bounds.json").read_text())["data_fingerprint"] == good

    printed = run(*words_of("calibrate", places), "--leave-out-bad")
    assert printed.exit_code == 3
    assert "Left out, because they could not be used: 5 rows or pictures." in printed.stdout

    new = (*words_of("calibrate", places)[:4], "--check")
    assert run(*new).exit_code == 1
    checked = run(*new, "--leave-out-bad", "--json")
    assert checked.exit_code == 3, checked.output
    assert json.loads(checked.stdout)["image"]["n"] == 60 - BAD


def test_bounds_leave_out_what_they_are_told_to(places: dict[str, Path], good: str) -> None:
    result = run(*words_of("bounds", places), "--leave-out-bad", "--json")
    assert result.exit_code == 3, result.output
    for part in ("calibration", "validation"):
        require_named(places[part], result.stderr)
    told = json.loads(result.stdout)
    assert len(told["failed"]) == 2 * BAD
    assert told["data_fingerprint"] == good
    assert json.loads((places["model"] / "bounds.json").read_text())["data_fingerprint"] == good


def test_good_rows_have_nothing_left_out(places: dict[str, Path], workplace: Path, tmp_path: Path) -> None:
    model = shutil.copytree(places["model"], tmp_path / "model")
    rows = workplace / "world" / "calibration-0-60"
    told = document("calibrate", model, "--data", rows, "--miss-rate", 0.05, "--leave-out-bad")
    assert told["failed"] == {}
    assert told["calibration"]["left_out"] == 0
