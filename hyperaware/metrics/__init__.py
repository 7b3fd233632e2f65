"""Metrics: tensors in, numbers out. Every share is a fraction in [0, 1]."""

from hyperaware.metrics import safeground
from hyperaware.metrics.bootstrap import Interval, mean_differences, mean_intervals
from hyperaware.metrics.retrieval import ranks, recall_at, recalls, top1
from hyperaware.metrics.separation import auroc, average_precision, fpr_at_tpr, separation

__all__ = [
    "Interval",
    "auroc",
    "average_precision",
    "fpr_at_tpr",
    "mean_differences",
    "mean_intervals",
    "ranks",
    "recall_at",
    "recalls",
    "safeground",
    "separation",
    "top1",
]
