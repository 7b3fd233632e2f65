"""Rows of several processes: two processes train as one does on the whole batch."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing

from hyperaware import distributed
from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Sphere
from hyperaware.methods.shield_clip import ShieldCLIP

PARTS = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
ROWS, PROCESSES = 8, 2
TEXT = torch.tensor([True, False, True, False, True, True, False, True])
IMAGE = torch.tensor([True, False, False, True, True, False, False, True])


def test_in_one_process_it_is_the_tensor_itself() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather(x) is x


def step(part: slice) -> dict[str, Tensor]:
    """Loss terms, and the gradient of a shared weight, of the given rows."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> dict[str, Tensor]:
        return {name: torch.randn(ROWS, 6, generator=generator, dtype=torch.float64)[part] for name in PARTS}

    weight = torch.randn(6, 6, generator=generator, dtype=torch.float64).requires_grad_()
    features, reference = draw(), draw()
    points = Quadruplet(
        **{name: Sphere().lift(rows @ weight) for name, rows in features.items()},
        unsafe_text_is_unsafe=TEXT[part],
        unsafe_image_is_unsafe=IMAGE[part],
    )
    method = ShieldCLIP()
    terms = method.terms(
        points, space=Sphere(), logit_scale=10.0, reference=Quadruplet(**reference).map(Sphere().lift)
    )
    torch.stack([method.weight(name) * term for name, term in terms.items()]).sum().backward()
    assert weight.grad is not None
    return {name: term.detach() for name, term in terms.items()} | {"gradient": weight.grad}


def work(rank: int, folder: str) -> None:
    """One of the processes: its share of the rows, and gradients averaged as data-parallel training does."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES
    )
    size = ROWS // PROCESSES
    found = step(slice(rank * size, (rank + 1) * size))
    torch.distributed.all_reduce(found["gradient"])
    found["gradient"] /= PROCESSES
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_are_one_process_on_the_whole_batch(tmp_path: Path) -> None:
    multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=PROCESSES)
    whole = step(slice(None))
    alone = step(slice(0, ROWS // PROCESSES))
    for rank in range(PROCESSES):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == whole.keys()
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)
    assert not torch.allclose(alone["gradient"], whole["gradient"], atol=1e-3)  # the other rows do matter
