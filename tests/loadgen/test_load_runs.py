"""Load over real sockets: what is due is sent, what is slow is seen, what fails is counted."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.loadgen import LoadSettings, Schedule, run_load
from isocline.loadgen.results import LoadResult
from isocline.report.tables.load import load_conditions
from tests.emulator.running import FAST, emulated
from tests.gateway.proxies import refusing_port
from tests.loadgen.servers import (
    OK,
    Reply,
    answer_and_close,
    answer_and_close_on_the_next,
    answer_and_reset_on_the_next,
    serving,
)
from tests.running import alive, running


def load(
    url: str, rate: float, duration: float, *, workers: int = 1, **options: object
) -> LoadResult:
    settings = LoadSettings(url, **options)  # type: ignore[arg-type]
    return run_load(settings, Schedule.poisson(rate, duration, 4, 8, seed=2), workers)


def test_all_that_is_due_is_sent_and_measured() -> None:
    with emulated(curve=FAST) as address:
        result = load(f"http://{address}", 800.0, 1.2)
        assert result.due == Schedule.poisson(800.0, 1.2, 4, 8, seed=2).times.size
        assert (result.completed, result.errors) == (result.due, {})
        assert (result.latency.count, result.lag.count) == (result.due, result.due)
        assert result.latency.mean >= result.lag.mean > 0
        warm = load(f"http://{address}", 800.0, 0.8, warmup=0.3)
        assert warm.due == pytest.approx(400, abs=100)
        assert warm.completed == warm.due


def test_workers_share_the_requests() -> None:
    with emulated(curve=FAST) as address:
        result = load(f"http://{address}", 300.0, 1.0, workers=2)
    assert result.due == Schedule.poisson(300.0, 1.0, 4, 8, seed=2).times.size
    assert (result.completed, result.workers) == (result.due, 2)


WORKERS = ["--rate", "50", "--duration", "600", "--workers", "2", "--json"]
LINUX = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@contextmanager
def loading(address: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """`isocline load` with two workers for ten minutes, of which both are at work."""
    command = [sys.executable, "-m", "isocline", "load", f"http://{address}", *WORKERS]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 60.0
        while requests_at(address) < 10:
            assert process.poll() is None
            assert time.monotonic() < end, "no load arrives"
            time.sleep(0.05)
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield process, [int(word) for word in found]


def requests_at(address: str) -> int:
    """Number of requests that an emulated backend has completed."""
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        text = response.read().decode()
    (count,) = re.findall(r"^vllm:e2e_request_latency_seconds_count\S* (\S+)$", text, re.MULTILINE)
    return int(float(count))


@LINUX
def test_sigint_of_the_parent_alone_ends_workers_early_with_what_they_have() -> None:
    with emulated(curve=FAST) as address, loading(address) as (process, workers):
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
        document = json.loads(out)
        assert (process.returncode, said) == (130, "")
        assert document["interrupted"]
        assert document["completed"] >= 10
        assert len(workers) == 2
        assert not any(map(alive, workers))


@LINUX
def test_a_worker_that_dies_is_named_and_the_others_are_ended() -> None:
    with emulated(curve=FAST) as address, loading(address) as (process, workers):
        os.kill(workers[1], signal.SIGKILL)  # the first one goes on for ten minutes
        out, said = process.communicate(timeout=60)
        assert (process.returncode, out) == (2, "")
        assert (
            "the process of load worker 1 was killed by SIGKILL, often for lack of memory; "
            "start the load again"
        ) in said
        assert not any(map(alive, workers))


@LINUX
def test_workers_send_no_more_once_their_parent_was_killed() -> None:
    with emulated(curve=FAST) as address, loading(address) as (process, workers):
        process.kill()
        end = time.monotonic() + 60.0
        while any(map(alive, workers)):
            assert time.monotonic() < end, "they send on"
            time.sleep(0.02)


def test_streams_have_times_of_tokens() -> None:
    """8 tokens at 100/s each: the last one is never there before 80 ms."""
    with emulated(curve="{type: servers, rate: 100, count: 1000}") as address:
        result = load(f"http://{address}", 40.0, 1.0, streams=True)
    assert result.errors == {}
    assert result.first_token is not None
    assert result.between_tokens is not None
    assert result.tokens == 8 * result.due
    assert (result.first_token.count, result.between_tokens.count) == (result.due, 7 * result.due)
    assert result.latency.p50 >= 0.080 * 0.999
    assert result.first_token.max <= result.latency.max


def silent(connection: socket.socket) -> None:
    pass


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    connection.close()


def closed(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def cut_off(connection: socket.socket) -> None:
    connection.sendall(OK[:-1])
    connection.shutdown(socket.SHUT_RDWR)


def until_the_end(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nas long as the connection")
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (lambda c: c.sendall(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"), "status 503"),
        (lambda c: c.sendall(b"garbage\r\n\r\n"), "not HTTP"),
        (silent, "timeout"),
        (reset, "reset"),
        (closed, "closed without an answer"),
        (cut_off, "cut off"),
    ],
)
def test_errors_are_counted_by_kind(reply: Reply, kind: str) -> None:
    with serving(reply) as url:
        result = load(url, 60.0, 0.3, timeout=0.4 if reply is silent else 60.0)
    assert result.errors == {kind: result.due}
    assert result.completed == 0


@pytest.mark.parametrize(
    "reply",
    [
        until_the_end,
        lambda c: c.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK),
        lambda c: c.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
def test_answers_of_any_framing_are_complete(reply: Reply) -> None:
    with serving(reply) as url:
        result = load(url, 60.0, 0.3)
    assert (result.completed, result.errors) == (result.due, {})


def test_a_stream_that_lacks_its_end_is_cut_off() -> None:
    with emulated("--fault", "reset", curve=FAST) as address:
        result = load(f"http://{address}", 60.0, 0.3, streams=True)
    assert set(result.errors) <= {"cut off", "reset"}
    assert sum(result.errors.values()) == result.due


def test_nobody_there_is_refused() -> None:
    with refusing_port() as port:
        result = load(f"http://127.0.0.1:{port}", 100.0, 0.3)
    assert result.errors == {"refused": result.due}


@pytest.mark.parametrize(
    ("reply", "always"),
    [
        (answer_and_close, False),
        (answer_and_close_on_the_next, True),
        (answer_and_reset_on_the_next, True),
    ],
)
def test_a_server_that_closes_idle_connections_fails_no_request(reply: Reply, always: bool) -> None:
    """Two requests are due at a time, for one connection: the second is sent as it is closed.

    If it is closed only then, all but the very first request are sent on a connection like that.
    """
    pairs = 40
    times = np.repeat(np.linspace(0.0, 0.5, pairs), 2)
    ones = np.ones(times.size, dtype=np.int64)
    with serving(reply) as url:
        settings = LoadSettings(url, connections=1)
        result = run_load(settings, Schedule("pairs", 0.5, times, ones, ones))
    assert (result.completed, result.errors) == (2 * pairs, {})
    assert result.connections == 1
    if always:
        assert result.reconnections == 2 * pairs - 1
    else:
        assert pairs <= result.reconnections < 2 * pairs
    assert f"closed {result.reconnections} of them" in load_conditions(result)


class TestVerb:
    def run(self, *arguments: str) -> object:
        return CliRunner().invoke(main, ["load", *arguments], prog_name="isocline")

    def test_json_and_table(self) -> None:
        with serving(lambda c: c.sendall(OK)) as url:
            made = self.run(url, "--rate", "200", "--duration", "0.5", "--json")
            table = self.run(url, "--rate", "200", "--duration", "0.5")
        document = json.loads(made.stdout)  # type: ignore[attr-defined]
        assert document["completed"] == document["due"]
        assert 0 < document["latency"]["p50"] <= document["latency"]["p99"]
        assert document["time_to_first_token"] is None
        assert "latency" in table.stdout  # type: ignore[attr-defined]
        assert "requests were due" in table.stdout  # type: ignore[attr-defined]

    def test_a_trace_is_replayed_with_its_sizes(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace.csv"
        rows = [f"2023-11-16 18:00:0{i}.0,{10 * (i + 1)},{i + 1}" for i in range(5)]
        trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
        with emulated(curve=FAST) as address:
            url = f"http://{address}"
            made = self.run(url, "--trace", str(trace), "--time-scale", "10", "--streams", "--json")
        document = json.loads(made.stdout)  # type: ignore[attr-defined]
        assert document["arrivals"] == "trace trace.csv"
        assert document["completed"] == 5
        assert document["tokens_rate"] == pytest.approx(15 / 0.5)

    def test_pictures_are_written(self, tmp_path: Path) -> None:
        with serving(lambda c: c.sendall(OK)) as url:
            made = self.run(url, "--rate", "300", "--duration", "0.5", "--out", str(tmp_path))
        assert made.exit_code == 0  # type: ignore[attr-defined]
        assert {path.name for path in tmp_path.iterdir()} == {"load.png", "load.svg", "load.csv"}
        data = np.genfromtxt(tmp_path / "load.csv", delimiter=",", skip_header=1)
        assert (np.diff(data[:5, 2]) >= 0).all()

    def test_no_answer_at_all_is_exit_status_1(self) -> None:
        with serving(closed) as url:
            made = self.run(url, "--rate", "50", "--duration", "0.2")
        assert made.exit_code == 1  # type: ignore[attr-defined]
        assert "requests failed: closed without an answer" in made.stdout  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ([], "either --rate R or --trace FILE"),
            (["--rate", "5"], "give --duration T"),
            (["--rate", "5", "--trace", "bursty"], "either --rate R or --trace FILE"),
            (["--rate", "-5", "--duration", "1"], "'--rate': '-5' is out of range; give"),
            (["--rate", "5", "--duration", "1", "--warmup", "2"], "give a longer duration"),
            (
                ["--rate", "5", "--duration", "1", "--workers", "0"],
                "'--workers': '0' is out of range; give",
            ),
            (["--trace", "nowhere.csv"], "nowhere.csv: does not exist"),
            (
                ["--trace", "bursty", "--time-scale", "0"],
                "'--time-scale': '0' is out of range; give",
            ),
        ],
    )
    def test_a_wrong_option_is_named(self, options: list[str], problem: str) -> None:
        made = self.run("http://127.0.0.1:1", *options)
        assert made.exit_code == 2  # type: ignore[attr-defined]
        assert problem in made.stderr  # type: ignore[attr-defined]


def test_the_log_may_be_json() -> None:
    with refusing_port() as port:
        words = ["load", f"http://127.0.0.1:{port}/", "--rate", "20", "--duration", "0.5"]
        done, plain = (
            CliRunner().invoke(main, [*words, *more], prog_name="isocline")
            for more in (["--log-format", "json", "--json"], ["--json"])
        )
    first, last = map(json.loads, done.stderr.splitlines())
    assert (first["event"], last["event"]) == ("load.started", "load.finished")
    assert last["due"] == json.loads(done.stdout)["due"]
    assert plain.stderr == ""
