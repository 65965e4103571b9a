"""Families of samples, the shape in which prometheus-client takes metrics."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from isocline.gateway.metrics.histogram import cumulative
from isocline.gateway.metrics.snapshot import LiveBackend, Snapshot
from isocline.histogram import Histogram

PAIR = ("frontend", "backend")
Rows = Iterable[tuple[Sequence[str], float | None]]
"""Values of the labels, and of the sample; None: there is none."""


def counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Counter family; `name` is without the suffix _total."""
    return _filled(CounterMetricFamily(name, text, labels=labels), rows)


def gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """Gauge family."""
    return _filled(GaugeMetricFamily(name, text, labels=labels), rows)


def histogram(
    name: str,
    text: str,
    labels: Sequence[str],
    rows: Iterable[tuple[Sequence[str], Histogram]],
) -> Metric:
    """Histogram family of times, s; label sets without times are left out."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, times in rows:
        if times.counts:
            family.add_metric(values, cumulative(times), times.seconds)
    return family


def of_live(
    name: str, text: str, seen: Snapshot, value: Callable[[LiveBackend], float | None]
) -> Metric:
    """Gauge family of the present backends."""
    live = ((name, it.live) for name, it in seen.backends.items())
    return gauge(name, text, ("backend",), (((b,), value(it)) for b, it in live if it))


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: Rows) -> Metric:
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family
