"""`bounds` in a calibrated folder says that the calibration no longer holds, and what to run; that helps."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from command_line import run

from hyperaware.models.pretrained import shipped_folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    for split in ("validation", "calibration"):
        assert run("world", "export", folder / split, "--split", split, "--count", 80).exit_code == 0
    return {split: folder / split for split in ("validation", "calibration")}


def test_measured_bounds_outdate_a_calibration_until_it_is_made_again(
    rows: dict[str, Path], tmp_path: Path
) -> None:
    model = shutil.copytree(shipped_folder("world-hysac-ordered"), tmp_path / "my model")
    measure = ("bounds", model, "--calibration", rows["calibration"], "--validation", rows["validation"])
    judge = ("moderate", model, "--text", "a rabbit in the snow")
    assert run(*judge).exit_code == 0

    measured = run(*measure)
    assert measured.exit_code == 0, measured.output
    assert "no longer valid" in measured.stderr
    refused = run(*judge)
    assert refused.exit_code != 0
    assert "was measured anew" in refused.stderr

    found = re.search(r"Run: (.*)", measured.stderr)
    assert found is not None
    program, *words = shlex.split(found[1])
    assert program == "hyperaware"
    again = run(*words)
    assert again.exit_code == 0, again.output
    assert run(*judge).exit_code == 0


def test_without_a_calibration_nothing_is_said_of_one(rows: dict[str, Path], tmp_path: Path) -> None:
    model = shutil.copytree(shipped_folder("world-hysac-ordered"), tmp_path / "model")
    (model / "calibration.json").unlink()
    measured = run(
        "bounds", model, "--calibration", rows["calibration"], "--validation", rows["validation"], "--json"
    )
    assert measured.exit_code == 0, measured.output
    assert "calibrat" not in measured.stderr


def test_the_help_says_so() -> None:
    assert "no longer" in " ".join(run("bounds", "--help").stdout.split())
