"""Which pairs an edit is chosen by."""

from collections import Counter
from pathlib import Path

import pytest

from hyperaware.data.quadruplet import Row
from hyperaware.editing.calibration import drawn
from hyperaware.errors import ConfigError


def rows(**counts: int) -> list[Row]:
    picture = Path("picture.png")
    return [
        Row(f"{category}-{index}", "train", "s", picture, "u", picture, category=category)
        for category, count in counts.items()
        for index in range(count)
    ]


def test_categories_take_turns() -> None:
    found = drawn(rows(hate=50, drugs=50, violence=3), 21)
    assert Counter(row.category for row in found) == {"hate": 9, "drugs": 9, "violence": 3}
    assert len({row.id for row in found}) == 21


def test_the_seed_decides() -> None:
    all_rows = rows(hate=30, drugs=30)
    assert drawn(all_rows, 10) == drawn(all_rows, 10)
    assert drawn(all_rows, 10) != drawn(all_rows, 10, seed=1)
    whole = drawn(all_rows, None)
    assert whole != all_rows
    assert sorted(row.id for row in whole) == sorted(row.id for row in all_rows)
    assert len(drawn(all_rows, 1000)) == 60


def test_none_is_no_count() -> None:
    with pytest.raises(ConfigError, match="got 0 pairs to draw"):
        drawn(rows(hate=3), 0)
