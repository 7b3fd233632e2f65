"""`hyperaware train` on a folder with a broken picture: it trains on the rest, names it, and exits with 3."""

import shutil
from pathlib import Path

from command_line import document, run


def test_a_broken_picture_is_named_and_the_exit_code_says_so(workplace: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(workplace / "world" / "train-0-32", data)
    broken = data / "images" / "train-0-000003-safe.png"
    broken.write_bytes(broken.read_bytes()[:100])
    words = ("train", workplace / "toy.toml", "--data", data, "--world", workplace / "world")
    words += ("--validation", workplace / "world" / "validation-0-60")
    words += ("--calibration", workplace / "world" / "calibration-0-60")

    result = run(*words, "--out", tmp_path / "model")
    assert result.exit_code == 3, result.output
    assert str(broken) in result.stderr
    assert (tmp_path / "model" / "bounds.json").is_file()

    said = document(*words, "--out", tmp_path / "again", code=3)
    assert said["failed"].keys() == {str(broken)}
    assert said["steps"] == 4
