"""Published figures: they agree with each other where they must, and a wrong file is refused."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperaware.comparison import published
from hyperaware.comparison.published import (
    PublishedTable,
    beside,
    claim,
    claims,
    markdown,
    read,
    side_by_side,
    table,
)
from hyperaware.comparison.published_file import PublishedColumn, parse
from hyperaware.errors import ConfigError
from hyperaware.evaluation.keys import AWARENESS, REDIRECT, SAFE, UNSAFE
from hyperaware.metrics.safeground import CHANCE, frechet_violations
from hyperaware.world.concepts import CATEGORIES

IDS = [one.id for one in read()]
T2I, I2T = (f"redirect/{direction}/STATE/recall@1" for direction in REDIRECT)
ROUNDED = 0.05 + 1e-9
"""Half of the last digit that percentages are printed with."""


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def cells(one: PublishedTable, row: str, *columns: str) -> list[float]:
    """Cells by title, all columns where none is named; each must have a value."""
    found = [one.value(row, column) for column in columns or [column.title for column in one.columns]]
    assert None not in found
    return [value for value in found if value is not None]


# The file -----------------------------------------------------------------------------------------


def test_the_file_holds_what_it_promises() -> None:
    assert len(IDS) == 35
    assert sum(cell is not None for one in read() for row in one.rows for cell in row.cells) == 1536
    assert {one.paper.title for one in read()} == {"HySAC", "SafeR-CLIP", "ShieldCLIP", "UWM and SafeGround"}
    assert [f"hysac/table-{number}" for number in range(1, 11)] == IDS[:10]
    assert [f"shield-clip/table-{number}" for number in range(8, 13)] == [
        id for id in IDS if id.startswith("shield-clip")
    ][:5]


@pytest.mark.parametrize("id", IDS)
def test_rows_have_a_cell_for_each_column_and_known_grades(id: str) -> None:
    one = table(id)
    for row in one.rows:
        assert len(row.cells) == len(one.columns)
        assert row.grade in one.paper.grades
    assert one.grade in one.paper.grades


def test_cells_are_those_that_were_proofread() -> None:
    """Each was compared with the notes twice: who changes one must do so again, then change this digest."""
    told = json.dumps([[one.id, row.title, row.cells] for one in read() for row in one.rows])
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "aa8e32ea80a0317a"


def test_grades_are_those_of_the_notes() -> None:
    grades = {one.id: one.grade for one in read()}
    assert {id: grade for id, grade in grades.items() if id.startswith("hysac/table")} == {
        f"hysac/table-{number}": "T" for number in range(1, 11)
    }
    assert grades["hysac/histogram"] == "F"
    assert {grade for id, grade in grades.items() if id.startswith("safer-clip")} == {"B"}
    assert grades["shield-clip/table-8"] == "A~"
    assert {id: grade for id, grade in grades.items() if id.startswith("uwm")} == {
        "uwm/main": "P",
        "uwm/backbones": "P",
        "uwm/zero-shot": "P",
        "uwm/ablation": "N",
        "uwm/captions": "N",
    }
    put_back = {one.id: [row.title for row in one.rows if row.grade != one.grade] for one in read()}
    assert {id: rows for id, rows in put_back.items() if rows} == {
        "shield-clip/table-2-sd14": ["SafetyDPO", "DES", "ShieldCLIP"],
        "shield-clip/table-2-sdxl": ["Emb. Sanitizer", "Safe-CLIP", "SafetyDPO", "DES", "ShieldCLIP"],
        "shield-clip/table-7": ["LLaVA"],
    }


def test_every_key_is_one_of_ours() -> None:
    safe, unsafe, aware, redirect = ("|".join(map(re.escape, d)) for d in (SAFE, UNSAFE, AWARENESS, REDIRECT))
    recall, harmful = r"recall@(1|5|10|20)", "harmful_top1"
    pattern = re.compile(
        rf"safe/({safe})/{recall}|unsafe/({unsafe})/{recall}|awareness/({aware})/{recall}"
        rf"|redirect/({redirect})/STATE/({recall}|{harmful})"
        rf"|by-category/({'|'.join(CATEGORIES)})/({redirect})/STATE/recall@1"
        rf"|real-unsafe/GALLERY/({redirect})/STATE/{harmful}"
        rf"|safeground/({'|'.join(CHANCE)})|zero-shot/TASK/top1"
    )
    keys = [column.key for one in read() for column in one.columns if column.key is not None]
    assert len(keys) == 130
    assert [key for key in keys if not pattern.fullmatch(key)] == []


def test_keys_say_what_their_columns_do() -> None:
    """T2I, T->I and the like name the modality that asks; R@K and SafeGround's symbols are the key's."""
    asked = {"T": "text", "I": "image", "V": "image"}
    checked = 0
    for one in read():
        for column in one.columns:
            if column.key is None:
                continue
            if "->" in column.key:
                source = re.search(r"\b([TIV])(\*?->|2[IT]|_[su]-)", column.title)
                assert source is not None, (one.id, column.title)
                assert f"_{asked[source[1]]}->" in column.key, (one.id, column.title)
                checked += 1
            if "R@" in column.title:
                assert column.key.endswith("recall@" + column.title.rpartition("R@")[2]), (
                    one.id,
                    column.title,
                )
            if column.key.startswith("safeground/"):
                assert column.key == f"safeground/{column.title}"
    assert checked == 98


# Arithmetic ---------------------------------------------------------------------------------------


def test_shield_clip_quotes_hysac_on_real_images_as_the_complement() -> None:
    sources = [
        f"{direction} {source}" for direction in ("T2I", "I2T") for source in ("NudeNet", "NSFW URLs", "SMID")
    ]
    quoted = cells(table("shield-clip/table-8"), "HySAC", *sources)
    own = cells(table("hysac/table-4"), "HySAC", *sources)
    assert quoted == pytest.approx([100 - value for value in own])


def test_hysac_repeats_its_own_row() -> None:
    first = table("hysac/table-1")
    for id, row in (("hysac/table-3", "HySAC"), ("hysac/table-9", "HySAC"), ("hysac/table-10", "1")):
        titles = [column.title for column in table(id).columns]
        assert cells(table(id), row) == cells(first, "HySAC", *titles)
        keys = {column.title: column.key for column in first.columns}
        assert [column.key for column in table(id).columns] == [keys[title] for title in titles]


def test_bold_cells_are_the_best_of_their_columns() -> None:
    bold = {"hysac/table-1": {"HySAC": range(6, 12)}, "hysac/table-2": {"HySAC": range(12)}}
    bold |= {"hysac/table-4": {"HySAC": (0, 1, 3, 4, 5), "Safe-CLIP": (2,)}}
    bold |= {
        "safer-clip/retrieval": {"SafeR-CLIP": range(2)},
        "safer-clip/real-images": {"SafeR-CLIP": range(3)},
    }
    bold |= {
        "shield-clip/table-2-sd14": {"ShieldCLIP": (7, 15)},
        "shield-clip/table-4": {"ShieldCLIP": range(4)},
    }
    for id, best in bold.items():
        one = table(id)
        for title, indices in best.items():
            row = next(row for row in one.rows if row.title == title)
            for index in indices:
                pick = {"higher": max, "lower": min}[str(one.columns[index].better)]
                column = [row.cells[index] for row in one.rows]
                assert row.cells[index] == pick(cell for cell in column if cell is not None), (
                    id,
                    title,
                    index,
                )


def test_recall_grows_with_k() -> None:
    compared = 0
    for one in read():
        at: dict[str, list[int]] = {}
        for index, column in enumerate(one.columns):
            if "recall@" in str(column.key) and "->" in column.title:
                at.setdefault(column.title.rpartition("@")[0], []).append(index)
        for indices in at.values():
            for row in one.rows:
                recalls = [row.cells[index] or 0.0 for index in indices]
                assert recalls == sorted(recalls), (one.id, row.title)
                compared += len(recalls) - 1
    assert compared == 148


def test_hysac_tables_5_and_6_have_the_faults_that_their_notes_name() -> None:
    five, six = table("hysac/table-5"), table("hysac/table-6")
    for row in five.rows:
        accuracy, fpr, fnr = row.cells[:3]
        assert (accuracy, fpr) == (pytest.approx(100 - (fnr or 0.0)), 0.0)
    for row in six.rows:
        assert row.cells[0] == pytest.approx(100 - (row.cells[1] or 0.0))
    nude, mixed = ["NudeNet accuracy", "NudeNet FNR"], ["Mixed NSFW FPR", "Mixed NSFW FNR"]
    assert cells(five, "HySAC", *nude) == cells(six, "0.52", *nude)
    assert cells(five, "HySAC", *mixed) == cells(six, "0.53", *mixed)
    assert (five.value("HySAC", "Mixed NSFW accuracy"), six.value("0.53", "Mixed NSFW accuracy")) == (
        78.9,
        78.5,
    )
    assert cells(six, "0.54", *nude) == cells(six, "0.55", *nude)
    assert all(column.key is None for one in (five, six) for column in one.columns)


def test_safer_clip_differs_from_safe_clip_by_what_it_says() -> None:
    retrieval, zero_shot = table("safer-clip/retrieval"), table("safer-clip/zero-shot")
    new, old = cells(retrieval, "SafeR-CLIP"), cells(retrieval, "Safe-CLIP")
    assert [a - b for a, b in zip(new, old, strict=True)] == pytest.approx([13.4, 44.1])
    clip, safe, safer = (row.cells[0] or 0.0 for row in zero_shot.rows)
    assert [safer - safe, clip - safer, clip - safe] == pytest.approx([8.0, 14.1, 22.1])


def test_means_over_categories_hold_but_where_the_notes_say_otherwise() -> None:
    deviating = set()
    for id in ("shield-clip/table-2-sd14", "shield-clip/table-2-sdxl", "shield-clip/table-b2"):
        for row in table(id).rows:
            for start in range(0, len(row.cells), 8):
                categories = [cell for cell in row.cells[start : start + 7] if cell is not None]
                printed = row.cells[start + 7]
                assert printed is not None
                assert len(categories) in (0, 7)
                # Cells are rounded too, so a mean of means may be off by a digit.
                if categories and abs(mean(categories) - printed) > 2 * ROUNDED:
                    deviating.add((id.rpartition("-")[2], row.title))
    assert deviating == {
        *(("sd14", name) for name in ("Emb. Sanitizer", "SafeR-CLIP")),
        *(("sdxl", name) for name in ("SDXL", "ESD", "Emb. Sanitizer", "SafetyDPO", "ShieldCLIP")),
        ("b2", "SafeR-CLIP"),
    }


def test_shield_clip_repeats_itself_between_tables() -> None:
    eight, nine = table("shield-clip/table-8"), table("shield-clip/table-9")
    retrieval = ["T2I ViSUv2", "T2I ViSU", "I2T ViSUv2", "I2T ViSU"]
    means = ["ViSUv2 mean", "I2P mean"]
    generated = table("shield-clip/table-2-sd14")
    for row, method in (
        ("Safe-CLIP, trained on ViSU", "Safe-CLIP"),
        ("ShieldCLIP, trained on ViSUv2", "ShieldCLIP"),
    ):
        assert cells(nine, row) == cells(eight, method, *retrieval) + cells(generated, method, *means)
    assert cells(table("shield-clip/table-10"), "full") == cells(nine, "ShieldCLIP, trained on ViSUv2")
    eleven = cells(table("shield-clip/table-11"), "full")
    assert eleven[:3] == cells(
        nine, "ShieldCLIP, trained on ViSUv2", "T2I ViSUv2", "I2T ViSUv2", "generation ViSUv2"
    )
    assert eleven[3:] == cells(
        table("shield-clip/table-13"), "ShieldCLIP", "SD 1.4 FID", "SD 1.4 CLIP similarity"
    )
    other, by_category = table("shield-clip/tables-3-5-sd14"), table("shield-clip/table-b2")
    for method in (
        "SD 1.4",
        "SLD-Strong",
        "SalUn",
        "Safe-CLIP",
        "SafeR-CLIP",
        "SafetyDPO",
        "DES",
        "ShieldCLIP",
    ):
        assert other.value(method, "NN+Q16 ViSU") == by_category.value(method, "mean")
    guard, shield = table("shield-clip/table-4"), cells(table("shield-clip/table-4-by-category"), "SD 1.4")
    printed = cells(guard, "ShieldCLIP", "SD 1.4 I2P", "SD 1.4 ViSUv2")
    assert [mean(shield[:7]), mean(shield[7:])] == pytest.approx(printed, abs=ROUNDED)


def test_means_of_zero_shot_sets() -> None:
    sets = table("uwm/zero-shot")
    for row in sets.rows:
        *parts, printed = cells(sets, row.title)
        assert len(parts) == 17
        if row.title == "G-Safe-CLIP":
            assert (round(mean(parts), 2), printed) == (56.15, 56.3)
        else:
            assert mean(parts) == pytest.approx(printed, abs=ROUNDED)
        assert table("uwm/main").value(row.title, "zero-shot") == printed
    six = table("shield-clip/table-12")
    means = [mean(cells(six, row.title)) for row in six.rows]
    assert means == pytest.approx([80.2, 73.4, 77.1, 78.6], abs=ROUNDED)


def test_safeground_holds_the_bounds_that_its_definition_implies() -> None:
    rows = 0
    for id in ("uwm/main", "uwm/backbones"):
        one = table(id)
        for row in one.rows:
            figures = {name: one.fraction(row.title, name) or 0.0 for name in CHANCE}
            assert frechet_violations(figures, tolerance=0.0015) == [], row.title
            rows += 1
    assert rows == 15


def test_uwm_repeats_the_safe_recalls_of_hysac_and_itself() -> None:
    main, first = table("uwm/main"), table("hysac/table-1")
    for method in ("CLIP", "Safe-CLIP"):
        assert cells(main, method, "T_s-V_s", "V_s-T_s") == cells(first, method, "T->I R@1", "I->T R@1")
    for method in ("CLIP", "UWM"):
        assert cells(main, method, "V_s-T_s", "GS") == cells(table("uwm/ablation"), method)
    other = table("uwm/backbones")
    differ = [name for name in CHANCE if other.value("Safe-CLIP", name) != main.value("Safe-CLIP", name)]
    assert differ == ["P_v_s", "P_v_u"]


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
    found = side_by_side(T2I, ours, title="ours, world")
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
    assert list(published.listing()) == IDS
    assert published.listing()["hysac/table-3"] == "Ablation of losses: HySAC (arXiv 2503.12127), table 3 [T]"


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


# Claims -------------------------------------------------------------------------------------------

SUPPORT: dict[str, Callable[[], bool]] = {}


def supports(id: str) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    def enter(check: Callable[[], bool]) -> Callable[[], bool]:
        SUPPORT[id] = check
        return check

    return enter


def cited(id: str, column: str) -> dict[str, float]:
    """Row -> cell of the claim's figures in that column."""
    return {value.row.title: value.value for value in claim(id).figures if value.column.title == column}


