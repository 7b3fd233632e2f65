"""`hyperaware compare` on a small folder of rows: what is made once, found again, and lost by a failure."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run as command

from hyperaware.comparison.folder import read_comparison
from hyperaware.comparison.results import Comparison
from hyperaware.comparison.runner import Request, compare
from hyperaware.data.folder import CAPTIONS
from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation.runs import read_run
from hyperaware.world import export

COUNTS = {"train": 24, "validation": 20, "calibration": 60, "test": 24}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with rows of all four splits, as a user would bring it."""
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for split, count in COUNTS.items():
        export(folder / split, count=count, split=split)
        for line in (folder / split / CAPTIONS).read_text().splitlines():
            row = json.loads(line)
            for side in ("safe_image", "unsafe_image"):
                row[side] = f"{split}/{row[side]}"
            lines.append(json.dumps(row) + "\n")
    (folder / CAPTIONS).write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def request_of(data: Path) -> Callable[..., Request]:
    base = Request(methods=("clip", "hysac", "uwm"), studies=("geometry",), data=str(data), seeds=2, steps=2)
    return lambda **changes: dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def made(
    request_of: Callable[..., Request], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Comparison]:
    out = tmp_path_factory.mktemp("compare") / "table"
    return out, compare(request_of(), out, world=out / "none", jobs=1)


def test_a_run_folder_holds_all_that_is_said_of_it(made: tuple[Path, Comparison]) -> None:
    out, comparison = made
    manifest = json.loads((out / "manifest.json").read_text())
    assert sorted((told["contender"], told["seed"]) for told in manifest["cells"].values()) == [
        ("clip", 0),
        ("euclidean-hysac", 0),
        ("hysac", 0),
        ("hysac", 1),
        ("uwm", 0),
        ("uwm", 1),
    ]
    assert manifest["finished"] >= manifest["started"]
    predictions = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(predictions) == 6 * COUNTS["test"]
    assert [entry.name for entry in comparison.entries] == ["clip", "hysac", "uwm"]
    assert "<html" in (out / "report.html").read_text()
    settings = json.loads((out / "resolved-config.json").read_text())
    assert settings["request"]["steps"] == 2
    hysac = [how for name, how in settings["cells"].items() if name.startswith("hysac-")]
    assert {how["training"]["seed"] for how in hysac} == {0, 1}
    assert {how["settings"]["min_radius"] for how in hysac} == {0.1}


def test_a_mean_is_that_of_the_runs_and_of_the_predictions(made: tuple[Path, Comparison]) -> None:
    out, comparison = made
    key = "safe/safe_text->safe_image/recall@1"
    runs = [
        read_run(out / "cells" / name / told["measured"] / "run.json")
        for name, told in comparison.manifest["cells"].items()
        if told["contender"] == "hysac"
    ]
    mean = sum(run.figures[key] for run in runs) / 2
    spread = json.loads((out / "metrics.json").read_text())["methods"]["hysac"][key]
    assert spread["mean"] == pytest.approx(mean)
    assert spread["n"] == 2
    assert all("calibration" in run.other_data for run in runs)
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    found = [line["outcomes"][key] for line in lines if line["method"] == "hysac"]
    assert sum(found) / len(found) == pytest.approx(mean)


def test_models_differ_by_seed_and_from_the_base(made: tuple[Path, Comparison]) -> None:
    _, comparison = made
    weights = [run.model_fingerprint for entry in comparison.entries for run in entry.runs]
    assert len(weights) == 5
    assert len(set(weights)) == 4  # of so few rows, UWM draws all of them with either seed
    assert comparison.entry("hysac").redirects
    assert not comparison.entry("uwm").redirects
    labels = [variant.label for variant in comparison.studies[0].variants]
    assert labels == ["HySAC", "Euclidean HySAC"]


def test_the_same_queries_are_shown_for_all(made: tuple[Path, Comparison]) -> None:
    _, comparison = made
    clip, hysac = comparison.entry("clip").retrieved, comparison.entry("hysac").retrieved
    assert len(clip) == 10
    assert [answer.unsafe for answer in clip].count(False) == 2
    assert [answer.text for answer in hysac[:10]] == [answer.text for answer in clip]
    assert [answer.redirected for answer in hysac] == [False] * 10 + [True] * 8
    assert all(hit.path.is_file() for answer in hysac for hit in answer.hits)


