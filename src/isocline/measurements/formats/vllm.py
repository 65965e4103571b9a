"""Results of vLLM's `bench serve --save-result` and `bench sweep`, and SGLang's `bench_serving`.

One run is one object: `max_concurrency` (null of an open loop), `request_rate` ("inf" of a closed
one), `completed`, `failed`, `duration` (s), `request_throughput`, `output_throughput`, and
`mean_e2el_ms`, `median_e2el_ms`, `std_e2el_ms` and `p99_e2el_ms` if `--percentile-metrics` names
e2el. `--save-detailed` adds
`start_times`, `ttfts`, `itls` (s; newer ones `latencies`), `output_lens` and `errors`, one entry
for each request. `--append-result` writes one object a line. A sweep's `summary.json` is a list of
runs, its `summary.csv` a table of them, each with the parameters that it varied.

SGLang, whose script comes from vLLM's, writes one object a line, with `mean_e2e_latency_ms`,
`median_e2e_latency_ms`, of some versions `std_e2e_latency_ms` or `p99_e2e_latency_ms`, and
`concurrency` for throughput times mean latency.
"""

import re
from collections.abc import Mapping
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

# What a run writes of itself and of its traffic; other plain fields are parameters of a sweep, or
# metadata of the user, which tell curves apart.
_OWN = {
    "backend", "burstiness", "completed", "date", "duration", "endpoint_type", "failed",
    "max_concurrency", "max_concurrent_requests", "max_output_tokens_per_s", "model_id",
    "num_prompts", "num_warmups", "output_throughput", "ramp_up_end_rps", "ramp_up_start_rps",
    "ramp_up_strategy", "request_goodput", "request_rate", "request_throughput",
    "rtfx", "run_number", "seed", "tokenizer_id", "total_input", "total_input_sequences",
    "total_input_tokens", "total_output_tokens", "total_token_throughput",
    "input_sequence_throughput", "use_beam_search", "best_of",
    # SGLang's
    "accept_length", "concurrency", "input_throughput", "max_output_tokens_per_s_retokenized",
    "output_throughput_retokenized", "total_input_text_tokens", "total_input_vision_tokens",
    "total_output_tokens_retokenized", "total_throughput", "total_throughput_retokenized",
}  # fmt: skip
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)_(?:e2el|e2e_latency)_ms")
_WARM_UP = -1  # number of a run by which a sweep warms a server up
_DERIVED = ("_ms", "_lens", "spec_decode_", "diffusion_", "probe_")


def matches(document: Any) -> bool:
    """Whether it is a run, or a list of them."""
    if isinstance(document, list):
        return bool(document) and all(_is_run(one) for one in document)
    return _is_run(document)


def _is_run(one: Any) -> bool:
    return (
        isinstance(one, Mapping)
        and "request_throughput" in one
        and not _is_statistic(one["request_throughput"])
        and not one.keys().isdisjoint(("completed", "duration", "max_concurrency"))
        and one.keys().isdisjoint(("conc", "tput_per_gpu", "workload"))
    )


def _is_statistic(value: Any) -> bool:
    """Whether it is an object of AIPerf."""
    return isinstance(value, Mapping) and "avg" in value


def read(document: Any, source: str) -> list[BenchmarkRun]:
    """The runs of a document.

    Raises:
        UsageError: A field is missing or wrong.
    """
    runs = document if isinstance(document, list) else [document]
    path = "run {}" if len(runs) > 1 else ""
    return [
        run
        for i, one in enumerate(runs)
        if one.get("run_number") != _WARM_UP
        for run in read_run(Fields(one, source, path.format(i + 1)))
    ]


