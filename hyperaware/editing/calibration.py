"""The pairs that an edit is chosen by: drawn at random, evenly over the categories of what is unsafe."""

import random
from collections import defaultdict
from collections.abc import Sequence

from hyperaware.data.quadruplet import Row
from hyperaware.errors import ConfigError

__all__ = ["drawn"]


def drawn(rows: Sequence[Row], count: int | None, *, seed: int = 0) -> list[Row]:
    """`count` rows (None: all) in a random order, as many of each category as there are, none twice.

    UWM's paper draws 400 pairs for each of 20 categories (its code one shuffle of all rows). Categories take
    turns until the count is reached; one that has no row left is passed over.

    Raises:
        ConfigError: the count is not positive.
    """
    if count is not None and count < 1:
        raise ConfigError(f"got {count} pairs to draw, expected at least one.")
    chance = random.Random(seed)
    by_category: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_category[row.category or ""].append(row)
    for members in by_category.values():
        chance.shuffle(members)
    turns = sorted(
        (turn, category) for category, members in by_category.items() for turn in range(len(members))
    )
    chosen = [by_category[category][turn] for turn, category in turns[:count]]
    chance.shuffle(chosen)
    return chosen
