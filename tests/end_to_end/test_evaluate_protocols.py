"""`evaluate` with protocols that need other rows, from outside."""

from pathlib import Path

import pytest
from command_line import document, run


@pytest.fixture(scope="module")
def others(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of calibration rows and of a gallery."""
    folder = tmp_path_factory.mktemp("others")
    for name, split, count in (("calibration", "calibration", 12), ("style", "test_style", 10)):
        assert run("world", "export", folder / name, "--split", split, "--count", count).exit_code == 0
    return {name: folder / name for name in ("calibration", "style")}


def test_other_rows_add_their_protocols(workplace: Path, others: dict[str, Path]) -> None:
    words = ("evaluate", workplace / "model", "--data", workplace / "data")
    words += ("--calibration", others["calibration"], "--gallery", others["style"])
    (found,) = document(*words)["runs"]
    assert set(found["other_data"]) == {"calibration", "gallery:style"}
    assert "classification/image/root-distance/balanced_accuracy" in found["figures"]
    assert (
        "real-unsafe/style/unsafe_text->safe_image+unsafe_image/redirected/harmful_top1" in found["figures"]
    )
    assert 0 < found["figures"]["zero-shot/subject/chance"] < 0.1
    printed = run(*words).stdout
    assert "Unsafe query in style: harmful first hit" in printed
    assert "Random embeddings reach chance on SafeGround" in printed
    assert "Within a category" not in printed


def test_protocols_are_chosen_by_name(workplace: Path) -> None:
    words = ("evaluate", workplace / "model", "--data", workplace / "data")
    words += ("--protocol", "by-category", "--protocol", "zero-shot")
    (found,) = document(*words)["runs"]
    assert {key.split("/")[0] for key in found["figures"]} == {"by-category", "zero-shot", "count"}
    printed = run(*words).stdout
    assert "Within a category, text to image" in printed
    assert "AUROC" not in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--protocol", "safeguard"], "Did you mean 'safeground'?"),
        (["--protocol", "loss-ablation"], "is a study that trains models"),
        (["--protocol", "classification"], "classification needs --calibration"),
        (["--protocol", "real-unsafe"], "real-unsafe needs --gallery"),
        (["--gallery", "a/x", "--gallery", "b/x"], "two galleries have one name: x, x"),
        (["--gallery", "DATA"], "12 of 12 rows of data are among those of --data"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], message: str, workplace: Path) -> None:
    data = str(workplace / "data")
    result = run(
        "evaluate", workplace / "model", "--data", data, *(data if w == "DATA" else w for w in words)
    )
    assert result.exit_code == 2, result.output
    assert message in result.stderr


def test_calibration_rows_of_a_folder_are_those_of_that_split(workplace: Path) -> None:
    data = workplace / "data"
    result = run("evaluate", workplace / "model", "--data", data, "--calibration", data)
    assert result.exit_code == 1
    assert "has no row of split 'calibration'" in result.stderr
