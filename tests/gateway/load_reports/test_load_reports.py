"""Jobs as model servers report them."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.gateway.load_reports import (
    SERVERS,
    ReportError,
    jobs_in_header,
    jobs_in_metrics,
    server_of,
)

REPORTS = Path(__file__).parent / "reports"
COUNTS = st.integers(0, 1 << 20)
# What surrounds the lines that are looked for; none of it begins like one of them.
NOISE = st.text(st.characters(exclude_characters="\n\r"), max_size=40).map(lambda s: f"# {s}\n")


@pytest.mark.parametrize(
    ("server", "jobs"),
    [
        ("vllm", 18),
        ("sglang", 2988),
        ("tgi", 11),
        ("triton", 7),
        ("llama.cpp", 50),
        ("trtllm", 9),
        ("dynamo", 12),
    ],
)
def test_each_server_is_read_and_recognised(server: str, jobs: int) -> None:
    text = (REPORTS / f"{server}.txt").read_text()
    assert jobs_in_metrics(text, server) == jobs
    assert jobs_in_metrics(text) == jobs
    for other in SERVERS:
        if (server, other) not in ((server, server), ("vllm", "emulator")):
            with pytest.raises(ReportError, match=f"that of {SERVERS[server].title}, not of "):
                jobs_in_metrics(text, other)


def sglang(running: dict[str, int], waiting: dict[str, int]) -> str:
    """A page of these label sets."""
    lines = [
        f'sglang:{name}{{engine_type="unified",model_name="m"{labels}}} {float(jobs)}'
        for name, counts in (("num_running_reqs", running), ("num_queue_reqs", waiting))
        for labels, jobs in counts.items()
    ]
    return "\n".join(lines)


def test_priorities_repeat_their_total() -> None:
    by_priority = {',priority=""': 7, ',priority="1"': 5, ',priority="2"': 2}
    assert jobs_in_metrics(sglang(by_priority, {',priority=""': 1, ',priority="1"': 1})) == 8
    del by_priority[',priority=""']
    assert jobs_in_metrics(sglang(by_priority, {"": 1})) == 8


@given(
    st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_ranks_of_one_replica_tell_the_same_jobs(
    replicas: list[tuple[int, int]], tensor: int, pipeline: int
) -> None:
    """Of each replica every rank publishes all; under DP attention tp_rank goes on over them."""

    def page(kind: int) -> dict[str, int]:
        return {
            f',dp_rank="{dp}",moe_ep_rank="0",pp_rank="{pp}",tp_rank="{dp * tensor + tp}",'
            f'priority="{priority}"': jobs[kind]
            for dp, jobs in enumerate(replicas)
            for pp in range(pipeline)
            for tp in range(tensor)
            for priority in ("", "1")
        }

    assert jobs_in_metrics(sglang(page(0), page(1)), "sglang") == sum(map(sum, replicas))


def test_what_has_not_served_yet_is_recognised_and_holds_nothing() -> None:
    idle = (REPORTS / "vllm-idle-data-parallel.txt").read_text()
    assert jobs_in_metrics(idle) == jobs_in_metrics(idle, "vllm") == 0
    only_declared = "# HELP trtllm_num_requests_running Now.\n# TYPE trtllm_e2e_seconds histogram\n"
    assert jobs_in_metrics(only_declared) == 0
    assert jobs_in_metrics("# HELP other speaks of vllm:num_requests_running\nup 1\n") is None


def test_a_worker_of_dynamo_is_its_engine_and_older_frontends_are_read() -> None:
    worker = "dynamo_component_inflight_requests 9\n" + (REPORTS / "vllm.txt").read_text()
    assert jobs_in_metrics(worker) == 18
    assert jobs_in_metrics('dynamo_frontend_inflight_requests{model="m"} 4\n') == 4


def test_an_emulator_is_told_from_what_it_emulates() -> None:
    vllm = (REPORTS / "vllm.txt").read_text()
    found = server_of("isocline_emulator 1.0\n" + vllm)
    assert found is not None
    assert found.title == "isocline backend"
    assert jobs_in_metrics("isocline_emulator 1.0\n" + vllm) == 18


def test_lines_end_in_any_usual_way_and_may_hold_a_time() -> None:
    text = "tgi_queue_size 1\r\ntgi_batch_current_size\t{ } \t2.0 1395066363000\r\n"
    assert jobs_in_metrics(text) == 3


def test_labels_may_hold_anything_in_quotes() -> None:
    name = r"a} 9 \" request_type=\"waiting\" {"
    text = "".join(
        f'nv_trt_llm_request_metrics{{model="{name}",request_type="{kind}"}} {count}\n'
        for kind, count in (("scheduled", 1), ("max", 2), ("waiting", 4))
    )
    assert jobs_in_metrics(text, "triton") == 5


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1e9", "1_0", "0x1", "", "3 x", "١"])
def test_what_is_no_count_is_refused(value: str) -> None:
    text = f"tgi_queue_size {value}\ntgi_batch_current_size 1\n"
    with pytest.raises(ReportError, match="tgi_queue_size"):
        jobs_in_metrics(text, "tgi")
    header = f"TEXT named_metrics.num_requests_running={value},named_metrics.num_requests_waiting=0"
    with pytest.raises(ReportError, match="num_requests_running"):
        jobs_in_header(header)


def test_a_broken_line_is_refused_and_half_a_report_says_nothing() -> None:
    with pytest.raises(ReportError, match="a line of it is not"):
        jobs_in_metrics('tgi_queue_size{a="b 1\ntgi_batch_current_size 1\n', "tgi")
    with pytest.raises(ReportError, match="tgi_batch_current_size is missing"):
        jobs_in_metrics("tgi_queue_size 1\n")
    assert jobs_in_metrics("") is None
    assert jobs_in_header("TEXT named_metrics.num_requests_waiting=3") is None
    assert jobs_in_header("TEXT cpu_utilization=0.3, named_metrics.kv_cache_usage_perc=0.4") is None
    assert jobs_in_header("BIN CZqZmZmZmbk/") is None


@given(COUNTS, COUNTS, st.lists(NOISE), st.sampled_from(sorted(SERVERS)))
def test_counts_are_found_in_any_noise(a: int, b: int, noise: list[str], server: str) -> None:
    counts = SERVERS[server].counts[0]
    lines = [
        f"{series.name}{{{series.label}}} {count}\n"
        for series, count in zip(counts, (a, b), strict=False)
    ]
    text = "".join(part for line in lines for part in (*noise, line)) + "".join(noise)
    assert jobs_in_metrics(text, server) == sum((a, b)[: len(counts)])


@given(COUNTS, COUNTS, st.booleans())
def test_both_forms_of_the_header_say_the_same(running: int, waiting: int, camel: bool) -> None:
    named = {"num_requests_running": running, "num_requests_waiting": float(waiting)}
    text = ", ".join(f"named_metrics.{key}={value}" for key, value in named.items())
    report = {"cpu_utilization": 0.5, "namedMetrics" if camel else "named_metrics": named}
    assert jobs_in_header(f"TEXT mem_utilization=0.1,{text}") == running + waiting
    assert jobs_in_header(f"JSON {json.dumps(report)}") == running + waiting


def test_what_vllm_says_in_the_header_is_no_workload() -> None:
    """vLLM 0.32, alone and with two engines."""
    waiting, cache = "named_metrics.num_requests_waiting=2.0", "named_metrics.kv_cache_usage_perc=0"
    assert jobs_in_header(f"TEXT {waiting}, {cache}.5") is None
    assert jobs_in_header(f"TEXT {waiting}, {waiting}, {cache}.5, {cache}.1") is None


def test_counts_that_are_given_for_each_engine_are_summed() -> None:
    running, waiting = (
        "named_metrics.num_requests_running=3",
        "named_metrics.num_requests_waiting=2",
    )
    assert jobs_in_header(f"TEXT {running}, {running}, {waiting}, {waiting}.0") == 10


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("PROTO x", "begins with 'PROTO'; TEXT or JSON is wanted"),
        ("", "TEXT or JSON is wanted"),
        ("TEXT running", "'running' is not key=value"),
        ("JSON {", "is not JSON"),
        ("JSON " + "[" * 100_000, "is not JSON"),
        ('JSON {"named_metrics": [1]}', "named_metrics is not an object"),
        (
            'JSON {"named_metrics": {"num_requests_running": null, "num_requests_waiting": 1}}',
            "num_requests_running is 'None'",
        ),
        (
            'JSON {"named_metrics": {"num_requests_running": NaN, "num_requests_waiting": 1}}',
            "num_requests_running is 'NaN'",
        ),
    ],
)
def test_a_malformed_header_is_refused(header: str, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        jobs_in_header(header)


@given(st.text(max_size=300))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    for prefix in ("", "TEXT ", "JSON "):
        try:
            found = jobs_in_header(prefix + text)
        except ReportError:
            continue
        assert found is None or found >= 0
    series = "tgi_batch_current_size 1\ntgi_queue_size"
    with suppress(ReportError):
        assert (jobs_in_metrics(series + text, "tgi") or 0) >= 0
