"""The few figures of a log line that stand beside a progress bar."""

from collections.abc import Mapping
from typing import Any

__all__ = ["headline"]


def headline(line: Mapping[str, Any]) -> str:
    """A line of a run's log in one or two short lines: the loss or the recall sum, and how the classes lie.

    >>> print(headline({"loss": 5.25, "auroc/text": 0.981, "auroc/image": 0.95}))
    loss 5.25. AUROC by root distance: text 0.98, image 0.95
    """
    name = "loss" if "loss" in line else "recall_sum"
    first = f"{name.replace('_', ' ')} {line[name]:.2f}"
    aurocs = [f"{m} {line[f'auroc/{m}']:.2f}" for m in ("text", "image") if f"auroc/{m}" in line]
    if aurocs:
        first += f". AUROC by root distance: {', '.join(aurocs)}"
    if "root_distance/safe_text" not in line:
        return first
    text, image, unsafe_text, unsafe_image = (
        f"{line[f'root_distance/{name}'][1]:.3f}"
        for name in ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
    )
    medians = f"safe text {text}, image {image}; unsafe text {unsafe_text}, image {unsafe_image}"
    return f"{first}\nmedian root distance: {medians}"
