"""Published figures beside ours: a column for each paper, grades and notes with them, absent cells absent."""

import json

import pytest

from hyperaware.comparison import published
from hyperaware.comparison.published import beside, markdown, read, side_by_side, table
from hyperaware.comparison.published_file import PublishedColumn
from hyperaware.errors import ConfigError
from hyperaware.evaluation.keys import REDIRECT

# Beside ours --------------------------------------------------------------------------------------


def test_beside_gives_every_paper_and_row_that_asks_the_same() -> None:
    key, other = "redirect/unsafe_text->safe_image+unsafe_image/redirected/recall@1", "no/such/figure"
    found = beside([key, other])
    assert found[other] == ()
    values = {(one.table.id, one.row.title): one.value for one in found[key]}
    assert values["hysac/table-1", "HySAC"] == 30.5
    assert values["hysac/table-1", "MERU"] == 2.2
    assert values["uwm/main", "UWM"] == 3.5
    assert {one.row.title: one.row.method for one in found[key]}["MERU*"] == "meru"
    assert {one.row.title: one.row.method for one in found[key]}["MERU"] is None
    assert beside([key.replace("redirected", "raw")]) == {key.replace("redirected", "raw"): found[key]}


def test_a_key_asks_the_same_only_where_a_word_stands_for_any() -> None:
    column = PublishedColumn("PS", key="safeground/PS")
    assert column.asks("safeground/PS")
    assert not column.asks("safeground/GS")
    assert not PublishedColumn("none").asks("safeground/PS")
    task = PublishedColumn("mean", key="zero-shot/TASK/top1")
    assert task.asks("zero-shot/things/top1")
    assert not task.asks("zero-shot/things/chance")
    assert not task.asks("zero-shot/things/of/top1")


def test_papers_have_columns_of_their_own_beside_ours() -> None:
    ours = {"clip": 0.01, "hysac": 0.75, "euclidean-hysac": 0.5, "uwm": 0.25, "own": 0.125}
    found = side_by_side(f"redirect/{REDIRECT[0]}/STATE/recall@1", ours, title="ours, world")
    assert found.ours == ours
    shown = [(one.paper.title, one.sources, one.shares) for one in found.theirs]
    assert shown[0] == (
        "HySAC",
        ("table 1 [T]", "table 9 [T]"),
        {"clip": 0.02, "hysac": 0.305, "euclidean-hysac": 0.021},
    )
    assert shown[1:] == [
        ("SafeR-CLIP", ("retrieval [B]",), {"clip": 0.028}),
        ("SafeR-CLIP", ("retrieval [B]",), {"clip": 0.038}),
        ("UWM and SafeGround", ("main table [P]",), {"clip": 0.021, "uwm": 0.035}),
    ]
    lines = found.markdown().splitlines()
    assert lines[0].startswith("| method | ours, world | HySAC (1) | SafeR-CLIP (2) |")
    assert lines[3] == "| hysac | 75.0 | 30.5 | - | - | - |"
    assert lines[6] == "| own | 12.5 | - | - | - | - |"
    assert (
        "1. HySAC (arXiv 2503.12127), table 1 [T], table 9 [T]: T\\*->I+I\\* R@1, on ViSU test"
        in found.markdown()
    )
    assert "whether other rows had one is unknown" in found.markdown()
    told = json.loads(json.dumps(found.as_json()))
    assert told["ours"] == list(ours.values())
    assert told["theirs"][0]["shares"] == [0.02, 0.305, 0.021, None, None]


def test_nothing_published_leaves_our_column_alone() -> None:
    found = side_by_side("separation/text/all/auroc", {"hysac": 0.9}, title="ours")
    assert found.theirs == ()
    assert found.markdown() == "| method | ours |\n| --- | ---: |\n| hysac | 90.0 |"


def test_a_complement_is_turned_into_our_figure() -> None:
    key = "real-unsafe/photos/unsafe_image->safe_text+unsafe_text/raw/harmful_top1"
    hysac, *_ = side_by_side(key, {"clip": 0.5}, title="ours").theirs
    assert hysac.shares == {"clip": 0.667}
    assert "as 100 minus what is printed" in hysac.source
    assert table("hysac/table-4").fraction("CLIP", "I2T NudeNet") == 0.333
    turned = {one.id for one in read() if any(column.complement for column in one.columns)}
    assert turned == {"hysac/table-4"}


# By themselves ------------------------------------------------------------------------------------


def test_a_table_is_rendered_with_source_grades_and_notes() -> None:
    text = markdown(table("shield-clip/table-7"))
    assert "ShieldCLIP (arXiv 2609.39688), table 7" in text
    assert "| LLaVA [A~] | 58.6 | 32.4 | 8.8 |" in text
    assert "- [A~] author's table whose cells were put back in order by us" in text
    assert "NSFW URLs ↓" in text
    thirteen = markdown(table("shield-clip/table-13"))
    assert "| SafeR-CLIP | 25.4 | 0.228 | - | - |" in thirteen
    assert "| MERU\\* |" in markdown(table("hysac/table-1"))
    assert "| HySAC | 0.443 |" in markdown(table("hysac/histogram"))


def test_a_table_as_json_keeps_absent_cells_absent() -> None:
    told = json.loads(json.dumps(published.as_json(table("shield-clip/table-8"))))
    row = next(row for row in told["rows"] if row["title"] == "CLIP")
    assert row["cells"] == [95.2, 90.9, None, None, None, 95.4, 90.5, 65.6, 57.4, 41.4]
    assert (row["method"], row["grade"], told["columns"][0]["better"]) == ("clip", "A~", "lower")


def test_the_listing_names_every_table() -> None:
    assert list(published.listing()) == [one.id for one in read()]
    assert published.listing()["hysac/table-3"] == (
        "Ablation of losses: HySAC (arXiv 2503.12127), table 3 (read in the paper's own tables or captions)"
    )


def test_lost_cells_have_no_value() -> None:
    eight = table("shield-clip/table-8")
    assert eight.value("CLIP", "T2I SMID") is None
    assert eight.fraction("ShieldCLIP", "T2I NudeNet") is None
    with pytest.raises(ConfigError, match="no row of shield-clip/table-8 is called 'UWM'"):
        eight.value("UWM", "T2I SMID")
    with pytest.raises(ConfigError, match="Did you mean 'hysac/table-1'"):
        table("hysac/table1")
    with pytest.raises(ConfigError, match="'FID' of shield-clip/table-11 is a number"):
        table("shield-clip/table-11").fraction("full", "FID")
