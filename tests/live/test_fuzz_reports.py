"""Whatever a backend says of its load: read as others read it, or refused, and soon."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from isocline.gateway.load_reports import SERVERS, ReportError, jobs_in_header, jobs_in_metrics

LARGEST = 1 << 25  # twice what one count may be
LONG = 200_000  # bytes: more than a head may have, and as much as vLLM's metrics
LABELS = st.dictionaries(
    st.sampled_from(["engine", "model_name", "le"]), st.text(max_size=6), max_size=2
)
VALUES = st.sampled_from(["0", "3", "3.0", "1e2", "+4", "007", "NaN", "-1", "+Inf", "0x1", "2 17"])
PIECES = st.sampled_from(['{a="b"}', "{", "}", '"', "\\", ",", " ", "\t", "\n", "# ", "1", "{}"])


def line(name: str, labels: dict[str, str], value: str) -> str:
    """One sample, its labels escaped as the format wants it."""
    said = ",".join(
        f'{key}="{text}"'
        for key, label in labels.items()
        for text in [label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")]
    )
    return f"{name}{{{said}}} {value}" if said else f"{name} {value}"


@st.composite
def metrics(draw: st.DrawFn) -> str:
    """vLLM's metrics, now and then with a piece in them that does not belong there."""
    names = st.sampled_from(
        ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:num_requests", "other"]
    )
    lines = draw(st.lists(st.builds(line, names, LABELS, VALUES), max_size=6))
    text = "".join(f"{one}\n" for one in lines)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(PIECES) + text[at:]
    return text


def by_prometheus(text: str) -> int | None:
    """The same by the Prometheus client's parser, which takes any number."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    try:
        return round(found["vllm:num_requests_running"] + found["vllm:num_requests_waiting"])
    except KeyError:
        return None


@given(metrics())
@settings(max_examples=250, deadline=None)
def test_metrics_are_read_as_prometheus_reads_them_or_refused(text: str) -> None:
    try:
        jobs = jobs_in_metrics(text, "vllm")
    except ReportError:
        return
    assert jobs is None or 0 <= jobs <= LARGEST
    with suppress(ValueError):  # lines of other metrics are none of ours
        assert (jobs or 0) == (by_prometheus(text) or 0)


TOKENS = st.sampled_from(
    [
        *("TEXT ", "JSON ", "BIN ", "named_metrics.", "num_requests_running", "=", ",", " ", "3"),
        *("num_requests_waiting", "{", "}", '"', ":", "named_metrics", "-1", "NaN", "1e99", "null"),
    ]
)
WHOLE = st.sampled_from(
    [
        "TEXT named_metrics.num_requests_running=3, named_metrics.num_requests_waiting=4",
        'JSON {"named_metrics": {"num_requests_running": 3, "num_requests_waiting": 4.0}}',
    ]
)


@given(WHOLE, st.lists(st.tuples(st.integers(0, 90), TOKENS), max_size=3))
@settings(max_examples=250, deadline=None)
def test_a_header_is_read_or_refused(header: str, changes: list[tuple[int, str]]) -> None:
    for at, token in changes:
        header = header[:at] + token + header[at:]
    try:
        jobs = jobs_in_header(header)
    except ReportError:
        return
    assert jobs is None or 0 <= jobs <= LARGEST
    assert changes or jobs == 7
    if jobs is not None and header.startswith("JSON "):
        named = json.loads(header[5:])["named_metrics"]
        counts = [float(named[f"num_requests_{kind}"]) for kind in ("running", "waiting")]
        assert jobs == round(sum(counts))


@pytest.mark.parametrize(
    "text",
    [
        "vllm:num_requests_running{" + 'a="' * LONG,
        "vllm:num_requests_running{" + 'a="b",' * LONG,
        "vllm:num_requests_running " + "1" * LONG,
        "vllm:num_requests_running " + " " * LONG + "x",
        "vllm:num_requests_running{}\n" * (LONG // 20),
        "\tvllm:num_requests_running" * (LONG // 20),
    ],
)
def test_nothing_takes_long_to_refuse(text: str) -> None:
    before = time.process_time()
    for server in SERVERS:
        with suppress(ReportError):
            jobs_in_metrics(text, server)
    with suppress(ReportError):
        jobs_in_header("TEXT " + text)
    with suppress(ReportError):
        jobs_in_header("JSON " + text)
    assert time.process_time() - before < 1.0  # linear: 10 ms
