"""Reports of GuideLLM: `benchmarks.json` of versions 0.3 to 0.8.

`benchmarks` is a list of runs, each with `metrics`, whose entries `requests_per_second`,
`request_concurrency`, `request_latency` (s) and `output_tokens_per_second` have a distribution for
requests that were `successful`, `incomplete` (cut off at the end), `errored`, and for all of them
(`total`). The schema's version, in `metadata.version`, is 1 up to 0.7 and 2 in 0.8; earlier reports
have none. What was asked for is in `args` of the report, in 0.8 in `config`.
"""

from collections.abc import Mapping
from typing import Any

from isocline.measurements.formats.fields import Fields
from isocline.measurements.runs import BenchmarkRun, failed_note, variation_of

_VERSIONS = ("1", "2")
_CLOSED = ("concurrent", "synchronous", "throughput")  # strategies without arrivals of their own
_MODELS = (("config", "backend"), ("config",), ("args",), ("args", "backend_kwargs"))


def matches(document: Any) -> bool:
    """Whether it is a report."""
    benchmarks = document.get("benchmarks") if isinstance(document, Mapping) else None
    return (
        isinstance(benchmarks, list)
        and bool(benchmarks)
        and any(isinstance(one, Mapping) and "metrics" in one for one in benchmarks)
    )


def read(document: Any, source: str) -> list[BenchmarkRun]:
    """The runs of a report.

    Raises:
        UsageError: A field is missing or wrong, or the version is unknown.
    """
    report = Fields(document, source)
    metadata = report.below("metadata")
    version = metadata.text("version") if metadata else ""
    if metadata and version and version not in _VERSIONS:
        metadata.fail(
            "version", f"is {version!r:.40}; known: {', '.join(_VERSIONS)} (GuideLLM 0.3 to 0.8)"
        )
    return [_run(report, one) for one in report.children("benchmarks")]


def _run(report: Fields, one: Fields) -> BenchmarkRun:
    metrics = one.child("metrics")
    totals = metrics.below("request_totals")
    completions = totals.maybe_least_0("successful") if totals else None
    if completions == 0:
        one.fail("metrics.request_totals.successful", "is 0: no request was served; remove the run")
    latency = _served(metrics, "request_latency")
    mean = latency.maybe_least_0("mean") if latency else None
    deviation = latency.maybe_least_0("std_dev") if latency else None
    tokens = _served(metrics, "output_tokens_per_second")
    closed = _strategy(one) in _CLOSED
    return BenchmarkRun(
        source=f"{one.source}, {one.path}",
        workload=_concurrency(metrics),
        requests=_distribution(metrics, "requests_per_second").above_0("mean"),
        tokens=(tokens.maybe_least_0("mean") if tokens else None) or None,
        completions=completions or 0.0,
        seconds=one.maybe_least_0("duration") or 0.0,
        variation=variation_of(deviation, mean, completions or 0.0) if closed else None,
        labels=_labels(report, one),
        notes=failed_note(totals.maybe_least_0("errored") if totals else None, completions or 0.0),
    )


def _concurrency(metrics: Fields) -> float:
    """Mean number of requests at the server, those that were cut off at the end among them."""
    total = metrics.child("request_concurrency").below("total")
    found = total.maybe_least_0("mean") if total else None
    return found or _distribution(metrics, "request_concurrency").above_0("mean")


def _distribution(metrics: Fields, name: str) -> Fields:
    return metrics.child(name).child("successful")


def _served(metrics: Fields, name: str) -> Fields | None:
    """The distribution over successful requests, of a metric that may be missing."""
    return metrics.below(name, "successful")


def _strategy(one: Fields) -> str:
    for place in (("config", "strategy"), ("args", "strategy"), ("scheduler", "strategy")):
        if (found := one.below(*place)) is not None:
            return found.text("type_")
    return ""


def _labels(report: Fields, one: Fields) -> dict[str, str]:
    for holder in (one, report):
        for place in _MODELS:
            found = holder.below(*place)
            if found is not None and (model := found.text("model")):
                return {"model": model}
    return {}
