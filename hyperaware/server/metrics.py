"""Figures for Prometheus, in a registry of our own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Metrics"]

NAME = "hyperaware"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SCORES = (*(round(0.05 * step, 2) for step in range(1, 21)), 1.25, 1.5, 2, 3, 5)


class Metrics:
    """Every figure of the server. No label comes from a request as it is: their number is bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "stage_seconds",
            "Seconds of one stage of a request.",
            ["stage"],
            buckets=SECONDS,
            namespace=NAME,
            registry=self.registry,
        )
        self._requests = self._counter("requests", "Answers by route and status.", ["route", "status"])
        labels = ["action", "category", "modality", "policy"]
        self._verdicts = self._counter("verdicts", "Decisions.", labels)
        self._scores = Histogram(
            "score",
            "Root distances of what was judged.",
            ["modality"],
            buckets=SCORES,
            namespace=NAME,
            registry=self.registry,
        )
        # The library looks a child up under a lock each time; these two are asked for every input.
        self._counted, self._scored = cache(self._verdicts.labels), cache(self._scores.labels)

    def _counter(self, name: str, about: str, labels: list[str]) -> Counter:
        return Counter(name, about, labels, namespace=NAME, registry=self.registry)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures what happens inside as one stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - start)

    def answered(self, route: str, status: int) -> None:
        """Count one answer."""
        self._requests.labels(route, str(status)).inc()

    def judged(
        self, *, action: str, category: str | None, modality: str, policy: str, score: float | None
    ) -> None:
        """Count one decision; `category` is that of the rule that decided."""
        self._counted(action, category or "root distance", modality, policy).inc()
        if score is not None:
            self._scored(modality).observe(score)

    def watch(
        self,
        *,
        gauges: dict[str, tuple[str, Callable[[], float]]],
        counts: dict[str, tuple[str, str, Callable[[], dict[str, int]]]],
    ) -> None:
        """Figures that others hold, read when they are asked for.

        Args:
            gauges: name -> (what it is, its value).
            counts: name -> (what it is, the name of its label, its counts).
        """
        self.registry.register(_Watched(gauges, counts))

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Watched(Collector):
    def __init__(
        self,
        gauges: dict[str, tuple[str, Callable[[], float]]],
        counts: dict[str, tuple[str, str, Callable[[], dict[str, int]]]],
    ) -> None:
        self._gauges, self._counts = gauges, counts

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        for name, (about, value) in self._gauges.items():
            yield GaugeMetricFamily(f"hyperaware_{name}", about, value=value())
        for name, (about, label, counts) in self._counts.items():
            family = CounterMetricFamily(f"hyperaware_{name}", about, labels=[label])
            for word, count in counts().items():
                family.add_metric([word], count)
            yield family
