"""Bounds with round numbers, for the tests of everything that decides by bounds."""

from typing import Any

from hyperaware.moderation.bounds import Bounds, ClassBounds


def class_bounds(median: float = 0.5) -> ClassBounds:
    return ClassBounds(low_05=0.9 * median, median=median, mean=median, up_95=1.1 * median, n=100)


def sample_bounds(**changes: Any) -> Bounds:
    """Texts are unsafe above 0.5, images above 0.7; a query lands at 0.2 among texts, at 0.3 among images."""
    values: dict[str, Any] = {
        "safe_text": class_bounds(0.4),
        "safe_image": class_bounds(0.6),
        "unsafe_text": class_bounds(0.8),
        "unsafe_image": class_bounds(0.9),
        "trigger": {"text": 0.5, "image": 0.7},
        "limit": {"text": 0.55, "image": 0.75},
        "landing": {"text": 0.2, "image": 0.3},
        "miss_rate": 0.02,
        "alpha": 0.05,
        "trigger_false_positive_rate": {"text": 0.1, "image": 0.1},
        "limit_miss_rate": {"text": 0.04, "image": 0.04},
        "model_fingerprint": "model-a",
        "data_fingerprint": "data-a",
        "split": "calibration",
    }
    return Bounds(**{**values, **changes})
