"""Answers of Prometheus to range queries: requests at each server, and its counters.

A curve needs a gauge of the requests at a server and a counter of what it has finished, over the
same time. They may come in one answer, of a query such as
`{__name__=~"vllm:num_requests_running|vllm:num_requests_waiting|vllm:generation_tokens_total"}`,
or in several, which are joined by the labels of the server and by time.

Between two samples a server held the mean of both gauges and finished the counter's difference.
These pieces are summed by workload. A counter that falls was reset: that piece is left out, as is
one longer than twice the usual, in which samples are missing. The error of a rate is that of the
pieces' scatter.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple, final

from isocline.errors import UsageError
from isocline.learn.shapes import first_levels
from isocline.measurements.formats.fields import Fields
from isocline.measurements.runs import BenchmarkRun


class _Metrics(NamedTuple):
    """Names of an engine's metrics."""

    gauges: tuple[str, ...]  # their sum is the number of requests at the server
    tokens: str  # counter; "" where there is none
    requests: str  # counter; "" where there is none


_ENGINES = (
    _Metrics(
        ("vllm:num_requests_running", "vllm:num_requests_waiting"),
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
    ),
    _Metrics(
        ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
        "sglang:generation_tokens_total",
        "sglang:num_requests_total",
    ),
    _Metrics(
        ("tgi_batch_current_size", "tgi_queue_size"),
        "tgi_request_generated_tokens_sum",
        "tgi_request_success",
    ),
    _Metrics(
        ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
        "llamacpp:tokens_predicted_total",
        "",
    ),
    _Metrics(
        ("trtllm_num_requests_running", "trtllm_num_requests_waiting"),
        "",
        "trtllm_request_success_total",
    ),
)
_GAUGES = {name: engine for engine in _ENGINES for name in engine.gauges}
_TOKENS = {engine.tokens: engine for engine in _ENGINES if engine.tokens}
_REQUESTS = {engine.requests: engine for engine in _ENGINES if engine.requests}
# Labels that part the series of one server, of which the sum counts.
_PARTS = {"__name__", "engine", "finished_reason", "finish_reason", "le", "dp_rank", "engine_type"}
_MODEL = ("model_name", "model")
_LONGEST = 2.0  # of the usual time between samples
_LEAST_PIECES = 4  # whose scatter says something

Samples = dict[float, float]  # by time, s


def matches(document: Any) -> bool:
    """Whether it is an answer of Prometheus."""
    data = document.get("data") if isinstance(document, Mapping) else None
    return isinstance(data, Mapping) and "resultType" in data


@final
class _Server:
    """Sums of the series of one server."""

    def __init__(self) -> None:
        self.jobs: Samples = {}
        self.tokens: Samples = {}
        self.requests: Samples = {}

    def add(self, other: "_Server") -> None:
        """Add the samples of another answer."""
        for mine, its in (
            (self.jobs, other.jobs),
            (self.tokens, other.tokens),
            (self.requests, other.requests),
        ):
            for time, value in its.items():
                mine[time] = mine.get(time, 0.0) + value


_Servers = dict[tuple[tuple[str, str], ...], _Server]  # by their labels


@final
class Answer(NamedTuple):
    """The samples of one answer."""

    source: str
    servers: _Servers


def read_answer(document: Any, source: str) -> Answer:
    """Read the samples of an answer.

    Raises:
        UsageError: It is an error or of another kind.
    """
    servers: _Servers = defaultdict(_Server)
    for series in _series(document, source):
        _add(series, servers)
    return Answer(source, servers)


def runs_of(answers: Sequence[Answer]) -> list[BenchmarkRun]:
    """The runs of several answers together.

    Raises:
        UsageError: Gauge and counter are not both there at some server.
    """
    servers: _Servers = defaultdict(_Server)
    for answer in answers:
        for key, server in answer.servers.items():
            servers[key].add(server)
    where = ", ".join(answer.source for answer in answers[:3])
    found = [run for key, server in servers.items() for run in _runs(dict(key), server, where)]
    if found:
        return found
    raise UsageError(
        f"{where}: no server has both a gauge of its requests and a counter, with samples at the "
        f"same times; query {_query(_ENGINES[0])} over one time with one step"
    )


def _query(engine: _Metrics) -> str:
    return f'{{__name__=~"{"|".join((*engine.gauges, engine.tokens, engine.requests))}"}}'


def _series(document: Any, source: str) -> Iterable[Fields]:
    answer = Fields(document, source)
    if (status := answer.text("status")) and status != "success":
        answer.fail("status", f"is {status!r:.40}: {answer.text('error') or 'the query failed'}")
    data = answer.child("data")
    if (kind := data.text("resultType")) != "matrix":
        data.fail("resultType", f"is {kind!r:.40}; use a range query, whose result is a matrix")
    return data.children("result")


