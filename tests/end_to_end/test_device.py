"""`--device` reaches the model of every verb that has much to compute."""

from pathlib import Path

import pytest
from command_line import run

VERBS = {
    "evaluate": ("evaluate", "world"),
    "calibrate": ("calibrate", "world", "--data", "world:calibration", "--check"),
    "bounds": ("bounds", "FOLDER", "--calibration", "FOLDER", "--validation", "FOLDER"),
    "moderate": ("moderate", "world-hysac-ordered", "--text", "a rabbit"),
    "index add": ("index", "add", "my-index", "."),
}


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_a_device_that_is_none_is_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FOLDER").mkdir()
    result = run(*words, "--device", "gpu")
    assert result.exit_code == 2
    assert "got the device 'gpu', expected auto, cpu, cuda or cuda:1" in result.output.replace("\n", " ")
    assert not Path("my-index").exists()
