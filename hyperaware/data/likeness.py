"""Pictures that look the same although their bytes differ: re-encoded, scaled."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

__all__ = ["Look", "alike", "look"]

Look = tuple[int, bytes]
"""The difference hash, 64 bits, and the picture at 8 x 8 pixels of RGB."""

MAX_BITS = 3
MAX_DIFFERENCE = 4.0
BANDS = 4
"""Hashes that differ in at most 3 of 64 bits agree in at least one of 4 bands of 16."""


def look(image: Image.Image) -> Look:
    """What `alike` compares: the signs of 64 differences between neighbours (dHash), and a small copy."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), "big"), image.resize((8, 8), Image.Resampling.BOX).tobytes()


def alike(looks: Sequence[Look]) -> list[list[int]]:
    """Groups of indices, in order, of pictures that look the same, each as some other one of its group.

    Two look the same if their hashes differ in at most 3 bits, and their small copies by at most 4 of 255 on
    average: flat pictures of different colours have the same hash. Only pictures with a band in common are
    compared, and none with one of its own group again.
    """
    hashes = np.array([bits for bits, _ in looks], dtype=np.uint64)
    copies = np.array([np.frombuffer(copy, np.uint8) for _, copy in looks])
    group = np.arange(len(looks))
    members = {index: [index] for index in range(len(looks))}
    for band in range(BANDS):
        keys = (hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for place, one in enumerate(bucket[:-1]):
                later = bucket[place + 1 :]
                near = later[np.bitwise_count(hashes[later] ^ hashes[one]) <= MAX_BITS]
                others = near[group[near] != group[one]]
                apart = np.abs(copies[others].astype(np.int16) - copies[one]).mean(axis=1)
                for two in others[apart <= MAX_DIFFERENCE]:
                    _join(int(group[one]), int(group[two]), group, members)
    return sorted(sorted(found) for found in members.values() if len(found) > 1)


def _join(one: int, two: int, group: np.ndarray, members: dict[int, list[int]]) -> None:
    """Put two groups together, the smaller one into the larger."""
    if one == two:
        return
    keep, gone = (one, two) if len(members[one]) >= len(members[two]) else (two, one)
    moved = members.pop(gone)
    group[moved] = keep
    members[keep] += moved