def _add(series: Fields, servers: _Servers) -> None:
    metric = series.child("metric")
    name = metric.text("__name__")
    if not name:
        metric.fail(
            "__name__",
            "is missing: an expression has no name; query the metrics themselves, as in "
            f"{_query(_ENGINES[0])}",
        )
    labels = {label: metric.text(label) for label in metric.value if label not in _PARTS}
    server = servers[tuple(sorted(labels.items()))]
    if name in _GAUGES:
        into, kind = server.jobs, "gauge"
    elif name in _TOKENS:
        into, kind = server.tokens, "counter"
    elif name in _REQUESTS:
        into, kind = server.requests, "counter"
    else:
        known = ", ".join((*_ENGINES[0].gauges, _ENGINES[0].tokens))
        metric.fail("__name__", f"is {name!r:.60}, which is unknown here; query {known}")
    for i, sample in enumerate(series.entries("values")):
        at = f"values[{i}]"
        if not (isinstance(sample, list) and len(sample) == 2):
            series.fail(at, f"is no pair of time and value, but {sample!r:.40}")
        entry = Fields({"time": sample[0], "value": sample[1]}, series.source, series.place(at))
        time = entry.above_0("time")
        value = _value(entry, kind)
        if value is not None:
            into[time] = into.get(time, 0.0) + value


def _value(entry: Fields, kind: str) -> float | None:
    """A sample, which stands as text; None for NaN, which says that there was none."""
    text = entry.value["value"]
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        value = math.inf
    if isinstance(text, str) and math.isnan(value):
        return None
    if not (math.isfinite(value) and value >= 0):
        entry.fail("value", f"is {text!r:.40}, expected the text of a {kind}'s value, 0 or more")
    return value


class _Piece(NamedTuple):
    jobs: float
    seconds: float
    tokens: float | None
    requests: float | None


def _runs(labels: Mapping[str, str], server: _Server, source: str) -> list[BenchmarkRun]:
    pieces = list(_pieces(server))
    by_level: dict[int, list[_Piece]] = defaultdict(list)
    firsts = first_levels()
    for piece in pieces:
        level = int(firsts.searchsorted(max(piece.jobs, 1.0), side="right"))
        by_level[level].append(piece)
    model = next((labels[name] for name in _MODEL if labels.get(name)), "")
    instance = labels.get("instance") or labels.get("pod") or "a server"
    return [
        _run(group, f"{source}, {instance}", {"model": model} if model else {})
        for _, group in sorted(by_level.items())
        if any(piece.tokens or piece.requests for piece in group)
    ]


def _pieces(server: _Server) -> Iterable[_Piece]:
    """What was done between neighbouring samples of the gauge."""
    counter = server.tokens or server.requests
    times = sorted(time for time in server.jobs if time in counter)
    if len(times) < 2:
        return
    usual = median(b - a for a, b in pairwise(times))
    for before, after in pairwise(times):
        tokens = _difference(server.tokens, before, after)
        requests = _difference(server.requests, before, after)
        jobs = 0.5 * (server.jobs[before] + server.jobs[after])
        reset = (server.tokens and tokens is None) or (server.requests and requests is None)
        if after - before > _LONGEST * usual or jobs == 0.0 or reset:
            continue
        yield _Piece(jobs, after - before, tokens, requests)


def _difference(counter: Samples, before: float, after: float) -> float | None:
    """None where it is not known, or the counter was reset in between."""
    if before not in counter or after not in counter:
        return None
    grown = counter[after] - counter[before]
    return grown if grown >= 0 else None


def _run(pieces: Sequence[_Piece], source: str, labels: Mapping[str, str]) -> BenchmarkRun:
    seconds = sum(piece.seconds for piece in pieces)
    counts = [piece.requests for piece in pieces if piece.requests is not None]
    done = sum(counts) if len(counts) == len(pieces) else None
    words = [piece.tokens for piece in pieces if piece.tokens is not None]
    tokens = sum(words) if len(words) == len(pieces) else None
    return BenchmarkRun(
        source=source,
        workload=sum(piece.jobs * piece.seconds for piece in pieces) / seconds,
        requests=done / seconds if done else None,
        tokens=tokens / seconds if tokens else None,
        completions=done or 0.0,
        seconds=seconds,
        variation=_scatter(pieces, words if tokens else counts),
        labels=labels,
    )


def _scatter(pieces: Sequence[_Piece], work: Sequence[float]) -> float | None:
    """Relative standard error of a rate, of how the pieces differ from their mean."""
    total, seconds = sum(work), sum(piece.seconds for piece in pieces)
    if len(pieces) < _LEAST_PIECES or not total:
        return None
    rate = total / seconds
    squares = sum(
        (done - rate * piece.seconds) ** 2 for done, piece in zip(work, pieces, strict=True)
    )
    return math.sqrt(squares * len(pieces) / (len(pieces) - 1)) / total
