"""Exposition of snapshots in Prometheus' format; docs/metrics.md has the meaning of each metric.

Names and units follow Prometheus' conventions ("Metric and label naming"). An empty label is the
same as none: the request came to no frontend, or went to no backend.
"""

from collections.abc import Iterator
from typing import final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from isocline.gateway.metrics.optimality import Optimality
from isocline.gateway.metrics.prometheus_format import (
    backend_metrics,
    client_metrics,
    request_metrics,
)
from isocline.gateway.metrics.snapshot import Snapshot


def prometheus(snapshot: Snapshot, optimality: Optimality | None = None) -> bytes:
    """Format in the text format, version 0.0.4."""
    return exposed(snapshot, optimality, "")[0]


def exposed(snapshot: Snapshot, optimality: Optimality | None, accept: str) -> tuple[bytes, str]:
    """Return (text, content type), in OpenMetrics if the Accept field asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SnapshotCollector(snapshot, optimality or Optimality()))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


@final
class _SnapshotCollector(Collector):
    def __init__(self, snapshot: Snapshot, optimality: Optimality) -> None:
        self._snapshot = snapshot
        self._optimality = optimality

    def collect(self) -> Iterator[Metric]:
        yield from request_metrics.of_router(self._snapshot)
        yield from request_metrics.of_requests(self._snapshot)
        yield from request_metrics.of_frontends(self._snapshot)
        yield from client_metrics.of_keys(self._snapshot)
        yield from client_metrics.of_tenants(self._snapshot)
        yield from backend_metrics.of_backends(self._snapshot)
        yield from backend_metrics.of_curves(self._snapshot)
        yield from backend_metrics.of_optimality(self._optimality)
        yield from request_metrics.of_process(self._snapshot)