def test_nothing_is_made_twice(
    made: tuple[Path, Comparison], request_of: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = made

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished cell was made or measured again")

    for place in ("cells._trained", "cells._edited", "measure._written"):
        monkeypatch.setattr(f"hyperaware.comparison.{place}", refuse)
    again = compare(request_of(), out, world=out / "none", jobs=1)
    assert [entry.runs for entry in again.entries] == [entry.runs for entry in first.entries]


def test_other_settings_are_other_cells(
    made: tuple[Path, Comparison], request_of: Callable[..., Request], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(made[0], tmp_path / "table"))
    before = {path.name for path in (out / "cells").iterdir()}
    other = request_of(methods=("clip", "hysac"), studies=(), seeds=1, steps=3)
    compare(other, out, world=out / "none", jobs=1)
    new = {path.name for path in (out / "cells").iterdir()} - before
    assert [name.split("-seed")[0] for name in new] == ["hysac"]
    assert read_comparison(out).entry("hysac").made.startswith("3 steps")


def test_other_code_makes_other_cells_unless_any_code_is_welcome(
    made: tuple[Path, Comparison],
    request_of: Callable[..., Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Path(shutil.copytree(made[0], tmp_path / "table"))
    before = {path.name for path in (out / "cells").iterdir()}
    monkeypatch.setattr("hyperaware.comparison.cells.MAKING", ("losses",))
    one = request_of(methods=("uwm",), studies=(), seeds=1)
    compare(one, out, world=out / "none", jobs=1, any_code=True)
    assert {path.name for path in (out / "cells").iterdir()} == before
    compare(one, out, world=out / "none", jobs=1)
    assert len({path.name for path in (out / "cells").iterdir()} - before) == 1


def test_one_that_cannot_be_made_is_named_and_the_others_go_on(data: Path, tmp_path: Path) -> None:
    parts = ("train", "validation", "calibration")
    tables = {"settings": 'learning_rate = 1e30\nlora_rank = "none"', "training": 'max_grad_norm = "none"'}
    tables |= {f"data.{part}": f'split = "{part}"\ncount = 9' for part in parts}
    text = 'name = "wild"\nmethod = "hysac"\nbase = "world"\n'
    text += "".join(f"[{name}]\n{keys}\n" for name, keys in tables.items())
    (tmp_path / "wild.toml").write_text(text)
    methods = f"clip,{tmp_path / 'wild.toml'}"
    words = ["compare", "--methods", methods, "--studies", "none", "--data", str(data), "--seeds", "1"]
    result = command(*words, "--steps", "3", "--jobs", "1", "--out", str(tmp_path / "table"))
    assert result.exit_code == 1, result.output
    assert "wild, seed 0" in result.stderr
    assert "not finite" in result.stderr
    assert [entry.name for entry in read_comparison(tmp_path / "table").entries] == ["clip"]


def test_workers_give_what_one_process_gives_and_two_runs_can_be_compared(
    made: tuple[Path, Comparison], request_of: Callable[..., Request], tmp_path: Path
) -> None:
    out, alone = made
    request = request_of(methods=("clip", "uwm"), studies=(), seeds=1)
    together = compare(request, tmp_path / "table", world=tmp_path / "none", jobs=2)
    for name in ("clip", "uwm"):
        assert together.entry(name).runs[0].model_fingerprint == alone.entry(name).runs[0].model_fingerprint
        assert together.entry(name).runs[0].figures == pytest.approx(alone.entry(name).runs[0].figures)
    difference = command("compare", out, tmp_path / "table", "--out", tmp_path / "apart")
    assert difference.exit_code == 0, difference.output
    assert "on the same rows" in difference.stdout
    assert "hysac" in difference.stdout.lower()  # which only one of them has
    for name in ("difference.html", "difference.md"):
        assert "hysac" in (tmp_path / "apart" / name).read_text().lower()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("hisac",)}, "Did you mean 'hysac'"),
        ({"methods": ("hysac", "hysac")}, "more than once"),
        ({"methods": ()}, "no method"),
        ({"studies": ("aperture",)}, "aperture-sweep"),
        ({"seeds": 0}, "seeds is 0"),
        ({"base": "wurld"}, "Did you mean 'world'"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    changes: dict, message: str, request_of: Callable[..., Request], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(request_of(**changes), tmp_path / "table", world=tmp_path, jobs=1)
    assert not (tmp_path / "table").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no manifest\.json"):
        read_comparison(tmp_path)
