"""Metrics: tensors in, numbers out. Every share is a fraction in [0, 1]."""

from hyperaware.metrics.retrieval import ranks, recall_at, recalls, top1
from hyperaware.metrics.separation import auroc, average_precision, fpr_at_tpr, separation

__all__ = [
    "auroc",
    "average_precision",
    "fpr_at_tpr",
    "ranks",
    "recall_at",
    "recalls",
    "separation",
    "top1",
]
