"""A toy model, a folder of data and an index, made once by the command line itself."""

from pathlib import Path

import pytest
from command_line import run

RECIPE = """
name = "toy"
method = "hysac"

[settings]
lora_rank = "none"
start_norm = 0.45
radial_order = 1.0

[towers]
image_size = 24
vision_width = 16
vision_layers = 1
vision_heads = 2
text_width = 16
text_layers = 1
text_heads = 2
projection = 16
vocab_size = 400

[training]
steps = 4
batch_size = 16
evaluate_every = 2
log_every = 1

[data.train]
split = "train"
count = 32

[data.validation]
split = "validation"
count = 60

[data.calibration]
split = "calibration"
count = 60
"""


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy.toml, world/ (drawn slices), model/, and data/ (12 rows of the test split)."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "toy.toml").write_text(RECIPE)
    trained = run("train", folder / "toy.toml", "--out", folder / "model", "--world", folder / "world")
    assert trained.exit_code == 0, trained.output
    exported = run("world", "export", folder / "data", "--split", "test", "--count", 12)
    assert exported.exit_code == 0, exported.output
    return folder


@pytest.fixture(scope="session")
def index(workplace: Path) -> Path:
    """An index of the workplace's data; tests that change one make their own."""
    folder = workplace / "index"
    added = run("index", "add", folder, workplace / "data", "--model", workplace / "model")
    assert added.exit_code == 0, added.output
    return folder
