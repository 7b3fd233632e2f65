"""Published figures: graded as in the notes, keyed as ours, and in agreement with each other."""

import hashlib
import json
import re

import pytest

from hyperaware.comparison.published import PublishedTable, read, table
from hyperaware.evaluation.keys import AWARENESS, REDIRECT, SAFE, UNSAFE
from hyperaware.metrics.safeground import CHANCE, frechet_violations
from hyperaware.world.concepts import CATEGORIES

IDS = [one.id for one in read()]
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
