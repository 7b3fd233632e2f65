"""What several tests of training start from; a file whose rows are others has fixtures of its own."""

from pathlib import Path

import pytest
from model_samples import random_rows, tiny_model
from training_samples import Train, trainer

from hyperaware.evaluation.examples import Examples


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Ten rows: two batches of four in an epoch, and two left over."""
    return Examples(random_rows(tmp_path_factory.mktemp("rows"), 10), model=tiny_model())


@pytest.fixture
def train(examples: Examples, tmp_path: Path) -> Train:
    """`fit` of a fresh tiny model on `examples`, into a folder of the test."""
    return trainer(examples, tmp_path)
