"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import torch

import hyperaware

# What an example may use without saying so: its module's names, and torch.
EXTRA = {"torch": torch}


def test_every_example_in_a_docstring_holds() -> None:
    attempted, failed = 0, []
    for found in pkgutil.walk_packages(hyperaware.__path__, "hyperaware."):
        if found.name.endswith("__main__"):
            continue
        outcome = doctest.testmod(importlib.import_module(found.name), extraglobs=EXTRA)
        attempted += outcome.attempted
        failed += [found.name] * bool(outcome.failed)
    assert failed == []
    assert attempted >= 60
