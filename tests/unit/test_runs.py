"""Records of runs, and mean and spread over seeds, on figures that one can check by eye."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from model_samples import random_rows, tiny_model
from moderation_samples import sample_bounds

from hyperaware.data.folder import fingerprint
from hyperaware.errors import DataError, SafetyError
from hyperaware.evaluation import protocols, runs

RUN = runs.Run(
    model="world",
    model_fingerprint="weights-0",
    provenance={"seed": 0},
    seed=0,
    space={"name": "sphere"},
    data="folder",
    data_fingerprint="rows",
    split="test",
    rows=3,
    failed={},
    bounds=None,
    figures={"safe/safe_text->safe_image/recall@1": 0.5},
    command=["hyperaware", "evaluate"],
    versions={"hyperaware": "0.1.0"},
    machine="a machine",
    date="2026-11-21T00:00:00+00:00",
)


def seeds(*values: float, key: str = "safe/safe_text->safe_image/recall@1") -> list[runs.Run]:
    return [
        replace(RUN, model_fingerprint=f"weights-{seed}", figures={key: value})
        for seed, value in enumerate(values)
    ]


# Records


def test_a_measurement_records_what_was_measured_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture of row 1 is damaged: the row is named, and the record is of the two others."""
    monkeypatch.setattr("sys.argv", ["hyperaware", "evaluate", "tiny"])
    rows = random_rows(tmp_path, 3, split="test")
    rows[1].unsafe_image.write_bytes(b"not a picture")
    model = tiny_model(lorentz=True)
    model.name, model.provenance = "tiny", {"seed": 7, "recipe": "none"}
    bounds = sample_bounds(model_fingerprint=model.fingerprint)

    run, points = runs.measurement(model, rows, data=tmp_path, bounds=bounds)

    good = [rows[0], rows[2]]
    assert (run.model, run.model_fingerprint, run.seed) == ("tiny", model.fingerprint, 7)
    assert run.provenance == {"seed": 7, "recipe": "none"}
    assert run.space == {"name": "lorentz", "curv": pytest.approx(0.7)}
    assert (run.data, run.data_fingerprint, run.split, run.rows) == (
        str(tmp_path),
        fingerprint(good),
        "test",
        2,
    )
    assert list(run.failed) == [str(rows[1].unsafe_image)]
    assert run.bounds == asdict(bounds)
    assert run.command == ["hyperaware", "evaluate", "tiny"]
    assert run.versions["torch"] == torch.__version__
    assert run.figures == protocols.evaluate(points, good, space=model.space, bounds=bounds)
    assert run.figures["count/text/all/unsafe"] == 2
    torch.testing.assert_close(points.safe_text, model.encode_text([row.safe_text for row in good]))


def test_other_rows_that_figures_rest_on_are_named(tmp_path: Path) -> None:
    """A damaged picture among the calibration rows is a failure of the measurement too."""
    rows, fitted, mixed = (
        random_rows(tmp_path / name, count) for name, count in (("a", 3), ("b", 4), ("c", 10))
    )
    fitted[3].safe_image.write_bytes(b"not a picture")
    run, _ = runs.measurement(
        tiny_model(), rows, data=tmp_path, bounds=None, calibration=fitted, galleries={"c": mixed}
    )
    assert run.other_data == {"gallery:c": fingerprint(mixed), "calibration": fingerprint(fitted[:3])}
    assert list(run.failed) == [str(fitted[3].safe_image)]
    assert "classification/text/linear-probe/ece" in run.figures
    assert "real-unsafe/c/unsafe_text->safe_image+unsafe_image/raw/harmful_top1" in run.figures


def test_a_run_that_was_saved_without_other_data_is_read(tmp_path: Path) -> None:
    path = RUN.save(tmp_path / "run.json")
    document = json.loads(path.read_text())
    del document["other_data"]
    path.write_text(json.dumps(document))
    assert runs.read_run(path) == RUN
    del document["machine"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"differs from a run in \['machine'\]"):
        runs.read_run(path)


def test_a_model_that_does_not_tell_its_seed_has_none(tmp_path: Path) -> None:
    run, _ = runs.measurement(tiny_model(), random_rows(tmp_path, 2), data=tmp_path, bounds=None)
    assert run.seed is None
    assert run.bounds is None


def test_bounds_of_another_model_are_refused(tmp_path: Path) -> None:
    rows = random_rows(tmp_path, 2)
    with pytest.raises(SafetyError, match="were measured with the model other"):
        runs.record(
            tiny_model(lorentz=True),
            rows,
            {},
            data=tmp_path,
            bounds=sample_bounds(model_fingerprint="other"),
        )


def test_a_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    path = RUN.save(tmp_path / "new folder" / "run.json")
    assert runs.read_run(path) == RUN
    assert [entry.name for entry in path.parent.iterdir()] == ["run.json"]


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = RUN.save(tmp_path / "run.json")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(RUN, figures={"x": math.nan}).save(path)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        replace(RUN, rows=9).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "not a run of format 1"),
        ('{"format": 2}', "not a run of format 1"),
        (json.dumps({"format": 1, **asdict(RUN), "extra": 1}), r"differs from a run in \['extra'\]"),
    ],
    ids=["missing", "not JSON", "a list", "another format", "another field"],
)
def test_what_is_not_a_run_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        runs.read_run(path)


# Several seeds


def test_mean_and_sample_deviation() -> None:
    """0.5 0.6 0.7: the squares are 0.01, 0, 0.01, their sum over n - 1 = 2 is 0.01."""
    (spread,) = runs.mean_and_spread(seeds(0.5, 0.7, 0.6)).values()
    assert spread.mean == pytest.approx(0.6)
    assert spread.deviation == pytest.approx(0.1)
    assert (spread.low, spread.high, spread.n) == (0.5, 0.7, 3)


def test_one_run_has_no_deviation() -> None:
    (spread,) = runs.mean_and_spread(seeds(0.5)).values()
    assert spread == runs.Spread(mean=0.5, deviation=None, low=0.5, high=0.5, n=1)


def test_runs_that_do_not_belong_together_are_refused() -> None:
    one, two = seeds(0.5, 0.6)
    for changed, message in (
        (replace(two, model="other"), "differ in model: other, world"),
        (replace(two, data_fingerprint="others"), "differ in data_fingerprint"),
        (replace(two, other_data={"calibration": "others"}), "differ in other_data"),
        (replace(two, model_fingerprint="weights-0"), "of the same weights"),
        (replace(two, figures={}), "differ in their figures"),
    ):
        with pytest.raises(DataError, match=message):
            runs.mean_and_spread([one, changed])
    with pytest.raises(DataError, match="no runs"):
        runs.mean_and_spread([])
