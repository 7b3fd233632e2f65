"""Records of runs, mean and spread, and tables, on figures that one can check by eye."""

import io
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from model_samples import random_rows, tiny_model
from moderation_samples import sample_bounds
from rich.console import Console
from rich.table import Table

from hyperaware.data.folder import fingerprint
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import DataError, SafetyError
from hyperaware.evaluation import protocols, report, runs
from hyperaware.geometry.space import Lorentz

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
        (replace(two, model_fingerprint="weights-0"), "of the same weights"),
        (replace(two, figures={}), "differ in their figures"),
    ):
        with pytest.raises(DataError, match=message):
            runs.mean_and_spread([one, changed])
    with pytest.raises(DataError, match="no runs"):
        runs.mean_and_spread([])


# Tables

SAFE_KEY = "safe/safe_text->safe_image/recall@1"
SHORT = {
    "Retrieval": (
        report.Line("R@1", "a", redirected="b"),
        report.Line("only raw", "c"),
        report.Line("nowhere", "z"),
    ),
    "Lengths": (report.Line("median", "d", "number"), report.Line("ordered", "e", "answer")),
    "Empty": (report.Line("nowhere", "z"),),
}
FIGURES = {"a": 0.97349, "b": 0.5, "c": 0.0, "d": 0.31549, "e": True}


def printed(table: Table) -> list[str]:
    """The lines of a table as a terminal shows them, spaces joined."""
    stream = io.StringIO()
    Console(file=stream, width=120).print(table)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines() if line.strip()]


def test_markdown_of_two_models_side_by_side() -> None:
    columns = [
        report.Column("one", FIGURES),
        report.Column("one\nmoved", FIGURES, "redirected"),
        report.Column("a|b", {"a": 1.0}),
    ]
    assert report.markdown(columns, SHORT) == (
        "|  | one | one moved | a\\|b |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| **Retrieval** |  |  |  |\n"
        "| R@1 | 97.3 % | 50.0 % | 100.0 % |\n"
        "| only raw | 0.0 % | - | - |\n"
        "| **Lengths** |  |  |  |\n"
        "| median | 0.315 | - | - |\n"
        "| ordered | yes | - | - |\n"
    )


def test_the_table_on_screen_has_the_same_cells() -> None:
    lines = printed(report.table([report.Column("a [b]", FIGURES)], SHORT, title="Of test"))
    assert lines[0] == "Of test"
    assert "a [b]" in lines[1]
    rest = [line for line in lines[2:] if "─" not in line]
    assert rest == [
        "Retrieval",
        "R@1 97.3 %",
        "only raw 0.0 %",
        "Lengths",
        "median 0.315",
        "ordered yes",
    ]


def test_three_models_stand_side_by_side_in_80_characters() -> None:
    stream = io.StringIO()
    columns = [report.Column("world-hysac-ordered\nredirected", {SAFE_KEY: 0.12345})] * 3
    Console(file=stream, width=80).print(report.table(columns))
    head = [line.split() for line in stream.getvalue().splitlines()[:3]]
    assert head == [["world-hysac-"] * 3, ["ordered"] * 3, ["redirected"] * 3]
    assert "text to image 12.3 % 12.3 % 12.3 %" in " ".join(stream.getvalue().split())


def test_spreads_in_a_table() -> None:
    spreads = {
        "a": runs.Spread(mean=0.6, deviation=0.1, low=0.5, high=0.7, n=3),
        "c": runs.Spread(mean=0.6, deviation=None, low=0.6, high=0.6, n=1),
        "d": runs.Spread(mean=0.3154, deviation=0.0021, low=0.3, high=0.32, n=3),
        "e": runs.Spread(mean=2 / 3, deviation=0.5, low=0.0, high=1.0, n=3),
    }
    text = report.markdown([report.Column("three seeds", spreads)], SHORT)
    assert "| R@1 | 60.0 ± 10.0 % (50.0-70.0) |" in text
    assert "| only raw | 60.0 % |" in text
    assert "| median | 0.315 ± 0.002 (0.300-0.320) |" in text
    assert "| ordered | 2 of 3 |" in text


def test_before_and_after_gives_a_redirected_column_to_models_that_redirect() -> None:
    unmoved = {f"redirect/{protocols.REDIRECT[0]}/raw/harmful_top1": 0.9, SAFE_KEY: 0.8}
    moved = {
        **unmoved,
        f"redirect/{protocols.REDIRECT[0]}/redirected/harmful_top1": 0.02,
        "safe-redirected/safe_text->safe_image/recall@1": 0.7,
    }
    columns = report.before_after({"world": unmoved, "hysac": moved})
    text = report.markdown(columns, report.HEADLINE)
    assert [column.title for column in columns] == ["world", "hysac", "hysac\nredirected"]
    assert (
        "| **Safe query, its safe item: R@1 ↑** |  |  |  |\n| text to image | 80.0 % | 80.0 % | 70.0 % |"
        in text
    )
    assert (
        "| **Unsafe query: harmful first hit ↓** |  |  |  |\n| text to image | 90.0 % | 90.0 % | 2.0 % |"
        in text
    )
    assert len(text.splitlines()) == 2 + 2 * 2


def test_scope_lines_name_every_category_and_slice() -> None:
    figures = {
        "separation/text/all/auroc": 0.9,
        "separation/text/all/ap": 0.1,
        "separation/text/category:self-harm/auroc": 0.8,
        "separation/image/slice:dual-use/auroc": 0.7,
    }
    columns = [report.Column("model", figures)]
    assert report.markdown(columns, report.scope_lines(columns)).splitlines()[2:] == [
        "| **Text: AUROC by root distance ↑** |  |",
        "| all | 0.900 |",
        "| self-harm | 0.800 |",
        "| **Image: AUROC by root distance ↑** |  |",
        "| dual-use | 0.700 |",
    ]


def test_every_line_of_the_layouts_is_a_figure_that_evaluate_gives(tmp_path: Path) -> None:
    rows = [replace(row, slice="dual-use") for row in random_rows(tmp_path, 2)]
    parts = {
        name: Lorentz(1.0).lift(distance * torch.eye(2))
        for name, distance in zip(protocols.CLASSES, (0.3, 0.5, 0.7, 0.9), strict=True)
    }
    figures = protocols.evaluate(Quadruplet(**parts), rows, space=Lorentz(1.0), bounds=sample_bounds())
    for layout, count in ((report.MAIN, 39), (report.HEADLINE, 8)):
        lines = [line for section in layout.values() for line in section]
        assert len(lines) == count
        keys = {key for line in lines for key in (line.key, line.redirected) if key is not None}
        assert keys - figures.keys() == set()