def read_run(run: Fields) -> list[BenchmarkRun]:
    """A run; of a detailed one a run for each workload that it was seen at.

    Raises:
        UsageError: A field is missing or wrong.
    """
    labels = _labels(run)
    if "start_times" in run and run.value["start_times"]:
        return _detailed(run, labels)
    completions = run.maybe_least_0("completed")
    if completions == 0:
        run.fail("completed", "is 0: no request was served; leave the file out")
    requests = run.above_0("request_throughput")
    concurrency = run.maybe_above_0("max_concurrency") if _is_closed(run) else None
    latency = _first(run, "mean_e2el_ms", "mean_e2e_latency_ms")
    workload, notes = closed_loop(
        concurrency, requests, None if latency is None else latency / 1000.0
    )
    if workload is None:
        limit = "max_concurrency limits an open loop" if "max_concurrency" in run else ""
        run.fail(
            "mean_e2el_ms",
            "is missing, so that the number of requests at the server is not known"
            f"{f' ({limit})' if limit else ''}; run with --max-concurrency N, or with "
            "--percentile-metrics ttft,tpot,itl,e2el",
        )
    deviation = None if concurrency is None else _deviation(run)
    return [
        BenchmarkRun(
            source=_source(run),
            workload=workload,
            requests=requests,
            tokens=run.maybe_least_0("output_throughput") or None,
            completions=completions or 0.0,
            seconds=run.maybe_least_0("duration") or 0.0,
            variation=variation_of(deviation, latency, completions or 0.0),
            labels=labels,
            notes=(*notes, *failed_note(run.maybe_least_0("failed"), completions or 0.0)),
        )
    ]


def _first(run: Fields, *names: str) -> float | None:
    """The number of the first of these names that the run has."""
    return next((run.maybe_least_0(name) for name in names if name in run), None)


def _deviation(run: Fields) -> float | None:
    """Standard deviation of the latencies, ms, by the percentiles if it is not there itself."""
    said = _first(run, "std_e2el_ms", "std_e2e_latency_ms")
    if said is not None:
        return said
    median = _first(run, "median_e2el_ms", "median_e2e_latency_ms")
    ranks = {name: _PERCENTILE.fullmatch(name) for name in run.value if name in run}
    return deviation_of(
        median, {float(rank[1]): run.least_0(name) for name, rank in ranks.items() if rank}
    )


def _source(run: Fields) -> str:
    return f"{run.source}, {run.path}" if run.path else run.source


def _is_closed(run: Fields) -> bool:
    """Whether requests are sent as soon as others end; of old files, which do not say, they are."""
    rate = run.value.get("request_rate")
    return rate is None or str(rate).strip().lower() in ("", "inf", "infinity")


def _labels(run: Fields) -> dict[str, str]:
    labels = {"model": run.text("model_id")} if run.text("model_id") else {}
    for name, value in run.value.items():
        plain = isinstance(value, str | int | float) and value != ""
        own = name in _OWN or not name or any(part in name for part in _DERIVED)
        if plain and not own and not name.startswith("Unnamed"):
            labels[name] = str(value)
    return labels


def _detailed(run: Fields, labels: Mapping[str, str]) -> list[BenchmarkRun]:
    starts = run.numbers("start_times")
    latencies = run.numbers("latencies") if "latencies" in run else _summed(run)
    if len(latencies) != len(starts):
        run.fail("start_times", f"has {len(starts)} entries, and there are {len(latencies)} "
                 "latencies; run the benchmark again")  # fmt: skip
    tokens = run.numbers("output_lens") if "output_lens" in run else None
    if tokens is not None and len(tokens) != len(starts):
        run.fail("output_lens", f"has {len(tokens)} entries, start_times {len(starts)}; run the "
                 "benchmark again")  # fmt: skip
    errors = run.entries("errors") if "errors" in run else [""] * len(starts)
    served = [
        i
        for i, latency in enumerate(latencies)
        if latency > 0 and not (errors[i : i + 1] or [""])[0]
    ]
    return runs_of_requests(
        [starts[i] for i in served],
        [starts[i] + latencies[i] for i in served],
        None if tokens is None else [tokens[i] for i in served],
        _source(run),
        labels,
        len(starts) - len(served),
    )


def _summed(run: Fields) -> list[float]:
    """Latencies of older versions: to the first token, and between tokens."""
    first, between = run.numbers("ttfts"), run.entries("itls")
    if len(first) != len(between):
        run.fail("itls", f"has {len(between)} entries, ttfts {len(first)}; run the benchmark again")
    total = []
    for i, latency in enumerate(first):
        steps = Fields({"itls": between[i]}, run.source, run.place(f"[{i}]"))
        total.append(latency + sum(steps.numbers("itls")))
    return total
