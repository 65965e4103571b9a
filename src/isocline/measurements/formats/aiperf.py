"""Results of AIPerf, and of GenAI-Perf before it: `profile_export_aiperf.json`, and `.jsonl`.

The JSON has an object for each metric, with `unit` and `avg` (and `std` of those that requests
have): `request_throughput` (requests/sec), `output_token_throughput` (tokens/sec),
`request_latency` (ms), `request_count`, `benchmark_duration` (sec), `error_request_count`. What was
asked for is in `input_config`: `loadgen.concurrency` and `loadgen.request_rate`, from schema 1.4 on
`phases`. The lines have one request each, with `metadata.request_start_ns` and `request_end_ns`,
and its `metrics`.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from isocline.measurements.formats.fields import Fields
from isocline.measurements.formats.request_log import runs_of_requests
from isocline.measurements.runs import (
    BenchmarkRun,
    closed_loop,
    deviation_of,
    failed_note,
    variation_of,
)

_PER_SECOND = ("requests/sec", "requests/s", "req/s")
_TOKENS_PER_SECOND = ("tokens/sec", "tokens/s", "tok/s")
_MILLISECONDS = ("ms", "milliseconds")
_PERCENTILES = (75, 90, 95, 99)


def matches(document: Any) -> bool:
    """Whether it is the summary of a run."""
    found = document.get("request_throughput") if isinstance(document, Mapping) else None
    return isinstance(found, Mapping) and "avg" in found


def matches_line(document: Any) -> bool:
    """Whether it is the record of one request."""
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return isinstance(metadata, Mapping) and "request_start_ns" in metadata


def read(document: Any, source: str) -> list[BenchmarkRun]:
    """The run of a summary.

    Raises:
        UsageError: A field is missing or wrong, or a unit is another one.
    """
    run = Fields(document, source)
    requests = _average(run, "request_throughput", *_PER_SECOND)
    if not requests:
        run.fail("request_throughput.avg", "is 0: no request was served; leave the file out")
    tokens = _average(run, "output_token_throughput", *_TOKENS_PER_SECOND)
    latency = _average(run, "request_latency", *_MILLISECONDS)
    concurrency = _concurrency(run)
    workload, notes = closed_loop(
        concurrency, requests, None if latency is None else latency / 1000.0
    )
    if workload is None:
        run.fail(
            "request_latency",
            "is missing, so that the number of requests at the server is not known; run with "
            "--concurrency N",
        )
    completions = _average(run, "request_count") or 0.0
    spread = run.below("request_latency")
    deviation = _deviation(spread) if spread and concurrency is not None else None
    errors = _average(run, "error_request_count")
    cut_off = run.value.get("was_cancelled") is True or run.value.get("is_complete") is False
    return [
        BenchmarkRun(
            source=source,
            workload=workload,
            requests=requests,
            tokens=tokens or None,
            completions=completions,
            seconds=_average(run, "benchmark_duration", "sec", "s", "seconds") or 0.0,
            variation=variation_of(deviation, latency, completions),
            labels=_labels(run),
            notes=(
                *notes,
                *failed_note(errors, completions),
                *(("the run was cut off before its end",) if cut_off else ()),
            ),
        )
    ]


def _deviation(metric: Fields) -> float | None:
    """Standard deviation over the requests, by the percentiles if it is not there itself."""
    if "std" in metric:
        return metric.least_0("std")
    ranks = (rank for rank in _PERCENTILES if f"p{rank}" in metric)
    return deviation_of(
        metric.maybe_least_0("p50"), {float(rank): metric.least_0(f"p{rank}") for rank in ranks}
    )


def _average(run: Fields, name: str, *units: str) -> float | None:
    if name not in run:
        return None
    metric = run.child(name)
    if units:
        metric.require_unit(*units)
    return metric.maybe_least_0("avg")


def _concurrency(run: Fields) -> float | None:
    """That of a closed loop; None where requests come at a rate, or nothing says it."""
    config = run.below("input_config")
    if config is None:
        return None
    phases = config.value.get("phases")
    if isinstance(phases, list) and phases and isinstance(phases[-1], Mapping):
        load = Fields(phases[-1], run.source, f"input_config.phases[{len(phases) - 1}]")
    else:
        found = config.below("loadgen")
        if found is None:
            return None
        load = found
    # A phase says of which type it is; elsewhere a rate does.
    rates = ("request_rate", "rate", "rate_series", "user_centric_rate")
    if load.text("type") not in ("", "concurrency") or any(name in load for name in rates):
        return None
    value = load.value.get("concurrency")
    if isinstance(value, Mapping | list):  # of several phases or runs: Little's law says it
        return None
    return load.maybe_above_0("concurrency")


def _labels(run: Fields) -> dict[str, str]:
    endpoint = run.below("input_config", "endpoint")
    names = endpoint.value.get("model_names") if endpoint else None
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return {"model": ",".join(names)}
    models = run.below("input_config", "models")
    items = models.value.get("items") if models else None
    if isinstance(items, list) and items and isinstance(items[0], Mapping):
        name = Fields(items[0], run.source).text("name")
        return {"model": name} if name else {}
    return {}


def read_lines(lines: Iterable[tuple[Any, str]], source: str) -> list[BenchmarkRun]:
    """Runs from the records of requests, each with its place.

    Raises:
        UsageError: A record has no times, or ends before it begins.
    """
    began, ended, tokens = array("d"), array("d"), array("d")
    first: int | None = None
    failed = 0
    for document, place in lines:
        record = Fields(document if isinstance(document, Mapping) else {}, place)
        metadata = record.child("metadata")
        phase = metadata.text("benchmark_phase")
        if phase and phase != "profiling":
            continue
        if "error" in record:
            failed += 1
            continue
        start, end = metadata.above_0("request_start_ns"), metadata.above_0("request_end_ns")
        if end < start:
            metadata.fail("request_end_ns", "is before request_start_ns; remove the line")
        # Nanoseconds since 1970 need 61 bits: the first one is taken off as whole numbers.
        exact = int(metadata.value["request_start_ns"])
        first = exact if first is None else first
        began.append((exact - first) * 1e-9)
        ended.append((int(metadata.value["request_end_ns"]) - first) * 1e-9)
        tokens.append(_tokens(record))
    if not began:
        Fields({}, source).fail("metadata", "has no request that was served; leave the file out")
    known = all(count >= 0 for count in tokens)
    return runs_of_requests(began, ended, tokens if known else None, source, {}, failed)


def _tokens(record: Fields) -> float:
    """Output tokens of a request; -1 where they are not there."""
    for name in ("output_sequence_length", "output_token_count"):
        found = record.below("metrics", name)
        if found is not None:
            return found.least_0("value")
    return -1.0
