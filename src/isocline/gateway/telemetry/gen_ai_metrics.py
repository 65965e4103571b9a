"""Metrics of a model server by OpenTelemetry's GenAI conventions (Development): three histograms.

https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md. Bucket
bounds are those of the conventions.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
)

from isocline.gateway.access_log import UNMATCHED, Access
from isocline.gateway.memo import Memo
from isocline.gateway.telemetry.attributes import Value, attributes
from isocline.gateway.telemetry.operations import Operation, error_of, operation_of
from isocline.gateway.telemetry.spans import Names

_MOST = 2000  # sets of attributes: OpenTelemetry's limit, beyond which all are counted as one
_OVERFLOW: tuple[tuple[str, Value], ...] = (("otel.metric.overflow", True),)
_BILLION = 1_000_000_000


class _Kind(NamedTuple):
    """One metric."""

    name: str
    text: str
    bounds: Sequence[float]  # s


_DURATION = _Kind(
    "gen_ai.server.request.duration",
    "Generative AI server request duration such as time-to-last byte or last output token.",
    (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
_FIRST_TOKEN = _Kind(
    "gen_ai.server.time_to_first_token",
    "Time to generate first token for successful responses.",
    (
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0
    ),
)  # fmt: skip
_PER_TOKEN = _Kind(
    "gen_ai.server.time_per_output_token",
    "Time per output token generated after the first token for successful responses.",
    (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
_KINDS = (_DURATION, _FIRST_TOKEN, _PER_TOKEN)


@final
@dataclass(slots=True)
class _Cell:
    """Histogram of one metric and one set of attributes, s."""

    bounds: Sequence[float]
    counts: list[int]
    total: float = 0.0
    least: float = float("inf")
    most: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)


@final
class _Row:
    """Histograms of one set of attributes, one per metric."""

    __slots__ = ("cells",)

    def __init__(self) -> None:
        self.cells = [_Cell(kind.bounds, [0] * (len(kind.bounds) + 1)) for kind in _KINDS]


_Attributes = tuple[tuple[str, Value], ...]
_Key = tuple[Names, Operation, str, str, int, int]
"""(names, operation, model, error, frontend, backend) of a request."""


@final
class GenAiMetrics:
    """All histograms, since the start or since the last collection."""

    def __init__(self, now: float, delta: bool) -> None:
        """Initialise at `now`, s of Unix time; with `delta`, each collection resets them."""
        self._since = now
        self._delta = delta
        self._rows: dict[_Attributes, _Row] = {}
        self._known = _KnownRows(self._rows)

    def add(self, access: Access, names: Names) -> None:
        """Add a request, if it is a GenAI operation that matched a frontend."""
        operation = operation_of(access)
        if operation is None or access.frontend == UNMATCHED or access.upgraded:
            return
        error = error_of(access, 400) if access.reason or access.status >= 400 else ""
        key = names, operation, access.model, error, access.frontend, access.backend
        duration, first_token, per_token = self._known[key].cells
        duration.add(access.ended - access.arrived)
        first, usage = access.first_token, access.usage
        if error or first is None:
            return
        first_token.add(first - access.arrived)
        # Only tokens that the response reports, not an estimate from its length.
        if usage is not None and usage.prompt is not None and usage.output > 1:
            per_token.add((access.ended - first) / (usage.output - 1))

    def collect(self, now: float) -> list[Metric]:
        """Return the metrics at `now`, s of Unix time; none while there are no requests."""
        temporality = (
            AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
            if self._delta
            else AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        )
        found = []
        for number, kind in enumerate(_KINDS):
            points = [
                self._point(key, row.cells[number], now)
                for key, row in self._rows.items()
                if any(row.cells[number].counts)
            ]
            if points:
                histogram = Histogram(aggregation_temporality=temporality, data_points=points)
                found.append(
                    Metric(name=kind.name, description=kind.text, unit="s", histogram=histogram)
                )
        if self._delta:
            self._since = now
            self._rows = {}
            self._known = _KnownRows(self._rows)
        return found

    def _point(self, key: _Attributes, cell: _Cell, now: float) -> HistogramDataPoint:
        return HistogramDataPoint(
            attributes=attributes(key),
            start_time_unix_nano=int(self._since * _BILLION),
            time_unix_nano=int(now * _BILLION),
            count=sum(cell.counts),
            sum=cell.total,
            bucket_counts=cell.counts,
            explicit_bounds=cell.bounds,
            min=cell.least,
            max=cell.most,
        )


@final
class _KnownRows(Memo[_Key, _Row]):
    """Memo of the rows of requests; equal attributes keep their row after a reload."""

    def __init__(self, rows: dict[_Attributes, _Row]) -> None:
        super().__init__(2 * _MOST)
        self._rows = rows

    def __missing__(self, key: _Key) -> _Row:
        rows, found = self._rows, _attributes_of(key)
        if found not in rows and len(rows) >= _MOST - 1:
            found = _OVERFLOW
        return self.keep(key, rows.setdefault(found, _Row()))


def _attributes_of(key: _Key) -> _Attributes:
    names, operation, model, error, frontend, backend = key
    found: _Attributes = (
        ("gen_ai.operation.name", operation.name),
        ("gen_ai.provider.name", operation.provider),
        ("gen_ai.request.model", model),
        ("error.type", error),
        ("isocline.frontend", names.frontends[frontend]),
    )
    if backend == UNMATCHED:
        return found
    address = names.backends[backend]
    return (
        *found,
        ("server.address", address.host),
        ("server.port", address.port),
        ("isocline.backend", address.name),
    )
