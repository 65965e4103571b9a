"""Metrics of the router, of requests and of frontends; docs/metrics.md has their meaning."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version

from prometheus_client.core import InfoMetricFamily, Metric

from isocline.gateway.metrics.prometheus_format.families import PAIR, counter, gauge, histogram
from isocline.gateway.metrics.snapshot import Pair, Snapshot, merged_pairs


def of_router(seen: Snapshot) -> Iterator[Metric]:
    """Families of the router as a whole."""
    words = {"version": _version(), "policy": seen.policy, "system": seen.system}
    yield InfoMetricFamily("isocline", "What runs.", value=words)
    for name, text, value in (
        ("workers", "Worker processes that answered.", seen.workers),
        ("workers_draining", "Workers that take no further request.", seen.draining),
        ("client_connections", "Open connections of clients, without tunnels.", seen.clients),
        ("tunnels", "Upgraded connections, as of WebSockets.", seen.tunnels),
    ):
        yield gauge(f"isocline_{name}", text, (), [((), value)])
    taken = seen.reloads - seen.reloads_refused
    rows = ((("taken",), taken), (("refused",), seen.reloads_refused))
    yield counter("isocline_reloads", "Readings of the file after the first.", ("outcome",), rows)
    text = "1 where the last reload was refused, so that older settings are in force."
    yield gauge("isocline_last_reload_refused", text, (), [((), seen.last_reload_refused)])
    text = "Worker processes that ended unasked."
    yield counter("isocline_workers_ended", text, (), [((), seen.ended)])
    text = "Connections of clients that were refused, as there were too many."
    yield counter("isocline_client_connections_refused", text, (), [((), seen.refused)])
    yield counter(
        "isocline_control_changes",
        "Operators' calls that changed something, by the name of their key.",
        ("control", "by"),
        (((what, by), n) for what, row in seen.control_changes.items() for by, n in row.items()),
    )
    yield counter(
        "isocline_spans",
        "Spans of traces, by what became of them; all but `exported` were dropped.",
        ("outcome",),
        (((outcome,), number) for outcome, number in seen.spans.items()),
    )


def of_requests(seen: Snapshot) -> Iterator[Metric]:
    """Families of requests, which are counted when they end."""
    pairs = [((f, b), pair) for f, row in seen.pairs.items() for b, pair in row.items()]

    def counted(name: str, text: str, count: Callable[[Pair], float]) -> Metric:
        return counter(f"isocline_{name}", text, PAIR, ((key, count(it)) for key, it in pairs))

    yield counter(
        "isocline_requests",
        "Requests that have ended, by the status that the client had; 499: it had gone.",
        (*PAIR, "code"),
        (((*key, str(code)), n) for key, it in pairs for code, n in it.codes.items()),
    )
    yield counter(
        "isocline_requests_failed",
        "Requests that ended without a whole response of a backend.",
        (*PAIR, "reason"),
        (((*key, reason), n) for key, it in pairs for reason, n in it.failed.items()),
    )
    yield counted("responses_broken", "Responses broken off in the middle.", lambda it: it.broken)
    yield counted("retries", "Attempts after the first.", lambda it: it.retries)
    yield counted("request_bytes", "Bodies of requests.", lambda it: it.received)
    yield counted("response_bytes", "Responses, heads included.", lambda it: it.returned)
    yield histogram(
        "isocline_request_duration_seconds",
        "From arrival to the end of the response, without tunnels.",
        PAIR,
        ((key, it.duration) for key, it in pairs),
    )
    yield histogram(
        "isocline_request_first_byte_seconds",
        "From arrival to the first byte of the response, which may be long before its first token.",
        PAIR,
        ((key, it.first_byte) for key, it in pairs),
    )
    yield histogram(
        "isocline_request_first_token_seconds",
        "From arrival to the first event with content of a streamed response.",
        PAIR,
        ((key, it.first_token) for key, it in pairs if it.first_token.counts),
    )


def of_frontends(seen: Snapshot) -> Iterator[Metric]:
    """Families of waiting at frontends."""
    yield histogram(
        "isocline_request_wait_seconds",
        "From arrival until it was sent to a backend for the last time, or given up.",
        ("frontend",),
        (((name,), merged_pairs(row.values()).wait) for name, row in seen.pairs.items()),
    )
    yield counter(
        "isocline_requests_held",
        "Times that a request was held for want of a place at a backend.",
        ("frontend",),
        (((name,), it.holds) for name, it in seen.frontends.items()),
    )
    yield gauge(
        "isocline_requests_waiting",
        "Requests that are held now.",
        ("frontend",),
        (((name,), it.live.held) for name, it in seen.frontends.items() if it.live),
    )


def of_process(seen: Snapshot) -> Iterator[Metric]:
    """Processor time, memory and files, by prometheus-client's names, as sums over workers."""
    for name, value in seen.usage.items():
        family = counter if name.endswith("_total") else gauge
        text = "As of prometheus-client, over all workers."
        yield family(name.removesuffix("_total"), text, (), [((), value)])


@cache
def _version() -> str:
    return version("isocline")
