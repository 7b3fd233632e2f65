"""Imports go down: the table in docs/architecture.md is compared with every import of the package."""

from functools import cache
from typing import NamedTuple

import pytest
from sources import ROOT, imported, modules

HEAD = "| layer | package | modules, each before those that import it | may also import |"


class Place(NamedTuple):
    """Where a module stands: its layer, its row, its position in the row, and the row's exceptions."""

    layer: int
    row: int
    position: int
    exceptions: frozenset[str]


@cache
def table() -> dict[str, Place]:
    """Each module's place. A package's own `__init__` comes after all of its modules."""
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    places: dict[str, Place] = {}
    for row, line in enumerate(lines[lines.index(HEAD) + 2 :]):
        if not line.startswith("|"):
            break
        layer, package, names, exceptions = (cell.strip() for cell in line.strip("|").split("|"))
        prefix = "hyperaware" if package == "`hyperaware`" else f"hyperaware.{package.strip('`')}"
        whole = [f"{prefix}.{name.strip()}" for name in names.replace("\\_", "_").split(",")]
        whole += [prefix] if prefix != "hyperaware" else []
        also = frozenset(f"hyperaware.{name.strip(' `')}" for name in exceptions.split(",") if name)
        for position, name in enumerate(whole):
            assert name not in places, f"{name} stands twice in the table"
            places[name] = Place(int(layer), row, position, also)
    return places


def test_every_module_stands_in_the_table_and_the_table_names_nothing_else() -> None:
    there = set(modules()) - {"hyperaware"}
    assert len(there) > 50
    assert there == set(table())


@pytest.mark.parametrize("name", sorted(set(modules()) - {"hyperaware"}))
def test_a_module_imports_only_what_stands_below_it(name: str) -> None:
    here = table()[name]
    wrong = [target for target in sorted(imported(name)) if not may_import(here, target)]
    assert not wrong, f"{name} (layer {here.layer}) imports {wrong}, which do not stand below it"


def may_import(here: Place, target: str) -> bool:
    there = table()[target]
    if there.row == here.row:
        return there.position < here.position
    package = ".".join(target.split(".")[:2])
    return there.layer < here.layer or package in here.exceptions


def test_the_judge_of_imports_refuses_what_goes_up_or_aside() -> None:
    lorentz, space, loop = (
        table()[f"hyperaware.{name}"] for name in ("geometry.lorentz", "geometry.space", "training.loop")
    )
    assert may_import(space, "hyperaware.geometry.lorentz")
    assert not may_import(lorentz, "hyperaware.geometry.space")
    assert not may_import(lorentz, "hyperaware.media.images")
    assert not may_import(loop, "hyperaware.search")
    assert may_import(table()["hyperaware.world.export"], "hyperaware.data.folder")
    assert not may_import(table()["hyperaware.data.folder"], "hyperaware.world.export")
