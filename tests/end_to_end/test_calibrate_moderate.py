"""`calibrate`, `moderate` and `explain` as they are typed: a model is calibrated, judges, and is checked."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from hyperaware.cli.calibrate import calibrate
from hyperaware.cli.group import Verbs
from hyperaware.cli.moderate import explain, moderate
from hyperaware.models.pretrained import shipped_folder
from hyperaware.world import export

app = typer.Typer(cls=Verbs, add_completion=False, pretty_exceptions_enable=False)
app.command()(calibrate)
app.command()(moderate)
app.command()(explain)


def typed(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "rows"
    export(folder, count=160, split="calibration")
    return folder


@pytest.fixture(scope="module")
def calibrated(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A model's folder of one's own, without a calibration, and what the command said."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    shutil.copytree(shipped_folder("world-hysac-ordered"), folder)
    (folder / "calibration.json").unlink()
    return folder, typed("calibrate", folder, "--data", data, "--domain-by", "slice", "--miss-rate", "0.05")


def test_calibrate_writes_both_files_and_says_what_is_promised(calibrated: tuple[Path, Result]) -> None:
    folder, result = calibrated
    assert result.exit_code == 0, result.output
    assert "A new safe text lies above" in result.output.replace("\n", " ")
    assert "the domain 'dual-use'" in result.output
    earlier = json.loads((shipped_folder("world-hysac-ordered") / "bounds.json").read_text())
    bounds = json.loads((folder / "bounds.json").read_text())
    assert bounds["landing"] == earlier["landing"]
    assert bounds["miss_rate"] == 0.05
    found = json.loads((folder / "calibration.json").read_text())
    assert found["text"]["thresholds"]["false_positive"]["threshold"] == bounds["limit"]["text"]
    assert found["model_fingerprint"] == bounds["model_fingerprint"]
    assert found["domain_by"] == "slice"


def test_new_data_of_the_same_source_have_not_drifted(
    calibrated: tuple[Path, Result], tmp_path: Path
) -> None:
    export(tmp_path / "new", count=80, split="validation")
    result = typed("calibrate", calibrated[0], "--data", tmp_path / "new", "--check", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["drifted"] is False
    assert found["text"]["n"] == 80


def test_other_data_have_drifted_and_the_exit_code_says_so(
    calibrated: tuple[Path, Result], data: Path, tmp_path: Path
) -> None:
    """Harmful captions and pictures, handed in as benign ones."""
    shutil.copytree(data, tmp_path / "new")
    lines = [json.loads(line) for line in (data / "captions.jsonl").read_text().splitlines()]
    swapped = [
        {**line, "safe_text": line["unsafe_text"], "safe_image": line["unsafe_image"]} for line in lines
    ]
    text = "".join(json.dumps(line) + "\n" for line in swapped)
    (tmp_path / "new" / "captions.jsonl").write_text(text)
    before = (calibrated[0] / "calibration.json").read_bytes()
    result = typed("calibrate", calibrated[0], "--data", tmp_path / "new", "--check")
    assert result.exit_code == 4
    assert "drifted" in result.output
    assert (calibrated[0] / "calibration.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("world-hysac-ordered",), 2, "is shipped and stays as it was"),
        (("world",), 2, "is shipped and stays as it was"),
        (("MINE", "--false-positive-rate", "0.001"), 1, "at least 999 are needed"),
        (("MINE", "--domain-by", "slices"), 2, "Did you mean 'slice'"),
        (("MINE", "--concepts", "none.toml"), 2, "do not exist"),
    ],
)
def test_what_cannot_be_calibrated_is_said(
    words: tuple[str, ...], code: int, message: str, calibrated: tuple[Path, Result], data: Path
) -> None:
    folder = str(calibrated[0])
    before = (calibrated[0] / "calibration.json").read_bytes()
    result = typed("calibrate", *(folder if word == "MINE" else word for word in words), "--data", data)
    assert result.exit_code == code
    assert message in result.output
    assert (calibrated[0] / "calibration.json").read_bytes() == before


# -- moderate --------------------------------------------------------------------------------------------


def test_moderate_judges_texts_and_pictures(calibrated: tuple[Path, Result], data: Path) -> None:
    picture = sorted((data / "images").glob("*-unsafe.png"))[0]
    unsafe = "a rabbit with a pistol in the forest"
    result = typed(
        "moderate",
        calibrated[0],
        "--text",
        "a rabbit with a red cup",
        "--text",
        unsafe,
        "--image",
        picture,
        "--json",
    )
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)["results"]
    assert [each["modality"] for each in results] == ["text", "text", "image"]
    assert [each["flagged"] for each in results[1:]] == [True, True]
    assert results[1]["probability"] > 0.9
    assert results[1]["verdict"]["action"] == "redirect"
    assert results[1]["categories"]["violence"]["calibrated"] is True
    assert results[1]["margin"] < 0
    printed = typed("moderate", calibrated[0], "--text", unsafe, "--role", "child")
    assert printed.exit_code == 0
    assert "block" in printed.output


def test_bad_items_of_a_file_are_named_and_the_others_judged(
    calibrated: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperaware.cli.moderate.TOGETHER", 3)
    Image.new("RGB", (48, 48), "white").save(tmp_path / "white.png")
    lines = [
        {"id": "a", "text": "a rabbit"},
        {"image": "white.png"},
        {"id": "c", "image": "missing.png"},
        {"text": " "},
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    result = typed("moderate", calibrated[0], "--jsonl", path, "--json")
    assert result.exit_code == 3
    results = {each["id"]: each for each in json.loads(result.stdout)["results"]}
    assert list(results) == ["a", "line 2", "c", "line 4"]
    assert results["a"]["failure"] is None
    assert results["line 2"]["score"] > 0
    assert results["c"]["failure"]["reason"] == "missing"
    assert results["c"]["flagged"] is True
    assert results["line 4"]["failure"]["reason"] == "empty"
    printed = typed("moderate", calibrated[0], "--jsonl", path)
    assert printed.exit_code == 3
    assert "failed: c: missing" in printed.output


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"text": 1}', '{"text": "a", "image": "b"}'])
def test_a_wrong_line_is_named(line: str, calibrated: tuple[Path, Result], tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"text": "a rabbit"}\n' + line + "\n")
    result = typed("moderate", calibrated[0], "--jsonl", tmp_path / "items.jsonl")
    assert result.exit_code == 1
    assert "line 2" in result.output.replace("\n", " ")


def test_nothing_to_judge_is_wrong_use(calibrated: tuple[Path, Result]) -> None:
    assert typed("moderate", calibrated[0]).exit_code == 2
    assert typed("moderate", "world", "--text", "a rabbit").exit_code == 1, "a model without bounds"


# -- explain ---------------------------------------------------------------------------------------------


def test_explain_tells_of_words_and_concepts(calibrated: tuple[Path, Result], data: Path) -> None:
    result = typed(
        "explain", calibrated[0], "--text", "a rabbit with a pistol in the forest", "--pool", data, "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert max(found["words"], key=lambda word: word["contribution"])["text"] == "pistol"
    assert "a pistol" in {concept["prompt"] for concept in found["nearest"]}
    assert found["stops"][-1]["caption"] == "[ROOT]"
    printed = typed("explain", calibrated[0], "--text", "a rabbit with a pistol in the forest")
    assert "beyond the bound" in printed.output


def test_explain_draws_a_map(calibrated: tuple[Path, Result], data: Path, tmp_path: Path) -> None:
    picture, out = sorted((data / "images").glob("*-unsafe.png"))[0], tmp_path / "map.png"
    result = typed("explain", calibrated[0], "--image", picture, "--out", out)
    assert result.exit_code == 0, result.output
    with Image.open(out) as drawn:
        assert drawn.size == (384, 384)
    assert typed("explain", calibrated[0]).exit_code == 2
    assert typed("explain", calibrated[0], "--text", "a", "--out", out).exit_code == 2
