"""The public namespace: every `__all__` is sorted, complete in what it names, and names nothing private."""

import importlib
import subprocess
import sys

import pytest
from sources import modules

import hyperaware

EXPLICIT = sorted(name for name in modules() if "__all__" in modules()[name].read_text(encoding="utf-8"))


def test_nearly_every_module_says_what_is_public() -> None:
    assert len(EXPLICIT) > 45


@pytest.mark.parametrize("name", EXPLICIT)
def test_all_names_exist_are_sorted_and_public(name: str) -> None:
    module = importlib.import_module(name)
    names = list(module.__all__)
    assert [each for each in names if not hasattr(module, each)] == []
    assert names == sorted(names, key=_order), f"{name}.__all__ is not sorted"
    assert len(names) == len(set(names))
    assert [each for each in names if each.startswith("_") and each != "__version__"] == []


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions and modules: the order that ruff sorts `__all__` in."""
    if name.isupper():
        return 0, name
    return (1, name) if name[0].isupper() else (2, name)


def test_the_package_offers_its_packages_and_modules() -> None:
    children = {name.split(".")[1] for name in modules() if name.count(".") == 1}
    assert children - set(hyperaware.__all__) == {"__main__", "catalogue", "cli", "terminal"}
    assert set(hyperaware.__all__) - children == {"__version__", "load"}


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'hyperaware' has no attribute 'serch'"):
        _ = hyperaware.serch  # type: ignore[attr-defined]


def test_modules_of_packages_are_there_in_a_fresh_interpreter() -> None:
    named = "ha.moderation.bounds.load.__name__, ha.index.sqlite.SQLiteStore.__name__"
    code = f"import hyperaware as ha; print({named})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "load SQLiteStore\n"


def test_modules_and_load_come_on_demand() -> None:
    assert hyperaware.search.Searcher.__name__ == "Searcher"
    assert hyperaware.load.__module__ == "hyperaware.models.pretrained"
    assert hyperaware.__version__.count(".") == 2
    assert set(hyperaware.__all__) <= set(dir(hyperaware))
