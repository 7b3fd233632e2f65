"""A data set with over fifty kinds of damage: told by `data check`, and trained on what is good of it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import document, run
from damaged_data import DAMAGES, ODDITIES, write_damaged

from hyperaware.cli.data import SHOWN

GOOD = 8


@pytest.fixture(scope="module")
def places(damaged: Path) -> dict[str, int]:
    """The line of each kind."""
    lines = (damaged / "train" / "places.json").read_text()
    found: dict[str, int] = json.loads(lines)
    return found


@pytest.fixture(scope="module")
def damaged(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train/, damaged, and calibration/, of the world, with one picture of train."""
    folder = tmp_path_factory.mktemp("damaged")
    places = write_damaged(folder / "train", good=GOOD)
    (folder / "train" / "places.json").write_text(json.dumps(places))
    shutil.copytree(workplace / "world" / "calibration-0-60", folder / "calibration")
    shutil.copy(folder / "train" / "calibration.png", folder / "calibration" / "images")
    row = {"id": "shared", "split": "calibration", "safe_text": "a", "unsafe_text": "b"}
    row |= {f"{side}_image": "images/calibration.png" for side in ("safe", "unsafe")}
    with open(folder / "calibration" / "captions.jsonl", "a") as file:
        file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="module")
def checked(damaged: Path) -> Any:
    return document("data", "check", damaged / "train", damaged / "calibration", code=3)


def where(kind: str, folder: Path, places: dict[str, int]) -> str:
    """What stands before the reason: the picture, or the line of the record."""
    if DAMAGES[kind].kind not in ("bad_picture", "leaking"):
        return f"{folder / 'captions.jsonl'}, line {places[kind]}"
    line = (folder / "captions.jsonl").read_bytes().split(b"\n")[places[kind] - 1]
    return str(folder / json.loads(line)["safe_image"])


def test_there_are_enough_kinds() -> None:
    assert len(DAMAGES) > 50
    assert len(ODDITIES) > 20
    assert not DAMAGES.keys() & ODDITIES.keys()


@pytest.mark.parametrize("kind", DAMAGES)
def test_check_names_each_damage_and_its_reason(
    kind: str, checked: Any, damaged: Path, places: dict[str, int]
) -> None:
    place = where(kind, damaged / "train", places)
    (found,) = [
        each for each in checked["findings"] if place in each["where"] and each["kind"] == DAMAGES[kind].kind
    ]
    assert re.search(DAMAGES[kind].says, found["message"]), found


@pytest.mark.parametrize("kind", ODDITIES)
def test_check_remarks_on_what_is_odd_and_on_nothing_else(kind: str, checked: Any, damaged: Path) -> None:
    mine = [
        each
        for each in checked["findings"]
        if any(place == kind or f"/{kind}-" in place for place in each["where"])
        or (kind == "unknown column" and each["kind"] == "ignored_column")
    ]
    expected = ODDITIES[kind].kind
    if expected is None:
        assert mine == []
    else:
        assert [each["kind"] for each in mine] == [expected], mine
        assert ODDITIES[kind].says in mine[0]["message"]


def test_check_counts_what_is_good_and_says_the_same_as_a_table(checked: Any, damaged: Path) -> None:
    usable = GOOD + len(ODDITIES) + sum(each.kind in ("bad_picture", "leaking") for each in DAMAGES.values())
    assert checked["rows"] == usable + 61
    assert checked["is_wrong"]
    told = run("data", "check", damaged / "train", damaged / "calibration")
    assert told.exit_code == 3
    for kind, number in checked["counts"].items():
        assert re.search(rf"{kind.replace('_', ' ')}\s+{number}\b", told.stdout), kind
        written = [line for line in told.stdout.splitlines() if line.startswith(f"{kind}: ")]
        assert len(written) == min(number, SHOWN) + (number > SHOWN), kind


def test_training_goes_on_to_the_end_and_names_each_damage_with_the_reason_of_check(
    checked: Any, damaged: Path, workplace: Path, places: dict[str, int], tmp_path: Path
) -> None:
    words = ("train", workplace / "toy.toml", "--data", damaged / "train", "--out", tmp_path / "model")
    words += ("--validation", workplace / "world" / "validation-0-60")
    result = run(*words, "--calibration", damaged / "calibration", "--json")
    assert result.exit_code == 3, result.output
    said = json.loads(result.stdout)
    assert said["steps"] == 4
    assert (tmp_path / "model" / "bounds.json").is_file()

    assert len(said["failed"]) == len(DAMAGES)
    checks = {place: each["message"] for each in checked["findings"] for place in each["where"]}
    for kind, damage in DAMAGES.items():
        place = where(kind, damaged / "train", places)
        why = said["failed"][place]
        assert re.search(damage.says, why), kind
        assert f"failed: {place}: {why}" in result.stderr, kind
        if damage.kind == "bad_picture":
            assert why.endswith(f"(row {kind})")
        if damage.kind != "leaking":
            assert why.removesuffix(f" (row {kind})") in checks[place]
    lines = (tmp_path / "model" / "left-out.jsonl").read_text(encoding="utf-8").splitlines()
    assert {each["where"]: each["why"] for each in map(json.loads, lines)} == said["failed"]

    rows = json.loads((tmp_path / "model" / "config.json").read_text())["provenance"]["rows"]
    assert rows == str(damaged / "train")
