"""Pictures that look the same although their bytes differ: re-encoded, scaled."""

from collections import defaultdict
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


def alike(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Pairs of indices, smaller first, of pictures that look the same.

    Their hashes differ in at most 3 bits, and their small copies by at most 4 of 255 on average: flat
    pictures of different colours have the same hash. Only pictures with a band in common are compared.
    """
    hashes = np.array([bits for bits, _ in looks], dtype=np.uint64)
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (bits, _) in enumerate(looks):
        for band in range(BANDS):
            buckets[band, bits >> 16 * band & 0xFFFF].append(index)
    found = set()
    for members in buckets.values():
        within = hashes[members]
        for place, one in enumerate(members[:-1]):
            near = np.bitwise_count(within[place + 1 :] ^ within[place]) <= MAX_BITS
            for later in near.nonzero()[0].tolist():
                two = members[place + 1 + later]
                if _difference(looks[one], looks[two]) <= MAX_DIFFERENCE:
                    found.add((one, two))
    return sorted(found)


def _difference(one: Look, two: Look) -> float:
    first, second = (np.frombuffer(copy, np.uint8).astype(np.int16) for _, copy in (one, two))
    return float(np.abs(first - second).mean())
