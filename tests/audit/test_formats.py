"""Lines of each router, read back as what happened."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.audit.formats.exchange import Attempt, Exchange, Outcome, frontend_of
from isocline.audit.formats.nginx import Nginx, log_formats
from isocline.audit.formats.recognise import recognised
from isocline.audit.formats.times import seconds
from isocline.errors import IsoclineError, TraceError, UsageError

AT = datetime(2026, 11, 30, 9, 0, 1, tzinfo=UTC).timestamp()
HAPROXY = (
    "10.0.1.2:33317 [30/Nov/2026:09:00:01.000] web~ static/s1 10/20/30/40/150 {status} 2750 - - "
    '{ended} 1/1/1/1/0 0/0 {captured}"GET /index.html HTTP/1.1"'
)


def read(line: str, format_given: str | None = None) -> Exchange:
    found = recognised("log", [line], format_given).parse(line)
    assert found is not None
    return found


def near(found: Exchange, start: float, end: float, *attempts: Attempt) -> None:
    assert found.start == pytest.approx(start, abs=1e-6)
    assert found.end == pytest.approx(end, abs=1e-6)
    assert [it.backend for it in found.attempts] == [it.backend for it in attempts]
    assert [it.outcome for it in found.attempts] == [it.outcome for it in attempts]
    for it, wanted in zip(found.attempts, attempts, strict=True):
        assert (it.begin, it.end) == pytest.approx((wanted.begin, wanted.end), abs=1e-6)


@pytest.mark.parametrize(
    "line",
    [
        '1.2.3.4 - - [30/Nov/2026:09:00:01 +0000] "GET /v1/chat?x=1 HTTP/1.1" 200 12 "-" "curl x" '
        'rt=0.120 uct="0.000" uht="0.110" urt="0.118" ua="10.0.0.1:80"',
        f'{AT:.3f} 0.120 "10.0.0.1:80" "0.118" "200" 200 h "/v1/chat"',
        '1.2.3.4 - - [30/Nov/2026:10:00:01 +0100] "POST /x HTTP/2.0" 200 5 "-" "Mozilla/5.0 (X) b" '
        "345 0.120 [default-web-80] [] 10.0.0.1:80 5 0.118 200 abcdef",
        f'{{"msec": "{AT}", "request_time": "0.120", "upstream_addr": "10.0.0.1:80", '
        '"upstream_response_time": "0.118", "status": "200"}',
        'Nov 30 09:00:01 host nginx: 1.2.3.4 - - [30/Nov/2026:09:00:01 +0000] "GET / HTTP/1.1" 200 '
        '1 "-" "-" rt=0.120 uct="0.0" uht="0.1" urt="0.118" ua="10.0.0.1:80"',
    ],
)
def test_nginx_logs_the_end_of_a_request_and_how_long_the_upstream_took(line: str) -> None:
    attempt = Attempt("10.0.0.1:80", AT - 0.12, AT - 0.002, Outcome.SERVED)
    near(read(line), AT - 0.12, AT, attempt)


def test_several_upstreams_in_one_field_are_attempts_one_after_the_other() -> None:
    line = f'{AT:.3f} 0.100 "a:80, b:80 : c:80" "0.010, 0.020 : 0.060" "502, 200 : 200" 200 h "/"'
    near(
        read(line),
        AT - 0.1,
        AT,
        Attempt("a:80", AT - 0.1, AT - 0.09, Outcome.FAILED),
        Attempt("b:80", AT - 0.09, AT - 0.07, Outcome.SERVED),  # a redirect within
        Attempt("c:80", AT - 0.07, AT - 0.01, Outcome.SERVED),
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.SERVED),
        (404, Outcome.SERVED),
        (499, Outcome.ABANDONED),
        (429, Outcome.FAILED),
        (502, Outcome.FAILED),
    ],
)
def test_a_status_is_an_outcome(status: int, outcome: Outcome) -> None:
    found = read(f'{AT:.3f} 0.1 "a:80" "0.1" "-" {status} h "/"')
    assert found.outcome == found.attempts[0].outcome == outcome


def test_a_request_that_no_upstream_had_has_no_attempt() -> None:
    assert read(f'{AT:.3f} 0.000 "-" "-" "-" 200 h "/"').attempts == ()


@pytest.mark.parametrize("prefix", ["", "Nov 30 09:00:01 lb haproxy[14389]: ", "<134>haproxy[1]: "])
@pytest.mark.parametrize("captured", ["", "{example.org|curl} {} ", "{a} "])
def test_haproxy_logs_its_timers(prefix: str, captured: str) -> None:
    line = prefix + HAPROXY.format(status=200, ended="----", captured=captured)
    found = read(line)
    near(found, AT + 0.01, AT + 0.15, Attempt("static/s1", AT + 0.03, AT + 0.15, Outcome.SERVED))
    assert found.held == pytest.approx(0.02)
    assert found.frontend == "web static"


def test_haproxy_tells_by_its_termination_state_who_gave_up() -> None:
    for ended, outcome in (("CD--", Outcome.ABANDONED), ("sH--", Outcome.FAILED)):
        assert read(HAPROXY.format(status=200, ended=ended, captured="")).outcome == outcome
    nobody = HAPROXY.replace("static/s1", "static/<NOSRV>")
    assert read(nobody.format(status=503, ended="SC--", captured="")).attempts == ()


def test_a_time_that_haproxy_did_not_see_the_end_of_cannot_be_read() -> None:
    line = HAPROXY.format(status=200, ended="----", captured="").replace("/150", "/+150")
    parser = recognised("log", [line])
    with pytest.raises(ValueError, match="150"):
        parser.parse(line)


@pytest.mark.parametrize(
    "line",
    [
        '[2026-11-30T09:00:01.000Z] "POST /api/v1/x HTTP/2" 200 - 154 0 226 100 "10.0.35.28" "nsq" '
        '"cc21d9b0" "locations" "10.0.2.1:80"',
        '[2026-11-30T09:00:01.000Z] "GET /s HTTP/1.1" 200 - via_upstream - "-" 0 135 226 4 "-" '
        '"curl/7.73.0-DEV" "84961386" "httpbin:8000" "10.0.2.1:80" inbound|8000|| 127.0.0.1:41854 '
        "10.44.1.27:80 10.44.1.23:37652 outbound_.8000_ default",
        '{"start_time": "2026-11-30T10:00:01.000+01:00", "duration": 226, "response_code": 200, '
        '"upstream_host": "10.0.2.1:80", "response_flags": "-", "path": "/a", "authority": "h"}',
    ],
)
def test_envoy_logs_the_beginning_and_milliseconds(line: str) -> None:
    near(read(line), AT, AT + 0.226, Attempt("10.0.2.1:80", AT, AT + 0.226, Outcome.SERVED))


def test_envoy_says_by_a_flag_that_the_client_went_away() -> None:
    line = (
        '[2026-11-30T09:00:01.000Z] "GET / HTTP/1.1" 0 DC 154 0 226 - "-" "-" "-" "-" "10.0.2.1:80"'
    )
    assert read(line).outcome == Outcome.ABANDONED


def test_isoclines_own_log_is_read() -> None:
    line = (
        '{"time":"2026-11-30T09:00:01.000Z","peer":"1","method":"GET","host":"h","path":"/",'
        '"status":200,"frontend":"all","backend":"b1","policy":"x","attempts":1,"wait_ms":1.5,'
        '"duration_ms":20.5,"received":1,"returned":2}'
    )
    found = read(line)
    near(found, AT, AT + 0.0205, Attempt("b1", AT + 0.0015, AT + 0.0205, Outcome.SERVED))
    assert found.held == pytest.approx(0.0015)
    assert found.frontend == "all"


def test_a_template_of_the_users_is_that_of_its_router(tmp_path: Path) -> None:
    own = "[$time_iso8601] $status $upstream_addr ${request_time}s"
    line = "[2026-11-30T09:00:01+00:00] 200 10.0.0.1:80 0.120s"
    attempt = Attempt("10.0.0.1:80", AT - 0.12, AT, Outcome.SERVED)
    near(read(line, own), AT - 0.12, AT, attempt)
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        "http {\n  # log_format old '$status';\n  log_format short '$status $host';\n"
        "  log_format own escape=json '[$time_iso8601] $status '\n"
        "                 '$upstream_addr ${request_time}s';\n}\n"
    )
    assert log_formats(conf) == {"short": "$status $host", "own": own}
    near(read(line, str(conf)), AT - 0.12, AT, attempt)
    envoy = "%START_TIME% %UPSTREAM_HOST% %DURATION%"
    near(
        read("2026-11-30T09:00:01.000Z 10.0.0.1:80 120", envoy),
        AT,
        AT + 0.12,
        Attempt("10.0.0.1:80", AT, AT + 0.12, Outcome.SERVED),
    )
    haproxy = "%[src] %tr %b/%s %Tw %Ta %ST"
    near(
        read("1.2.3.4 30/Nov/2026:09:00:01.000 pool/s1 20 120 200", haproxy),
        AT,
        AT + 0.12,
        Attempt("pool/s1", AT + 0.02, AT + 0.12, Outcome.SERVED),
    )


@pytest.mark.parametrize(
    ("line", "format_given", "words"),
    [
        ('1.2.3.4 - - [30/Nov/2026:09:00:01 +0000] "GET / HTTP/1.1" 200 1 "-" "x"', None,
         r"combined, which lacks how long .* and where .*; log this from now on: log_format audit"),
        ("hello", None, r"unknown format, first line 'hello'.* known: nginx; nginx, as advised; "),
        ("a,b,c", None, r"log:1: a CSV with the columns .* lacks the columns start, duration"),
        ('{"x": 1}', None, r"JSON with 'x' lacks"),
        ("{broken", None, r"no line is a JSON object"),
        ("hello", "$status $host", r"not of the format .*; the first is 'hello'"),
        ("200 h", "$status $host", r"the format --format lacks a time \(\$msec\) and how long"),
    ],
)  # fmt: skip
def test_a_format_that_cannot_be_used_is_refused_with_what_to_do(
    line: str, format_given: str | None, words: str
) -> None:
    with pytest.raises(TraceError, match=words):
        recognised("log", [line], format_given)


def test_a_format_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        recognised("log", ["x"], str(tmp_path / "no.conf"))
    (tmp_path / "empty.conf").write_text("events {}\n")
    with pytest.raises(UsageError, match="has no log_format"):
        recognised("log", ["x"], str(tmp_path / "empty.conf"))


TIMES = st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000.0)
LONG = st.integers(0, 10**6).map(lambda ms: ms / 1000.0)
STATUS = st.sampled_from([200, 301, 404, 429, 499, 500, 503])


@given(TIMES, st.lists(LONG, min_size=1, max_size=4), STATUS)
def test_nginx_round_trip(end: float, each: list[float], status: int) -> None:
    names = [f"10.0.0.{i}:80" for i in range(len(each))]
    times = ", ".join(f"{it:.3f}" for it in each)
    codes = ", ".join(["502"] * (len(each) - 1) + [str(status)])
    line = f'{end:.3f} {sum(each):.3f} "{", ".join(names)}" "{times}" "{codes}" {status} h "/a"'
    found = recognised("log", [line]).parse(line)
    assert found is not None
    assert [it.backend for it in found.attempts] == names
    assert found.end == pytest.approx(end)
    long = [it.end - it.begin for it in found.attempts]
    assert long == pytest.approx(each, abs=2e-3)  # of what rounding the sum leaves, and doubles
    assert {it.outcome for it in found.attempts[:-1]} <= {Outcome.FAILED}


@given(TIMES, LONG, STATUS, st.sampled_from(["ms", "s", "us"]))
def test_csv_and_json_round_trip(start: float, long: float, status: int, unit: str) -> None:
    scale = {"ms": 1e3, "s": 1.0, "us": 1e6}[unit]
    row: dict[str, Any] = {
        "start": f"{start:.3f}", f"duration_{unit}": long * scale, "upstream": "a", "status": status
    }  # fmt: skip
    date = datetime.fromtimestamp(start, UTC).isoformat()
    lines = [
        json.dumps(row),
        ",".join(map(str, row.values())),
        ",".join(map(str, (row | {"start": date}).values())),
    ]
    for line in lines:
        head = [] if line.startswith("{") else [",".join(row)]
        found = recognised("log", [*head, line]).parse(line)
        assert found is not None
        assert found.end - found.start == pytest.approx(long, abs=2e-3)
        assert (found.start % 1.0) == pytest.approx(start % 1.0, abs=2e-3) or start > 9e10


@given(st.text(max_size=300), st.one_of(st.none(), st.text(max_size=30)))
def test_any_text_is_read_or_refused(line: str, format_given: str | None) -> None:
    given_line = line if line.strip() else "x"
    try:
        parser = recognised("log", [given_line], format_given)
    except IsoclineError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    # Else it is counted as a line that cannot be read.
    with suppress(ValueError, TypeError, OverflowError, AttributeError, KeyError):
        parser.parse(given_line)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30/Nov/2026:09:00:01 +0000", AT),
        ("30/Nov/2026:04:30:01 -0430", AT),
        ("2026-11-30 09:00:01,250", AT + 0.25),
        ("2026-11-30T09:00:01.250000000Z", AT + 0.25),
        (AT, AT),
        (f"{AT * 1000:.0f}", AT),
        (AT * 1e6, AT),
        (AT * 1e9, AT),
    ],
)
def test_points_in_time(text: str | float, wanted: float) -> None:
    assert seconds(text) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "text", ["", "-", "nan", "inf", "-5", "31/Foo/2026:09:00:01", "2026-13-01T00:00:00"]
)
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of Python's own words
        seconds(text)


def test_an_origin_is_host_and_first_segment_of_the_path() -> None:
    assert frontend_of("h", "GET /api/v1/x?y=1 HTTP/1.1") == "h/api"
    assert frontend_of("h", "/") == frontend_of("h", "/12345") == "h/"
    assert frontend_of("", "http://h/chat/x") == "/chat"


def test_the_advice_for_nginx_is_a_format_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(Nginx.advice)
    (text,) = log_formats(tmp_path / "nginx.conf").values()
    assert text in Nginx.templates.values()