@supports("hysac-redirects-best")
def _() -> bool:
    best = [cited("hysac-redirects-best", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")]
    kept = [cited("hysac-redirects-best", f"{c} R@1") for c in ("T*->I*", "I*->T*", "T*->I*+I", "I*->T*+T")]
    return all(max(one, key=lambda row: one[row]) == "HySAC" for one in best) and all(
        one["HySAC"] >= one["CLIP"] for one in kept
    )


@supports("safe-clip-loses-utility")
def _() -> bool:
    titles = ("mean of 11 sets", "zero-shot", "T*->I*+I R@1", "I*->T*+T R@1")
    return all(
        one["Safe-CLIP"] < one["CLIP"] - 15 for t in titles if (one := cited("safe-clip-loses-utility", t))
    )


@supports("safer-clip-keeps-utility")
def _() -> bool:
    compared = {value.column.title for value in claim("safer-clip-keeps-utility").figures}
    found = [cited("safer-clip-keeps-utility", title) for title in compared]
    return len(found) == 9 and all(one["SafeR-CLIP"] > one["Safe-CLIP"] for one in found)


@supports("uwm-needs-no-training")
def _() -> bool:
    safer = [
        cited("uwm-needs-no-training", t) for t in ("T_u-V_us", "V_u-T_us", "P_t_u", "P_v_u", "PU", "GS")
    ]
    kept = [cited("uwm-needs-no-training", title) for title in ("zero-shot", "PS")]
    return all(one["UWM"] > one["CLIP"] for one in safer) and all(
        one["UWM"] > one["Safe-CLIP"] for one in kept
    )


@supports("cosine-only-collapses")
def _() -> bool:
    found = [cited("cosine-only-collapses", title)["cosine only"] for title in ("T2I", "I2T")]
    return found == [0.0, 100.0]


@supports("safety-term-needed")
def _() -> bool:
    found = [cited("safety-term-needed", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")]
    return all(one["no safety term"] < 0.2 * one["HySAC"] for one in found)


@supports("aperture-scale-one-best")
def _() -> bool:
    found = [cited("aperture-scale-one-best", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")]
    return all(max(one, key=lambda row: one[row]) == "1" and len(one) == 7 for one in found)


@supports("hyperbolic-beats-euclidean")
def _() -> bool:
    titles = [f"{column} R@1" for column in ("T->I", "I->T", "T*->I+I*", "I*->T+T*")]
    found = [cited("hyperbolic-beats-euclidean", title) for title in titles]
    return all(one["HySAC"] > one["Euclidean HySAC"] for one in found)


@supports("root-distance-separates-classes")
def _() -> bool:
    lengths = [value.value for value in claim("root-distance-separates-classes").figures]
    return lengths == sorted(lengths) and len(set(lengths)) == 4


@supports("other-hyperbolic-do-not-redirect")
def _() -> bool:
    found = [
        cited("other-hyperbolic-do-not-redirect", f"{column} R@1") for column in ("T*->I+I*", "I*->T+T*")
    ]
    return all(max(one["MERU*"], one["HyCoCLIP*"]) < 0.2 * one["HySAC"] for one in found)


def test_every_claim_is_known_here() -> None:
    assert [one.id for one in claims()] == list(SUPPORT)
    with pytest.raises(ConfigError, match="no published claim is called"):
        claim("hysac-is-best")


@pytest.mark.parametrize("id", SUPPORT)
def test_the_figures_of_a_claim_say_what_it_says(id: str) -> None:
    assert SUPPORT[id]()


# A wrong file -------------------------------------------------------------------------------------

SMALL = """
[papers.p]
title = "P"
arxiv = "0000.00000"
grades = { T = "seen" }
[methods]
CLIP = "clip"
[[tables]]
id = "p/1"
where = "table 1"
caption = "c"
data = "d"
grade = "T"
columns = [{ title = "a", key = "safeground/PS", better = "higher" }, { title = "b", unit = "score" }]
[tables.rows]
CLIP = [50.0, "-"]
Other = [1, 0.5]
[[claims]]
id = "q"
sentence = "s"
paper = "p"
where = "table 1"
figures = [{ table = "p/1", rows = ["CLIP"], columns = ["a"] }]
"""


def test_a_small_file_is_read() -> None:
    found = parse(SMALL)
    assert [(row.cells, row.method) for row in found.tables[0].rows] == [
        ((50.0, None), "clip"),
        ((1.0, 0.5), None),
    ]
    assert found.claims[0].figures[0].ours == 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[papers.p]", "[papers.p", "is not TOML"),
        ("[methods]", "[method]", "Did you mean 'methods'"),
        ('where = "table 1"\ncaption', "caption", "p/1 lacks where"),
        ('data = "d"', 'date = "d"', "Did you mean 'data'"),
        ('data = "d"', "data = 1", "data is 1, expected str"),
        ('grade = "T"', 'grade = "U"', "no grade of P is called 'U'"),
        ('grade = "T"', 'grade = "T"\nrow_grades = { CLIP = "U" }', "no grade of P is called 'U'"),
        ('grade = "T"', 'grade = "T"\nrow_grades = { Clip = "T" }', "no row of row_grades is called 'Clip'"),
        ('id = "p/1"', 'id = "r/1"', "no paper .* is called 'r'"),
        ('[50.0, "-"]', "[50.0]", "expected one cell for each of 2 columns"),
        ('[50.0, "-"]', "50.0", "expected one cell for each of 2 columns"),
        ('[50.0, "-"]', '[100.1, "-"]', "got 100.1, expected a percent from 0 to 100"),
        ('[50.0, "-"]', '[-0.1, "-"]', "got -0.1, expected a percent"),
        ('[50.0, "-"]', '[nan, "-"]', "got nan, expected a percent"),
        ('[50.0, "-"]', '[true, "-"]', "got True, expected a percent"),
        ('[50.0, "-"]', '["50.0", "-"]', "got '50.0', expected a percent"),
        ("[1, 0.5]", "[1, 1.5]", "got 1.5, expected a score from 0 to 1"),
        ('unit = "score"', 'unit = "scores"', "Did you mean 'score'"),
        ('unit = "score"', 'unit = "score", key = "safeground/GS"', "a score has a key"),
        ('unit = "score"', 'unit = "score", complement = true', "the complement of what"),
        ('better = "higher"', 'better = "high"', "Did you mean 'higher'"),
        ('title = "b"', 'title = "a"', "'a' stands there twice"),
        ('rows = ["CLIP"]', 'rows = ["Clip"]', "no row of p/1 is called 'Clip'"),
        ('columns = ["a"] }', 'columns = ["b"] }', "which has no value"),
        ('rows = ["CLIP"]', "rows = []", "rests on no figure"),
        ('rows = ["CLIP"]', "rows = [1]", "got 1, expected text"),
        ('table = "p/1"', 'table = "p/2"', "Did you mean 'p/1'"),
        ('grades = { T = "seen" }', "grades = { T = 1 }", "T is 1, expected str"),
        ('CLIP = "clip"', "CLIP = 1", "CLIP is 1, expected str"),
    ],
)
def test_a_wrong_file_is_refused(old: str, new: str, message: str) -> None:
    assert SMALL.count(old) >= 1
    with pytest.raises(ConfigError, match=message):
        parse(SMALL.replace(old, new, 1))


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 1, expected a table"):
        parse("papers = {}\nmethods = {}\nclaims = []\ntables = [1]")


def test_repeated_tables_are_refused() -> None:
    text = Path(published.__file__).with_name("published.toml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape("'hysac/table-1' stands there twice")):
        parse(text.replace('id = "hysac/table-2"', 'id = "hysac/table-1"'))
