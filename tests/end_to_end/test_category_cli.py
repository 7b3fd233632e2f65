"""Categories from the command line: an index gets them, and rules of a policy for them hold in a search."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from hyperaware.catalogue import open_store
from hyperaware.cli import index, search
from hyperaware.cli.group import Verbs
from hyperaware.models.pretrained import load
from hyperaware.moderation import concepts
from hyperaware.world import export

MODEL = "world-hysac-ordered"
POLICY = """
version = "mine-1"
default_role = "viewer"

[roles.viewer]
action = "allow"
show = "all"

[[roles.viewer.items]]
category = "violence"
above = ABOVE
action = "ACTION"
"""

app = typer.Typer(cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(index.app, name="index")
app.command()(search.search)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})


def document(*words: object, code: int = 0) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    export(folder, count=12, split="test")
    return folder


@pytest.fixture(scope="module")
def made(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("index")
    assert document("index", "add", place, gallery, "--model", MODEL)["counts"]["added"] == 24
    return place


def policy(folder: Path, action: str, above: float = 0.5) -> Path:
    path = folder / f"{action}.toml"
    path.write_text(POLICY.replace("ACTION", action).replace("ABOVE", str(above)))
    return path


def test_an_index_by_a_calibrated_model_has_categories_and_rules_for_them_hold(
    made: Path, tmp_path: Path
) -> None:
    asked = ("search", made, "a deadly axe", "-k", 24, "--role", "viewer", "--policy")
    with open_store(made) as store:
        items = [store.get(id) for id in store.contents("image")]
    probability = {item.path: item.categories["violence"] for item in items if item and item.categories}
    assert len(probability) == 24
    above = sorted(probability.values())[12]
    violent = {path for path, value in probability.items() if value > above}
    assert 0 < len(violent) < 24
    blurred, blocked = (document(*asked, policy(tmp_path, each, above))["hits"] for each in ("blur", "block"))
    assert {hit["path"]: hit["blurred"] for hit in blurred} == {path: path in violent for path in probability}
    assert {hit["path"] for hit in blocked} == set(probability) - violent
    assert "(blurred)" in run(*asked, tmp_path / "blur.toml").stdout


def test_pages_go_on_where_the_last_one_ended(made: Path) -> None:
    whole = document("search", made, "a rabbit", "-k", 6)["hits"]
    page = document("search", made, "a rabbit", "-k", 2, "--offset", 2)
    assert page["hits"] == whole[2:4]
    assert page["more"]
    assert "More: --offset 4" in run("search", made, "a rabbit", "-k", 2, "--offset", 2).stdout
    assert document("search", made, "a rabbit", "--folder", "nowhere")["hits"] == []


def test_a_category_that_is_misspelled_or_unknown_is_refused(made: Path, tmp_path: Path) -> None:
    path = policy(tmp_path, "block")
    path.write_text(path.read_text().replace("violence", "violense"))
    result = run("search", made, "a rabbit", "--policy", path)
    assert result.exit_code == 2
    assert "Did you mean 'violence'?" in " ".join(result.stderr.split())


def test_edited_concepts_must_be_calibrated_first_and_the_index_stays_as_it_is(
    made: Path, tmp_path: Path
) -> None:
    text = Path(concepts.__file__).with_name("concepts.toml").read_text(encoding="utf-8")
    own = tmp_path / "concepts.toml"
    own.write_text(text.replace("prompts = [", 'prompts = ["something else", '))
    result = run("index", "categorise", made, "--concepts", own)
    assert result.exit_code == 2
    assert "Calibrate it with these concepts first" in " ".join(result.stderr.split())
    found = document("index", "categorise", made)
    assert (found["categorised"], "violence" in found["categories"]) == (0, True)


def test_a_model_without_a_calibration_gives_no_categories(gallery: Path, tmp_path: Path) -> None:
    assert document("index", "add", tmp_path / "plain", gallery, "--model", "world")["counts"]["added"] == 24
    result = run("index", "categorise", tmp_path / "plain")
    assert result.exit_code == 2
    assert f"the model {load('world').name} has no calibrated probabilities" in result.stderr
