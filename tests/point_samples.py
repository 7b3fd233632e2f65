"""Points that one can check by eye, for the tests of figures.

Row i lies on axis i of Lorentz space with curv = 1, so two points of one row are |r - s| apart, and two of
different rows are arccosh(cosh r cosh s) apart, which is more than either root distance.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.evaluation.keys import CLASSES
from hyperaware.evaluation.labels import labelled
from hyperaware.geometry.space import Lorentz

SPACE = Lorentz(1.0)


def on_axes(distances: list[float], axes: list[int] | None = None) -> Tensor:
    """Points at these root distances, the i-th on axis i or on `axes[i]`."""
    axes = list(range(len(distances))) if axes is None else axes
    return SPACE.lift(torch.tensor(distances).unsqueeze(1) * torch.eye(len(distances))[axes])


def row(name: str, **changes: object) -> Row:
    picture = Path("picture.png")
    plain = Row(
        id=name, split="test", safe_text="s", safe_image=picture, unsafe_text="u", unsafe_image=picture
    )
    return replace(plain, **changes)


def rows(count: int) -> list[Row]:
    return [row(f"row-{i}") for i in range(count)]


def mixed_points() -> tuple[Quadruplet, list[Row]]:
    """Five rows: `plain`; `missed` under both triggers; one with a safe text, one with a safe picture; and
    one, `near`, whose unsafe picture lies where redirected queries land."""
    members = [
        row("plain"),
        row("missed"),
        row("safe text", unsafe_text_is_unsafe=False),
        row("safe picture", unsafe_image_is_unsafe=False),
        row("near"),
    ]
    points = Quadruplet(
        safe_text=on_axes([0.4, 0.4, 0.4, 0.4, 0.4]),
        safe_image=on_axes([0.6, 0.6, 0.6, 0.6, 0.6]),
        unsafe_text=on_axes([1.0, 0.45, 0.3, 1.0, 1.0]),
        unsafe_image=on_axes([1.1, 0.46, 1.1, 0.95, 0.35]),
    )
    return labelled(points, members), members


def spread_points() -> tuple[Quadruplet, list[Row]]:
    """Four rows; in text one safe distance (0.6) lies above two unsafe ones; pictures are apart."""
    members = [
        row("a", category="hate"),
        row("b", category="hate", slice="dual-use"),
        row("c", category="violence"),
        row("d", category="violence", slice="dual-use"),
    ]
    points = Quadruplet(
        safe_text=on_axes([0.1, 0.2, 0.3, 0.6]),
        safe_image=on_axes([0.3, 0.4, 0.5, 0.72]),
        unsafe_text=on_axes([0.4, 0.5, 0.7, 0.8]),
        unsafe_image=on_axes([0.9, 1.0, 1.1, 0.74]),
    )
    return labelled(points, members), members


def quantile_points(medians: list[float]) -> Quadruplet:
    """Five points a class, 0.05 apart, around the medians of text, image, unsafe text, unsafe image."""
    steps = [-0.1, -0.05, 0.0, 0.05, 0.1]
    parts = {
        name: on_axes([median + step for step in steps])
        for name, median in zip(CLASSES, medians, strict=True)
    }
    return labelled(Quadruplet(**parts), rows(5))
