"""Benchmark files of every format give the curve that they were measured on."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isocline.errors import UsageError
from isocline.measurements import MeasuredCurve
from isocline.measurements.points import ASSUMED
from isocline.measurements.reading import formats_of, read_benchmarks
from isocline.measurements.runs import (
    Unit,
    curve_of,
    curves_of,
    deviation_of,
    notes_of,
    unit_of,
)
from isocline.model.curves import KneeCurve
from tests.measurements import benchmark_files as files
from tests.measurements.benchmark_files import LOGS, TOKENS, WRITERS

CURVE = KneeCurve(40.0, 12.0, 3.0)
WORKLOADS = (1, 2, 4, 8, 16, 32, 64)


def written(directory: Path, contents: Mapping[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return [directory / name for name in contents]


def measured(paths: list[Path], unit: Unit | None = None) -> MeasuredCurve:
    (only,) = curves_of(read_benchmarks(paths))
    return curve_of(only, unit_of(only.runs, unit))


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_gives_the_curve_in_both_units(name: str, tmp_path: Path) -> None:
    paths = written(tmp_path, WRITERS[name](CURVE, WORKLOADS))
    tolerance = 0.15 if name in LOGS else 0.04
    factors: dict[Unit, float] = {"jobs": 1.0, "tokens": TOKENS}
    for unit, factor in factors.items():
        found = measured(paths, unit)
        at = np.array(WORKLOADS, float)
        assert np.abs(found.curve.rate(at) / (factor * CURVE.rate(at)) - 1.0).max() < tolerance
        assert found.unit == unit
        assert found.mean_work == (None if unit == "jobs" else pytest.approx(TOKENS, rel=0.01))
    # Without a model, the curve of one file has its name.
    names = {
        "table": "results",
        "markdown": "README",
        "sglang": "out",
        "aiperf_lines": "measured",
    }
    assert found.name == names.get(name, "llama-8b")


@pytest.mark.parametrize("name", sorted({*WRITERS} - {*LOGS, "prometheus"}))
def test_points_stand_at_the_concurrencies_with_their_rates(name: str, tmp_path: Path) -> None:
    found = measured(written(tmp_path, WRITERS[name](CURVE, WORKLOADS)))
    assert [point.workload for point in found.points] == pytest.approx(WORKLOADS)
    assert [point.rate for point in found.points] == pytest.approx(CURVE.rate(WORKLOADS))
    if not name.startswith(("inferencex", "table", "markdown")):
        assert [point.completions for point in found.points] == [50 * n for n in WORKLOADS]


@pytest.mark.parametrize("name", WRITERS)
def test_a_directory_and_packed_files_are_read_alike(name: str, tmp_path: Path) -> None:
    contents = LOGS[name](CURVE, (1, 3), 40) if name in LOGS else WRITERS[name](CURVE, WORKLOADS)
    packed = {f"{file}.gz": gzip.compress(content) for file, content in contents.items()}
    (tmp_path / "deeper").mkdir()
    written(tmp_path / "deeper", packed)
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    (tmp_path / "server.log").write_text("hello")
    (tmp_path / "profile_export_aiperf.csv").write_text(
        "Metric,avg,min\nTTFT,3,1\n\nMetric,Value\n"
    )
    plain = tmp_path / "plain"
    plain.mkdir()
    expected = measured(written(plain, contents))
    assert measured([tmp_path / "deeper"]).entry() == expected.entry()
    # Both together: the same runs count once.
    assert measured([tmp_path]).entry() == expected.entry() or name in (*LOGS, "prometheus")


def documents() -> list[tuple[str, Any]]:
    """The first document of each file that is JSON."""
    return [
        (name, json.loads(content.splitlines()[0] if b"}\n{" in content else content))
        for name, writer in WRITERS.items()
        for content in writer(CURVE, (1, 2)).values()
        if content[:1] in b"{["
    ]


NAMES = {"vllm": "vLLM bench", "sglang": "vLLM bench", "guidellm": "GuideLLM", "aiperf": "AIPerf",
         "inferencex": "InferenceX", "prometheus": "Prometheus"}  # fmt: skip


@pytest.mark.parametrize(("name", "document"), documents())
def test_a_document_is_of_one_format_alone(name: str, document: Any, tmp_path: Path) -> None:
    if name != "aiperf_lines":
        assert formats_of(document) == [NAMES[name.partition("_")[0]]]
    # With the fields of another beside its own it is refused, not taken for one of the two.
    for other_name, other in documents():
        if not (isinstance(document, dict) and isinstance(other, dict)):
            continue
        both = other | document
        if len(formats_of(both)) > 1:
            with pytest.raises(UsageError, match=r"run\.json: has the fields of .* and of"):
                read(tmp_path, both)
        elif formats_of(both) != formats_of(document) and name != "aiperf_lines":
            raise AssertionError(f"{name} and {other_name} are taken for {formats_of(both)}")


# N


def vllm_run(**changes: Any) -> dict[str, Any]:
    run = files.vllm_run(CURVE, 8)
    return {name: value for name, value in (run | changes).items() if value != "drop"}


def read(tmp_path: Path, document: Any) -> Any:
    return read_benchmarks(written(tmp_path, {"run.json": json.dumps(document).encode()}))


def test_an_open_loop_has_its_workload_by_littles_law(tmp_path: Path) -> None:
    (run,) = read(tmp_path, vllm_run(request_rate=4.0, max_concurrency=None, mean_e2el_ms=1500.0))
    assert run.workload == pytest.approx(run.requests * 1.5)
    # A limit of an open loop is no number of jobs.
    (run,) = read(tmp_path, vllm_run(request_rate=4.0, max_concurrency=256, mean_e2el_ms=1500.0))
    assert run.workload == pytest.approx(run.requests * 1.5)
    assert run.variation is None


@pytest.mark.parametrize("concurrency", [None, 256])
def test_without_either_the_message_says_how_to_run_it(tmp_path: Path, concurrency: Any) -> None:
    run = vllm_run(request_rate=4.0, max_concurrency=concurrency, mean_e2el_ms="drop")
    with pytest.raises(UsageError, match=r"run\.json: mean_e2el_ms is missing.*--max-concurrency"):
        read(tmp_path, run)


def test_a_short_run_stands_where_it_was_and_says_so(tmp_path: Path) -> None:
    run = files.vllm_run(CURVE, 8)
    (found,) = read(tmp_path, run | {"mean_e2el_ms": 0.5 * run["mean_e2el_ms"]})
    assert found.workload == pytest.approx(4.0)
    assert "4 jobs at the server on average" in found.notes[0]


def test_the_error_is_that_of_the_durations_of_a_closed_loop(tmp_path: Path) -> None:
    (run,) = read(tmp_path, files.vllm_run(CURVE, 8))
    point = run.point("jobs")
    assert point.error == pytest.approx(point.rate * 0.05 / np.sqrt(400))


@pytest.mark.parametrize("name", ["e2el", "e2e_latency"])
def test_percentiles_stand_for_a_deviation_that_is_missing(tmp_path: Path, name: str) -> None:
    run = files.vllm_run(CURVE, 8)
    mean = run.pop("mean_e2el_ms")
    del run["std_e2el_ms"]
    run |= {f"mean_{name}_ms": mean, f"median_{name}_ms": mean}
    (alone,) = read(tmp_path, run)
    assert alone.variation is None
    # A normal law has p90 1.2816 and p99 2.3263 deviations above its median.
    (found,) = read(tmp_path, run | {f"p90_{name}_ms": 1.12816 * mean})
    assert found.variation == pytest.approx(0.1 / np.sqrt(400), rel=1e-3)
    both = {f"p90_{name}_ms": 1.12816 * mean, f"p99_{name}_ms": 1.6979 * mean}
    (found,) = read(tmp_path, run | both)
    assert found.variation == pytest.approx(0.3 / np.sqrt(400), rel=1e-3)


def test_percentiles_of_aiperf_stand_for_a_deviation(tmp_path: Path) -> None:
    (content,) = files.aiperf(CURVE, (8,)).values()
    document = json.loads(content)
    latency = document["request_latency"]
    del latency["std"]
    (alone,) = read(tmp_path, document)
    assert alone.variation is None
    latency["p99"] = 1.23263 * latency["avg"]
    (found,) = read(tmp_path, document)
    assert found.variation == pytest.approx(0.1 / np.sqrt(400), rel=1e-3)


@pytest.mark.parametrize("law", ["exponential", "uniform", "gamma"])
def test_a_deviation_by_percentiles_is_hardly_too_small(law: str) -> None:
    rng = np.random.default_rng(1)
    draw = {
        "exponential": rng.exponential(1.0, 100_000),
        "uniform": rng.uniform(0.5, 1.5, 100_000),
        "gamma": rng.gamma(4.0, 0.25, 100_000),
    }[law]
    for ranks in ((90,), (99,), (90, 95, 99)):
        found = deviation_of(
            float(np.median(draw)), {rank: float(np.percentile(draw, rank)) for rank in ranks}
        )
        assert found is not None
        assert 0.7 * draw.std() < found < 1.8 * draw.std()


def test_failed_requests_are_noted(tmp_path: Path) -> None:
    (curve,) = curves_of(read(tmp_path, vllm_run(failed=100)))
    assert notes_of(curve) == [f"{tmp_path}/run.json: 100 requests failed, 20.0%; the rate counts "
                               "the others alone"]  # fmt: skip


def test_answers_of_unlike_length_are_noted(tmp_path: Path) -> None:
    rate = float(CURVE.rate(8))
    runs = [files.vllm_run(CURVE, 4), vllm_run(output_throughput=rate * 900.0)]
    (curve,) = curves_of(read(tmp_path, runs))
    (note,) = notes_of(curve)
    assert "200 tokens on average in" in note
    assert "900" in note


def test_runs_of_unlike_servers_at_one_workload_are_noted(tmp_path: Path) -> None:
    run = files.vllm_run(CURVE, 8)
    faster = run | {name: 1.6 * run[name] for name in ("request_throughput", "output_throughput")}
    again = run | {"request_throughput": 1.02 * run["request_throughput"], "date": "later"}
    paths = written(
        tmp_path,
        {f"{name}.json": json.dumps(it).encode()
         for name, it in (("tp4", faster), ("tp8", run), ("tp8-again", again))},
    )  # fmt: skip
    (curve,) = curves_of(read_benchmarks(paths))
    (note,) = notes_of(curve)
    assert "at N = 8 the rate is" in note
    assert "tp8.json and" in note
    assert "in " + str(tmp_path / "tp4.json") in note
    (curve,) = curves_of(read_benchmarks(paths[1:]))
    assert notes_of(curve) == []


def test_failed_requests_of_a_detailed_run_are_left_out(tmp_path: Path) -> None:
    (content,) = files.vllm_detailed(CURVE, [8]).values()
    run = json.loads(content)
    before = read(tmp_path, run)
    run["errors"] = [*run["errors"], "Bad gateway"]
    for name in ("start_times", "ttfts", "output_lens", "input_lens"):
        run[name].append(0.0)
    run["itls"].append([])
    assert read(tmp_path, run) == before


def test_requests_that_failed_are_noted_of_logs_of_requests_too(tmp_path: Path) -> None:
    (content,) = files.vllm_detailed(CURVE, [8]).values()
    run = json.loads(content)
    run["errors"] = ["HTTP 500" if i % 4 == 0 else "" for i in range(len(run["start_times"]))]
    (curve,) = curves_of(read(tmp_path, run))
    assert ["25.0%; the rate counts the others alone" in note for note in notes_of(curve)] == [True]
    (lines,) = files.aiperf_lines(CURVE, [8]).values()
    records = [json.loads(line) for line in lines.splitlines()]
    for record in records[::4]:
        record["error"] = {"code": 500}
    broken = b"\n".join(json.dumps(record).encode() for record in records)
    (curve,) = curves_of(read_benchmarks(written(tmp_path, {"profile.jsonl": broken})))
    assert ["requests failed" in note for note in notes_of(curve)] == [True]


# Markdown


def tables(tmp_path: Path, *rows: str) -> Any:
    return read_benchmarks(written(tmp_path, {"notes": "\n".join(rows).encode()}))


def test_tables_under_two_headings_are_two_curves(tmp_path: Path) -> None:
    head = ("| concurrency | rate |", "|---|---|")
    found = tables(
        tmp_path, "## H100", *head, "| 1 | 2.0 |", "| 2 | 3.5 |", "## L4", *head, "| 1 | 1.0 |"
    )
    curves = {one.name: len(one.runs) for one in curves_of(found)}
    assert curves == {"H100": 2, "L4": 1}


def test_a_table_of_markdown_needs_no_outer_pipes_and_may_have_short_rows(tmp_path: Path) -> None:
    (run,) = tables(tmp_path, "Results:", "concurrency | rate | gpu", "--- | ---: | ---", "8 | 3.5")
    assert (run.workload, run.requests) == (8.0, 3.5)
    assert run.source == f"{tmp_path / 'notes'}, line 4"


@pytest.mark.parametrize(
    "first", ["[![build](https://ci.example/badge.svg)](https://ci.example)", "[Results](a.md)"]
)
def test_a_readme_that_begins_with_a_link_is_no_json(tmp_path: Path, first: str) -> None:
    (run,) = tables(tmp_path, first, "", "| concurrency | rate |", "|---|---|", "| 8 | 1,203.5 |")
    assert run.requests == 1203.5


def test_a_wrong_cell_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 3: rate is 'OOM', expected a finite number above 0"):
        tables(tmp_path, "| concurrency | rate |", "|---|---|", "| 8 | OOM |")


def test_a_readme_beside_its_results_does_not_count_twice(tmp_path: Path) -> None:
    written(tmp_path, files.vllm(CURVE, WORKLOADS))
    before = measured([tmp_path])
    rounded = KneeCurve(40.2, 12.0, 3.0)
    written(tmp_path, files.markdown(rounded, WORKLOADS))
    assert measured([tmp_path]).points == before.points


# Curves


def test_several_machines_are_several_curves(tmp_path: Path) -> None:
    slow = KneeCurve(10.0, 12.0, 3.0)
    rows = [files.inferencex_result(CURVE, n) for n in WORKLOADS]
    rows += [files.inferencex_result(slow, n, hw="l4", tp=1) for n in WORKLOADS]
    found = curves_of(read(tmp_path, rows))
    assert [one.name for one in found] == ["h200 tp=8", "l4 tp=1"]
    assert all(len(one.runs) == len(WORKLOADS) for one in found)


def test_results_without_a_rate_of_answers_have_that_of_requests(tmp_path: Path) -> None:
    old = files.inferencex_result(CURVE, 8)
    rate = old.pop("output_tput_per_gpu")
    new = files.inferencex_result(CURVE, 16)
    (curve,) = curves_of(read(tmp_path, [old, new]))
    assert unit_of(curve.runs, None) == "jobs"
    assert [run.requests for run in curve.runs] == pytest.approx(CURVE.rate([8, 16]))
    del old["mean_e2el"]
    with pytest.raises(UsageError, match=r"\[0\]\.output_tput_per_gpu is missing, and so is"):
        read(tmp_path, [old, new])
    assert len(read(tmp_path, [old | {"output_tput_per_gpu": rate}, new])) == 2


def test_rows_of_the_dashboard_that_differ_in_parallelism_alone_are_two_curves(
    tmp_path: Path,
) -> None:
    (content,) = files.inferencex_dashboard(CURVE, (4, 8)).values()
    rows = json.loads(content)
    other = [row | {"decode_ep": 8} for row in rows]
    assert len(curves_of(read(tmp_path, rows + other))) == 2


def test_comments_before_the_header_of_a_table_are_left_out(tmp_path: Path) -> None:
    table = (
        b"# hardware: 1 x H100, 80GB\n\n# source: https://example.com\nn,rate\n1,2\n2,3.5\n4,x\n"
    )
    with pytest.raises(UsageError, match="line 7: rate is 'x'"):
        read_benchmarks(written(tmp_path, {"a.csv": table}))
    runs = read_benchmarks(written(tmp_path, {"a.csv": table.replace(b"4,x\n", b"")}))
    assert [(run.workload, run.requests) for run in runs] == [(1.0, 2.0), (2.0, 3.5)]
    with pytest.raises(UsageError, match="line 2: has the columns a, b"):
        read_benchmarks(written(tmp_path, {"a.csv": b"# n,rate\na,b\n1,2\n"}))
    with pytest.raises(UsageError, match="is empty"):
        read_benchmarks(written(tmp_path, {"a.csv": b"# nothing but this\n"}))


def test_disaggregated_rates_are_times_the_machines_that_decode(tmp_path: Path) -> None:
    row = files.inferencex_result(CURVE, 8, disagg=True, num_prefill_gpu=2, num_decode_gpu=6)
    (run,) = read(tmp_path, row)
    assert run.tokens == pytest.approx(6 * row["output_tput_per_gpu"])


def test_parameters_of_a_sweep_are_curves_and_names_of_runs_are_not(tmp_path: Path) -> None:
    runs = [
        files.vllm_run(CURVE, n, max_num_seqs=limit, my_name=f"c{n}")
        for n in WORKLOADS
        for limit in (64, 256)
    ]
    assert [one.name for one in curves_of(read(tmp_path, runs))] == [
        "max_num_seqs=256",
        "max_num_seqs=64",
    ]


def test_a_run_that_warms_a_sweep_up_does_not_count(tmp_path: Path) -> None:
    runs = [files.vllm_run(CURVE, 8, run_number=number) for number in (-1, 0)]
    runs[0]["request_throughput"] = 1.0
    (run,) = read(tmp_path, runs)
    assert run.requests == pytest.approx(float(CURVE.rate(8)))


def test_rates_of_one_unit_alone_are_refused_in_the_other(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("concurrency,tokens_per_second\n1,100\n2,190\n4,300\n")
    runs = read_benchmarks([path])
    assert unit_of(runs, None) == "tokens"
    with pytest.raises(UsageError, match="line 2: has no rate of requests; give --unit tokens"):
        unit_of(runs, "jobs")


def test_what_isocline_writes_is_read_again(tmp_path: Path) -> None:
    from isocline.report.export.files import write_rows

    found = measured(written(tmp_path, WRITERS["vllm"](CURVE, WORKLOADS)))
    again = measured([write_rows(tmp_path / "measured.csv", found.rows())])
    assert again.entry() == found.entry()


@pytest.mark.parametrize(
    ("load", "closed"),
    [
        ({"loadgen": {"concurrency": 8}}, True),
        ({"loadgen": {"concurrency": 8, "request_rate": 3.0}}, False),
        (
            {
                "phases": [
                    {"type": "poisson", "rate": 9.0},
                    {"type": "concurrency", "concurrency": 8},
                ]
            },
            True,
        ),
        (
            {"phases": [{"type": "concurrency", "concurrency": 8}, {"type": "poisson", "rate": 9}]},
            False,
        ),
        ({"phases": [{"type": "fixed_schedule", "concurrency": 8}]}, False),
        ({}, False),
    ],
)
def test_aiperf_says_in_two_ways_whether_a_loop_is_closed(
    load: dict[str, Any], closed: bool, tmp_path: Path
) -> None:
    (content,) = files.aiperf(CURVE, (8,)).values()
    summary = json.loads(content) | {"input_config": load, "is_complete": False}
    summary["request_latency"]["avg"] *= 1.5  # as if requests waited at the client
    (run,) = read(tmp_path, summary)
    assert run.workload == pytest.approx(8.0 if closed else 12.0)
    assert run.notes == ("the run was cut off before its end",)


@pytest.mark.parametrize(
    ("header", "row"),
    [("Mean latency (ms)", "1500"), ("mean-latency", "1.5"), ("latency [s]", "1.5")],
)
def test_a_table_may_have_latencies_in_place_of_workloads(
    header: str, row: str, tmp_path: Path
) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"RPS;{header};Comment\n2;{row};slow\n")
    (run,) = read_benchmarks([path])
    assert (run.workload, run.requests) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("columns", "values", "spread", "counted"),
    [
        ("completed", "100", ASSUMED, False),
        ("completed", "10000", 0.01, True),
        ("completed,std_e2el_ms", "100,750", 0.05, True),
        ("completed,latency_std", "100,0.75", 0.05, True),
        ("completed,std_latency,mean_latency", "100,0.75,3", 0.025, True),
        ("completed,standard_error", "100,0.2", 0.1, True),
    ],
)
def test_the_error_of_a_closed_loop_is_not_that_of_its_count(
    columns: str, values: str, spread: float, counted: bool, tmp_path: Path
) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"concurrency,rps,{columns}\n3,2,{values}\n")
    (run,) = read_benchmarks([path])
    point = run.point("jobs")
    assert point.counted == counted
    assert point.spread == pytest.approx(spread)


def test_arrivals_of_an_open_loop_have_the_error_of_their_count(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("rps,mean_latency,completed\n2,1.5,100\n")
    (run,) = read_benchmarks([path])
    assert run.point("jobs").spread == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("file", "header", "label", "name"),
    [
        ("l4-chat.csv", "", "", "l4-chat"),
        ("l4.v2.csv.gz", "", "", "l4.v2"),
        ("results.csv", "gpu,", "L4,", "L4"),
        ("results.csv", "gpu,model,", "L4,acme/llama-8b,", "llama-8b"),
    ],
)
def test_a_lone_curve_has_the_name_of_what_was_measured(
    file: str, header: str, label: str, name: str, tmp_path: Path
) -> None:
    lines = [f"{header}concurrency,rps"]
    lines += [f"{label}{n},{n / (n + 4)}" for n in (1, 2, 4)]
    content = "\n".join(lines).encode()
    paths = written(tmp_path, {file: gzip.compress(content) if file.endswith("gz") else content})
    assert measured(paths).name == name


@pytest.mark.parametrize("name", ["Throughput (req/s)", "throughput [requests/s]", "Requests/s"])
def test_a_throughput_has_its_meaning_by_its_unit(name: str, tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"concurrency,{name}\n3,2\n")
    (run,) = read_benchmarks([path])
    assert (run.workload, run.requests) == (3.0, 2.0)


def test_a_curve_of_several_tables_has_the_name_of_none(tmp_path: Path) -> None:
    table = b"concurrency,rps\n%d,1\n"
    paths = written(tmp_path, {f"{n}.csv": table % n for n in (1, 2)})
    assert measured(paths).name == "measured"


def test_rates_of_no_common_unit_are_refused_with_a_file_of_each(tmp_path: Path) -> None:
    contents = {
        "jobs.csv": b"name,concurrency,rps\na,1,1\n",
        "tokens.csv": b"name,concurrency,tokens_per_second\nb,1,100\n",
    }
    runs = read_benchmarks(written(tmp_path, contents))
    expected = (
        r"jobs\.csv, line 2: has no rate of output tokens, and .*tokens\.csv, line 2 has none"
    )
    with pytest.raises(UsageError, match=expected):
        unit_of(runs, None)


def test_runs_far_apart_at_many_workloads_are_noted_once(tmp_path: Path) -> None:
    rows = [f"{n},{rate * n}" for n in (1, 2, 4, 8) for rate in (1.0, 1.5 + n / 100)]
    path = tmp_path / "rates.csv"
    path.write_text("concurrency,rps\n" + "\n".join(rows))
    (only,) = curves_of(read_benchmarks([path]))
    (note,) = notes_of(only)
    assert "at N = 8 the rate is 8 jobs/s in" in note
    assert "(as at 3 other workloads); they are averaged" in note


# Prometheus


def joined(tmp_path: Path, *series: Mapping[str, Any]) -> Any:
    return read_benchmarks(written(tmp_path, {"answer.json": files.answer(*series)}))


def test_a_counter_that_was_reset_and_missing_samples_are_left_out(tmp_path: Path) -> None:
    jobs = files.prometheus_series("vllm:num_requests_running", [8.0] * 12)
    done = [100.0 * i for i in range(12)]
    done[6:] = [100.0 * i for i in range(6)]  # a restart
    tokens = files.prometheus_series("vllm:generation_tokens_total", done)
    (run,) = joined(tmp_path, jobs, tokens)
    assert run.tokens == pytest.approx(100.0 / 15.0)
    assert run.seconds == pytest.approx(10 * 15.0)
    del jobs["values"][3:5]
    (run,) = joined(tmp_path, jobs, tokens)
    assert run.tokens == pytest.approx(100.0 / 15.0)
    assert run.seconds == pytest.approx(7 * 15.0)


def test_series_of_engines_are_summed_and_servers_are_kept_apart(tmp_path: Path) -> None:
    series = [
        files.prometheus_series(name, values, engine=engine, instance=instance)
        for instance in ("a:1", "b:1")
        for engine in ("0", "1")
        for name, values in (
            ("vllm:num_requests_running", [4.0] * 5),
            ("vllm:generation_tokens_total", [30.0 * i for i in range(5)]),
        )
    ]
    runs = joined(tmp_path, *series)
    assert [(run.workload, run.tokens, run.seconds) for run in runs] == [(8.0, 4.0, 60.0)] * 2
    assert {run.source.rpartition(", ")[2] for run in runs} == {"a:1", "b:1"}


def test_samples_that_are_nan_are_none(tmp_path: Path) -> None:
    jobs = files.prometheus_series("vllm:num_requests_running", [8.0] * 6)
    tokens = files.prometheus_series("vllm:generation_tokens_total", [0, 15, 30, 45, 60, 75])
    jobs["values"][2][1] = "NaN"
    (run,) = joined(tmp_path, jobs, tokens)
    assert run.tokens == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"status": "error", "error": "bad query", "data": {"resultType": ""}}, "bad query"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "range query"),
        (
            {"data": {"resultType": "matrix", "result": [{"metric": {}, "values": []}]}},
            "an expression has no name",
        ),
        (
            {
                "data": {
                    "resultType": "matrix",
                    "result": [{"metric": {"__name__": "up"}, "values": []}],
                }
            },
            "'up', which is unknown here",
        ),
        (
            json.loads(
                files.answer(files.prometheus_series("vllm:num_requests_running", [1.0] * 4))
            ),
            "no server has both a gauge",
        ),
    ],
)
def test_answers_that_make_no_curve_say_what_to_query(
    tmp_path: Path, document: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, document)
