"""What every test runs under: no network, few threads, and shapes checked at run time."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Before anything imports these packages: their annotations are checked on every call.
install_import_hook(["hyperaware.geometry", "hyperaware.losses", "hyperaware.metrics"], "beartype.beartype")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

FIXTURES = Path(__file__).parent / "parity" / "fixtures"


@pytest.fixture
def generator() -> torch.Generator:
    """A generator with the same seed in every test: `torch.randn(3, generator=generator)`."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of the numbers that published code gave on random inputs."""
    return FIXTURES


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Every array of `hysac_golden.npz`, in its own dtype. Do not write into them."""
    with np.load(FIXTURES / "hysac_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
