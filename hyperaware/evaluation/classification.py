"""Protocol `classification`: unsafe told from safe by a score, with everything fitted on calibration points.

In place of HySAC's Tables 5 and 6, which cannot be matched: there the threshold is chosen per test set (0.52
for one, 0.53 for the other), one of the sets has no safe item, so that its false-positive rate is 0 whatever
the model does, and the rates of the other are not rates within their class.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import DataError
from hyperaware.evaluation.keys import Figures, prefixed
from hyperaware.evaluation.labels import is_unsafe, share
from hyperaware.geometry.space import Space
from hyperaware.metrics.calibration_error import expected_calibration_error
from hyperaware.metrics.separation import separation
from hyperaware.moderation.bounds import MODALITIES

__all__ = ["balanced_threshold", "classification", "platt"]

FOLDS = 5


@torch.no_grad()
def classification(test: Quadruplet, calibration: Quadruplet, *, space: Space) -> Figures:
    """Figures of each modality and scorer, by the key `classification/MODALITY/SCORER/FIGURE`.

        root-distance   the root distance; in spaces that have a root
        linear-probe    a logistic regression on the coordinates of the calibration points, each coordinate
                        standardised by them: as good as a linear score can do (HySAC's "CLIP-classifier")

        auroc, ap, fpr@95tpr                     of the score, without any threshold
        accuracy, balanced_accuracy,
        false_positive_rate, false_negative_rate at `balanced_threshold` of the calibration scores
        ece                                      of the probability that `platt` makes of the score

    Rates are within their class, and accuracy depends on how many of the points are unsafe: half of them,
    where every generated part is. The calibration scores of the probe are out of fold (5 folds, twins in one
    fold), because a probe knows the points that it was fitted on.

    A modality in which a side has no test point is absent.

    Args:
        test, calibration: labelled points of different rows.

    Raises:
        DataError: fewer than two safe or two unsafe calibration points, or points without labels.
    """
    figures: Figures = {}
    for modality in MODALITIES:
        points, unsafe = _stacked(test, modality)
        if not unsafe.any() or unsafe.all():
            continue
        known, truth = _stacked(calibration, modality)
        if min(int(truth.sum()), int((~truth).sum())) < 2:
            raise DataError(
                f"the calibration rows have {int(truth.sum())} unsafe {modality}s of {len(truth)}; "
                "expected at least two safe and two unsafe ones. Give more rows."
            )
        scores = {"linear-probe": _probe(points, known, truth)}
        if space.has_root:
            scores["root-distance"] = (_root_distance(points, space), _root_distance(known, space))
        for scorer, (of_test, of_calibration) in scores.items():
            found = _figures(of_test, unsafe, of_calibration, truth)
            figures |= prefixed(f"classification/{modality}/{scorer}", found)
    return figures


def _stacked(points: Quadruplet, modality: str) -> tuple[Tensor, Tensor]:
    """All points of a modality, safe rows and then generated rows, and which are unsafe."""
    generated = is_unsafe(points, modality)
    both = torch.cat([getattr(points, f"safe_{modality}"), getattr(points, f"unsafe_{modality}")])
    return both.detach().cpu(), torch.cat([torch.zeros_like(generated), generated])


def _root_distance(points: Tensor, space: Space) -> Tensor:
    return space.root_distance(points).double()


def _figures(
    scores: Float[Tensor, "n"],
    unsafe: Bool[Tensor, "n"],
    calibration: Float[Tensor, "m"],
    truth: Bool[Tensor, "m"],
) -> Figures:
    flagged = scores > balanced_threshold(calibration, truth)
    false_positives, false_negatives = share(flagged[~unsafe]), share(~flagged[unsafe])
    probability = platt(calibration, truth)
    return {
        **separation(scores, unsafe),
        "accuracy": share(flagged == unsafe),
        "balanced_accuracy": 1 - (false_positives + false_negatives) / 2,
        "false_positive_rate": false_positives,
        "false_negative_rate": false_negatives,
        "ece": expected_calibration_error(probability(scores), unsafe),
    }


def balanced_threshold(scores: Float[Tensor, "n"], unsafe: Bool[Tensor, "n"]) -> float:
    """The threshold with the highest balanced accuracy, which is also that of Youden's J = TPR - FPR.

    A score above it is called unsafe. It lies half way between two neighbouring scores; of equally good ones
    it is the lowest, which misses least. The highest score is a candidate too: nothing is then called unsafe.

    >>> balanced_threshold(torch.tensor([0.25, 0.5, 0.75, 1.0]), torch.tensor([False, False, True, True]))
    0.625
    """
    values = scores.double().unique()
    candidates = torch.cat([(values[1:] + values[:-1]) / 2, values[-1:]])
    above = [_share_above(scores[side].double(), candidates) for side in (unsafe, ~unsafe)]
    return candidates[int((above[0] - above[1]).argmax())].item()


def _share_above(scores: Float[Tensor, "n"], candidates: Float[Tensor, "k"]) -> Float[Tensor, "k"]:
    return 1 - torch.searchsorted(scores.sort().values, candidates, right=True) / len(scores)


def platt(
    scores: Float[Tensor, "n"], unsafe: Bool[Tensor, "n"]
) -> Callable[[Float[Tensor, "m"]], Float[Tensor, "m"]]:
    """A function from scores to probabilities of unsafe: sigmoid(a score + b), fitted to these (Platt 1999).

    With Platt's targets, (N+ + 1)/(N+ + 2) and 1/(N- + 2) in place of 1 and 0: scores that separate the
    classes would otherwise give a step.
    """
    from sklearn.linear_model import LogisticRegression

    values, labels = scores.double().numpy(), unsafe.numpy()
    mean, deviation = values.mean(), values.std() or 1.0
    positive = labels.sum()
    target = np.where(labels, (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2))
    inputs = ((values - mean) / deviation)[:, None]
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(
        np.concatenate([inputs, inputs]),
        np.repeat([True, False], len(values)),
        sample_weight=np.concatenate([target, 1 - target]),
    )

    def probability(of: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
        found = fitted.predict_proba(((of.double().numpy() - mean) / deviation)[:, None])
        return torch.from_numpy(found[:, 1])

    return probability


def _probe(
    test: Float[Tensor, "n d"], calibration: Float[Tensor, "m d"], truth: Bool[Tensor, "m"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"]]:
    """Scores of the test points, and out-of-fold scores of the calibration points."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    inputs, labels = calibration.double().numpy(), truth.numpy()
    held_out = cross_val_predict(
        probe, inputs, labels, cv=PredefinedSplit(_folds(truth)), method="decision_function"
    )
    scores = probe.fit(inputs, labels).decision_function(test.double().numpy())
    return torch.from_numpy(scores), torch.from_numpy(held_out)


def _folds(truth: Bool[Tensor, "m"]) -> np.ndarray:
    """The fold of each point: twins are together, and unsafe rows are spread evenly."""
    unsafe = truth[len(truth) // 2 :].numpy()
    count = min(FOLDS, int(unsafe.sum()))
    place = np.where(unsafe, np.cumsum(unsafe) - 1, np.cumsum(~unsafe) - 1) % count
    return np.concatenate([place, place])
