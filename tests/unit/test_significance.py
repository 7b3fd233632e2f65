"""Best and ties, on outcomes that one can count."""

from dataclasses import replace

import pytest
import torch
from comparison_samples import entry
from moderation_samples import sample_bounds

from hyperaware.comparison.headline import HARMFUL_SERVED, Figure
from hyperaware.comparison.significance import gap, standing
from hyperaware.errors import DataError

NAN = float("nan")
FIGURE = Figure("found", "found")
MANY = 40


def test_the_best_its_ties_and_the_others() -> None:
    """40 rows: 40, 39 and 20 successes. One row apart can be chance, 20 cannot."""
    entries = [
        entry("half", {"found": [0.0] * 20 + [1.0] * 20}),
        entry("best", {"found": [1.0] * MANY}),
        entry("near", {"found": [0.0] + [1.0] * (MANY - 1)}),
    ]
    found = standing(entries, FIGURE, lower_is_better=False)
    assert found is not None
    assert (found.best, found.ties, found.rows) == ("best", ("near",), MANY)
    assert found.gaps["half"].value == pytest.approx(-0.5)
    assert found.gaps["half"].high < 0
    reverse = standing(entries, FIGURE, lower_is_better=True)
    assert reverse is not None
    assert (reverse.best, reverse.ties) == ("half", ())


def test_pairs_count_and_not_only_means() -> None:
    """Two rows apart of 40 with the same noise: always the same sign, where unpaired intervals overlap."""
    noise = torch.rand(MANY, generator=torch.Generator().manual_seed(0)).tolist()
    below = entry("below", {"found": noise})
    above = entry("above", {"found": [value + 0.01 for value in noise]})
    found = standing([below, above], FIGURE, lower_is_better=False)
    assert found is not None
    assert (found.best, found.ties) == ("above", ())
    interval = gap(above, below, FIGURE)
    assert interval is not None
    assert interval.low == pytest.approx(0.01)


def test_rows_that_do_not_ask_are_left_out() -> None:
    first = entry("first", {"found": [1.0, NAN, 1.0, NAN]})
    second = entry("second", {"found": [0.0, NAN, 0.0, NAN]})
    found = standing([first, second], FIGURE, lower_is_better=False)
    assert found is not None
    assert found.rows == 2
    assert found.gaps["second"].value == -1


def test_other_rows_are_an_error_and_not_a_comparison() -> None:
    first = entry("first", {"found": [1.0, NAN, 1.0]})
    second = entry("second", {"found": [1.0, 0.0, NAN]})
    with pytest.raises(DataError, match="2 of 3 rows ask second, other ones"):
        standing([first, second], FIGURE, lower_is_better=False)
    with pytest.raises(DataError, match="measure both on the same rows"):
        gap(first, entry("longer", {"found": [1.0, NAN, 1.0, 1.0]}), FIGURE)


def test_outcomes_that_are_not_those_of_the_figure_are_refused() -> None:
    wrong = entry("wrong", {"found": [1.0, 0.0]})
    wrong = replace(wrong, runs=(replace(wrong.runs[0], figures={"found": 0.6}),))
    with pytest.raises(DataError, match=r"wrong: the outcomes of found have the mean 0\.5"):
        standing([wrong, entry("right", {"found": [1.0, 0.0]})], FIGURE, lower_is_better=False)


def test_a_method_that_redirects_stands_by_what_it_serves() -> None:
    """Raw it is as harmful as the other one; redirected it is not."""
    figure = HARMFUL_SERVED.figures[0]
    assert figure.redirected is not None
    plain = entry("plain", {figure.raw: [1.0] * MANY})
    moved = entry(
        "moved", {figure.raw: [1.0] * MANY, figure.redirected: [0.0] * MANY}, bounds=sample_bounds()
    )
    found = standing([plain, moved], figure, lower_is_better=HARMFUL_SERVED.lower_is_better)
    assert found is not None
    assert (found.best, found.ties) == ("moved", ())


def test_figures_without_outcomes_have_no_standing() -> None:
    entries = [entry("one", {"auroc": 0.5}), entry("two", {"auroc": 0.9})]
    assert standing(entries, Figure("", "auroc"), lower_is_better=False) is None
    assert gap(*entries, Figure("", "auroc")) is None
    assert standing([entry("alone", {"found": [1.0]})], FIGURE, lower_is_better=False) is None


def test_none_is_called_best_while_the_outcomes_of_one_are_missing() -> None:
    known = [entry("one", {"found": [0.0] * MANY}), entry("two", {"found": [1.0] * MANY})]
    assert standing([*known, entry("unknown", {"found": 1.0})], FIGURE, lower_is_better=False) is None
    assert standing([*known, entry("without", {})], FIGURE, lower_is_better=False) is not None
