"""Results of benchmarks of known curves, as each tool writes them."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isocline.model.curves import Curve

TOKENS = 200.0  # of an answer, on average
Files = dict[str, bytes]
Writer = Callable[[Curve, Sequence[int]], Files]
LogWriter = Callable[[Curve, Sequence[int], int], Files]


def _json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


def vllm_run(curve: Curve, n: int, **changes: Any) -> dict[str, Any]:
    rate = float(curve.rate(n))
    done = 50 * n
    return {
        "date": "20261101-101010",
        "endpoint_type": "openai",
        "backend": "openai",
        "label": "openai",
        "model_id": "acme/llama-8b",
        "tokenizer_id": "acme/llama-8b",
        "num_prompts": done,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": n,
        "duration": done / rate,
        "completed": done,
        "failed": 0,
        "total_input_tokens": 128 * done,
        "total_output_tokens": int(TOKENS * done),
        "request_throughput": rate,
        "request_goodput": None,
        "output_throughput": rate * TOKENS,
        "total_token_throughput": rate * (TOKENS + 128.0),
        "max_concurrent_requests": n + 1,
        "mean_ttft_ms": 21.5,
        "std_ttft_ms": 3.5,
        "mean_e2el_ms": 1000.0 * n / rate,
        "std_e2el_ms": 50.0 * n / rate,
    } | changes


def vllm(curve: Curve, workloads: Sequence[int]) -> Files:
    return {f"bench-{n}.json": _json(vllm_run(curve, n)) for n in workloads}


def vllm_appended(curve: Curve, workloads: Sequence[int]) -> Files:
    return {"bench.json": b"\n".join(_json(vllm_run(curve, n)) for n in workloads)}


def vllm_sweep(curve: Curve, workloads: Sequence[int]) -> Files:
    runs = [vllm_run(curve, n, run_number=0) for n in workloads]
    return {"summary.json": _json(runs, 4)}


def vllm_table(curve: Curve, workloads: Sequence[int]) -> Files:
    """As pandas writes it: an index without a name, lists as text, nothing for null."""
    runs = [vllm_run(curve, n, run_number=0, errors=[""]) for n in workloads]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["", *runs[0]])
    for i, run in enumerate(runs):
        writer.writerow([i, *("" if value is None else value for value in run.values())])
    return {"summary.csv": file.getvalue().encode()}


def sglang(curve: Curve, workloads: Sequence[int]) -> Files:
    """Lines of `bench_serving --output-file`."""
    lines = []
    for n in workloads:
        run = vllm_run(curve, n)
        same = ("completed", "duration", "max_concurrency", "mean_ttft_ms", "request_throughput",
                "output_throughput", "total_input_tokens", "total_output_tokens")  # fmt: skip
        line = {
            "backend": "sglang",
            "dataset_name": "random",
            "request_rate": math.inf,
            "sharegpt_output_len": None,
            "random_input_len": 1024,
            "input_throughput": 1024.0 * run["request_throughput"],
            "total_throughput": 1024.0 * run["request_throughput"] + run["output_throughput"],
            "mean_e2e_latency_ms": run["mean_e2el_ms"],
            "std_e2e_latency_ms": run["std_e2el_ms"],
            "concurrency": run["request_throughput"] * run["mean_e2el_ms"] / 1000.0,
            "accept_length": None,
        }
        lines.append(_json(line | {name: run[name] for name in same}))
    return {"out.jsonl": b"\n".join(lines) + b"\n"}


def intervals(curve: Curve, n: int, count: int, seed: int = 0) -> list[tuple[float, float]]:
    """Beginnings and ends of requests in a closed loop of n, s: exponential sizes, shared alike."""
    rng = np.random.default_rng(seed)
    rate = float(curve.rate(n))
    now, held = 0.0, [0.0] * n
    found = []
    for _ in range(count):
        now += float(rng.exponential(1.0 / rate))
        which = int(rng.integers(n))
        found.append((held[which], now))
        held[which] = now
    return found


def vllm_detailed(curve: Curve, workloads: Sequence[int], requests: int = 0) -> Files:
    files = {}
    for n in workloads:
        found = intervals(curve, n, requests or 60 + 10 * n)
        detail = {
            "start_times": [start for start, _ in found],
            "ttfts": [0.25 * (end - start) for start, end in found],
            "itls": [[0.375 * (end - start)] * 2 for start, end in found],
            "output_lens": [int(TOKENS)] * len(found),
            "input_lens": [128] * len(found),
            "errors": [""] * len(found),
            "generated_texts": ["a"] * len(found),
        }
        files[f"detailed-{n}.json"] = _json(vllm_run(curve, n, **detail))
    return files


def _distribution(mean: float, **more: float) -> dict[str, Any]:
    one = {"mean": mean, "median": mean, "std_dev": 0.05 * mean, "count": 50, "min": 0.0} | more
    empty = dict.fromkeys(one, 0.0)
    return {"successful": one, "incomplete": empty, "errored": empty, "total": one}


def _guide_run(curve: Curve, n: int) -> dict[str, Any]:
    rate = float(curve.rate(n))
    return {
        "type_": "generative_benchmark",
        "config": {
            "strategy": {"type_": "concurrent", "streams": n},
            "backend": {"type_": "openai_http", "model": "acme/llama-8b"},
        },
        "metrics": {
            "request_totals": {
                "successful": 50 * n,
                "incomplete": n,
                "errored": 0,
                "total": 51 * n,
            },
            "requests_per_second": _distribution(rate),
            "request_concurrency": _distribution(float(n)),
            "request_latency": _distribution(n / rate),
            "output_tokens_per_second": _distribution(rate * TOKENS),
        },
        "start_time": 1.7e9,
        "end_time": 1.7e9 + 50 * n / rate,
        "duration": 50 * n / rate,
    }


def guidellm_7(curve: Curve, workloads: Sequence[int]) -> Files:
    report = {
        "metadata": {"version": 1, "guidellm_version": "0.7.0"},
        "args": {"target": "http://server:8000", "model": None},
        "benchmarks": [_guide_run(curve, n) for n in workloads],
    }
    return {"benchmarks.json": _json(report)}


def guidellm_8(curve: Curve, workloads: Sequence[int]) -> Files:
    report = {
        "metadata": {"version": 2, "guidellm_version": "0.8.0"},
        "config": {"backend": {"model": "acme/llama-8b"}},
        "benchmarks": [_guide_run(curve, n) for n in workloads],
    }
    return {"benchmarks.json": _json(report, 2)}


def aiperf(curve: Curve, workloads: Sequence[int]) -> Files:
    files = {}
    for n in workloads:
        rate = float(curve.rate(n))
        latency = 1000.0 * n / rate
        summary = {
            "schema_version": "1.4",
            "aiperf_version": "0.14.0",
            "request_throughput": {"unit": "requests/sec", "avg": rate},
            "request_latency": {
                "unit": "ms",
                "avg": latency,
                "p50": latency,
                "std": 0.05 * latency,
            },
            "request_count": {"unit": "requests", "avg": 50.0 * n},
            "output_token_throughput": {"unit": "tokens/sec", "avg": rate * TOKENS},
            "benchmark_duration": {"unit": "sec", "avg": 50.0 * n / rate},
            "input_config": {
                "endpoint": {"model_names": ["acme/llama-8b"], "type": "chat"},
                "loadgen": {"concurrency": n, "request_count": 50 * n},
            },
            "was_cancelled": False,
            "error_summary": [],
        }
        files[f"{n}-profile_export_aiperf.json"] = _json(summary, 2)
    return files


def aiperf_record(start: float, end: float, first: int = 1_759_813_207_532_900_363) -> bytes:
    metadata = {
        "session_num": 1,
        "request_start_ns": first + round(1e9 * start),
        "request_end_ns": first + round(1e9 * end),
        "benchmark_phase": "profiling",
        "was_cancelled": False,
    }
    metrics = {"output_sequence_length": {"value": TOKENS, "unit": "tokens"}}
    return _json({"metadata": metadata, "metrics": metrics, "error": None})


def aiperf_lines(curve: Curve, workloads: Sequence[int], requests: int = 0) -> Files:
    return {
        f"{n}-profile_export.jsonl": b"\n".join(
            aiperf_record(start, end) for start, end in intervals(curve, n, requests or 60 + 10 * n)
        )
        for n in workloads
    }


def inferencex_result(curve: Curve, n: int, **changes: Any) -> dict[str, Any]:
    rate = float(curve.rate(n))
    return {
        "hw": "h200",
        "tp": 8,
        "ep": 1,
        "dp_attention": "false",
        "conc": n,
        "model": "acme/llama-8b",
        "framework": "vllm",
        "precision": "fp8",
        "isl": 1024,
        "osl": 1024,
        "tput_per_gpu": rate * (TOKENS + 1024.0) / 8,
        "output_tput_per_gpu": rate * TOKENS / 8,
        "mean_e2el": n / rate,
        "mean_tpot": 0.02,
    } | changes


def inferencex(curve: Curve, workloads: Sequence[int]) -> Files:
    return {"agg_bmk.json": _json([inferencex_result(curve, n) for n in workloads], 2)}


def inferencex_dashboard(curve: Curve, workloads: Sequence[int]) -> Files:
    rows = []
    for n in workloads:
        row = inferencex_result(curve, n)
        names = ("tput_per_gpu", "output_tput_per_gpu", "mean_e2el", "mean_tpot")
        metrics = {name: row.pop(name) for name in names}
        row.pop("tp")
        rows.append(row | {"hardware": row.pop("hw"), "decode_tp": 8, "disagg": False,
                           "metrics": metrics})  # fmt: skip
    return {"rows.json": _json(rows)}


def table(curve: Curve, workloads: Sequence[int]) -> Files:
    lines = ["Concurrency, Requests per second, tokens/s, Completed"]
    for n in workloads:
        rate = float(curve.rate(n))
        lines.append(f"{n}, {rate}, {rate * TOKENS}, {50 * n}")
    return {"results.csv": "\n".join(lines).encode()}


def markdown(curve: Curve, workloads: Sequence[int]) -> Files:
    """A README: prose, a table of something else, and the results."""
    lines = [
        "# Llama 8B",
        "Served with `--max-num-seqs 64`; a | in prose is no table.",
        "| flag | why |",
        "|---|---|",
        "| `--enforce-eager` | start-up |",
        "",
        "| Concurrency | **Requests per second** | tokens/s | Completed |",
        "|:---:|---:|---:|---:|",
    ]
    for n in workloads:
        rate = float(curve.rate(n))
        lines.append(f"| **{n}** | {rate!r} | {rate * TOKENS:,.6f} | {50 * n:,} |")
    return {"README.md": "\n".join([*lines, "", "Measured twice."]).encode()}


def prometheus_series(name: str, values: Sequence[float], **labels: str) -> dict[str, Any]:
    metric = {"__name__": name, "instance": "10.0.0.1:8000", "model_name": "acme/llama-8b"}
    samples = [[1_700_000_000 + 15 * i, f"{value:.17g}"] for i, value in enumerate(values)]
    return {"metric": metric | labels, "values": samples}


def answer(*series: Mapping[str, Any]) -> bytes:
    return _json({"status": "success", "data": {"resultType": "matrix", "result": list(series)}})


def prometheus(curve: Curve, workloads: Sequence[int]) -> Files:
    """40 samples, 15 s apart, at each workload; a quarter of the requests waits."""
    jobs = np.repeat(np.array(workloads, float), 40)
    rate = curve.rate(0.5 * (jobs[1:] + jobs[:-1]))
    done = np.append(0.0, np.cumsum(15.0 * rate))
    gauges = (
        prometheus_series("vllm:num_requests_running", (0.75 * jobs).tolist()),
        prometheus_series("vllm:num_requests_waiting", (0.25 * jobs).tolist()),
    )
    counters = (
        prometheus_series("vllm:generation_tokens_total", (TOKENS * done).tolist(), engine="0"),
        prometheus_series("vllm:request_success_total", done.tolist(), finished_reason="stop"),
    )
    return {"gauges.json": answer(*gauges), "counters.json": answer(*counters)}


WRITERS: dict[str, Writer] = {
    one.__name__: one
    for one in (
        vllm,
        vllm_appended,
        vllm_sweep,
        vllm_table,
        vllm_detailed,
        sglang,
        guidellm_7,
        guidellm_8,
        aiperf,
        aiperf_lines,
        inferencex,
        inferencex_dashboard,
        table,
        markdown,
        prometheus,
    )
}
# Of requests one by one, with their randomness.
LOGS: dict[str, LogWriter] = {"vllm_detailed": vllm_detailed, "aiperf_lines": aiperf_lines}
