"""All figures together, and the protocol that each belongs to."""

from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache

import pytest
import torch
from moderation_samples import sample_bounds
from point_samples import SPACE, rows, spread_points

from hyperaware.data.quadruplet import Box, Quadruplet, Row
from hyperaware.errors import ConfigError
from hyperaware.evaluation.classification import classification
from hyperaware.evaluation.keys import CLASSES, Figures
from hyperaware.evaluation.labels import labelled
from hyperaware.evaluation.protocols import evaluate
from hyperaware.evaluation.real_unsafe import real_unsafe
from hyperaware.evaluation.sources import PROTOCOLS, figures_of_protocols, protocol_of
from hyperaware.evaluation.suite import figures_of
from hyperaware.evaluation.zero_shot import ClassPoints

BOUNDS = sample_bounds()
KING = {"subject": ClassPoints(("an owl", "a king", "a fish"), torch.eye(4)[[3, 0, 1]])}


def others(count: int, seed: int) -> Quadruplet:
    """Labelled points of other rows, in four coordinates."""
    parts = 0.3 * torch.randn(4, count, 4, generator=torch.Generator().manual_seed(seed))
    return labelled(Quadruplet(**dict(zip(CLASSES, SPACE.lift(parts), strict=True))), rows(count))


def members() -> tuple[Quadruplet, list[Row]]:
    """The last picture, on the fourth axis, shows a king; the others have no boxes."""
    points, rows = spread_points()
    return points, [*rows[:3], replace(rows[3], safe_boxes=(Box("a king", 0, 0, 1, 1),))]


@cache
def everything() -> Figures:
    """All that there is. The class on the axis of the picture of a king is that of owls."""
    points, rows = members()
    return figures_of(
        points,
        rows,
        space=SPACE,
        bounds=BOUNDS,
        calibration=others(10, 0),
        galleries={"other": others(20, 1)},
        zero_shot=KING,
    )


def test_figures_are_those_of_the_parts() -> None:
    points, rows = members()
    figures = everything()
    added = {
        "zero-shot/subject/top1": 0.0,
        "zero-shot/subject/chance": 1 / 3,
        "count/zero-shot/subject": 1,
    }
    assert figures == pytest.approx(
        evaluate(points, rows, space=SPACE, bounds=BOUNDS)
        | classification(points, others(10, 0), space=SPACE)
        | real_unsafe(points, {"other": others(20, 1)}, space=SPACE, bounds=BOUNDS)
        | added
    )


def test_what_was_not_given_is_absent() -> None:
    points, rows = members()
    assert figures_of(points, rows, space=SPACE, bounds=None) == evaluate(
        points, rows, space=SPACE, bounds=None
    )


def test_every_figure_belongs_to_exactly_one_protocol_and_every_protocol_has_figures() -> None:
    found = set()
    for key in everything():
        owners = [
            name
            for name, protocol in PROTOCOLS.items()
            if any(fnmatchcase(key, pattern) for pattern in protocol.keys)
        ]
        assert len(owners) == 1, (key, owners)
        assert owners == [protocol_of(key)]
        found.add(owners[0])
    studies = {name for name, protocol in PROTOCOLS.items() if not protocol.keys}
    assert studies == {"aperture-sweep", "loss-ablation"}
    assert found == set(PROTOCOLS) - studies


def test_every_protocol_names_its_source_and_what_differs() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.source == "our own" or "arXiv" in protocol.source
        assert protocol.differs.endswith(".")


def test_a_key_of_no_protocol_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'new/figure' belongs to no protocol"):
        protocol_of("new/figure")


def test_figures_of_some_protocols_come_with_their_counts() -> None:
    figures = everything()
    chosen = figures_of_protocols(figures, ["safeground", "harmful-top-1"])
    assert {key.split("/")[0] for key in chosen} == {"safeground", "redirect", "count"}
    assert not [key for key in chosen if key.startswith("redirect/") and not key.endswith("/harmful_top1")]
    assert chosen.items() <= figures.items()


@pytest.mark.parametrize(
    ("name", "message"),
    [("safeguard", "Did you mean 'safeground'?"), ("aperture-sweep", "is a study that trains models")],
)
def test_protocols_that_have_no_figures_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        figures_of_protocols({}, [name])
