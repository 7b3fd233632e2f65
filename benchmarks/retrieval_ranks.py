"""Ranks by counting against ranks by a full argsort: CPU time, extra memory, and that they are the same.

    OMP_NUM_THREADS=1 nice -n 10 python -m benchmarks.retrieval_ranks

5,000 queries, 10,000 items, random unit vectors of 128 coordinates; every query looks for one item. Extra
memory is measured in a process of its own for each way.
"""

import json
import sys
from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import cpu_seconds, extra_memory, in_new_process, write_result
from hyperaware.geometry.space import Sphere
from hyperaware.metrics.retrieval import ranks
from hyperaware.terminal import table

QUERIES, ITEMS, DIM = 5_000, 10_000, 128
FASTER, SMALLER = 3.0, 0.1
"""What is asked for: at least so many times faster, at most that share of the extra memory."""
REPEATS = 3


def points() -> tuple[Tensor, Tensor, Tensor]:
    """Queries, items, and the index of each query's item; some items lie in one place, so there are ties."""
    generator = torch.Generator().manual_seed(0)
    queries = Sphere().lift(torch.randn(QUERIES, DIM, generator=generator))
    items = Sphere().lift(torch.randn(ITEMS, DIM, generator=generator))
    items[1::50] = items[::50]
    return queries, items, torch.randint(ITEMS, (QUERIES,), generator=generator)


def counted(queries: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    return ranks(queries, items, targets, Sphere().similarity)


def sorted_for(queries: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Sort all items for every query, stably, and look where its own came to stand."""
    order = Sphere().similarity(queries, items).argsort(dim=1, descending=True, stable=True)
    return 1 + (order == targets.unsqueeze(1)).to(torch.uint8).argmax(dim=1)


WAYS = {"counting": counted, "argsort": sorted_for}


def main() -> None:
    torch.set_num_threads(1)
    given = points()
    if len(sys.argv) > 1:
        way = WAYS[sys.argv[1]]
        way(*(part[:10] if index != 1 else part for index, part in enumerate(given)))  # loads what it needs
        print(json.dumps(extra_memory(lambda: way(*given))))
        return
    found = {name: way(*given) for name, way in WAYS.items()}
    seconds = {
        name: min(cpu_seconds(partial(way, *given)) for _ in range(REPEATS)) for name, way in WAYS.items()
    }
    memory = {name: in_new_process("benchmarks.retrieval_ranks", name) for name in WAYS}
    faster = seconds["argsort"] / seconds["counting"]
    share = memory["counting"] / memory["argsort"]
    same = torch.equal(*found.values())
    rows = [[name, f"{seconds[name]:.3f}", f"{memory[name] / 2**20:.1f}"] for name in WAYS]
    table(["ranks by", "CPU seconds", "extra MiB"], rows, title=f"{QUERIES} queries, {ITEMS} items")
    print(
        f"\nsame ranks: {same}; {faster:.1f} times faster (asked: {FASTER}); {share:.3f} of the memory "
        f"(asked: under {SMALLER})"
    )
    passed = same and faster >= FASTER and share < SMALLER
    document = {
        "queries": QUERIES,
        "items": ITEMS,
        "dim": DIM,
        "cpu_seconds": seconds,
        "extra_bytes": memory,
        "times_faster": faster,
        "share_of_memory": share,
        "same_ranks": same,
        "passed": passed,
    }
    print(f"Written: {write_result('retrieval_ranks', document)}")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
