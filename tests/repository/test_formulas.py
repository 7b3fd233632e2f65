"""docs/formulas.md names functions: each of them exists, and every formula of the geometry is in it."""

import importlib
import re
from pathlib import Path

from hyperaware.geometry import lorentz

PAGE = Path(__file__).parents[2] / "docs" / "formulas.md"
NAMES = re.findall(r"`(hyperaware\.[\w.]+)`", PAGE.read_text(encoding="utf-8"))


def _resolve(name: str) -> object:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{name} cannot be imported")


def test_every_function_of_the_table_exists() -> None:
    assert len(NAMES) >= 25
    assert all(callable(found) or isinstance(found, property) for found in map(_resolve, NAMES))


def test_every_formula_of_the_geometry_is_in_the_table() -> None:
    listed = {name.rpartition(".")[2] for name in NAMES if name.startswith("hyperaware.geometry.lorentz")}
    assert set(lorentz.__all__) - listed == {"geodesic"}  # no paper's symbol: our own, for pictures
