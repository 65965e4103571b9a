"""Load over real sockets: what is due is sent, what is slow is seen, what fails is counted."""

import json
import socket
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.emulator.sharing import Job, ProcessorSharing
from isocline.loadgen import LoadSettings, Schedule, run_load
from isocline.loadgen.results import LoadResult
from isocline.model.traffic import ExponentialSizes
from tests.emulator.running import FAST, emulated
from tests.loadgen.servers import OK, Reply, serving, stalling


def load(
    url: str, rate: float, duration: float, *, workers: int = 1, **options: object
) -> LoadResult:
    settings = LoadSettings(url, **options)  # type: ignore[arg-type]
    return run_load(settings, Schedule.poisson(rate, duration, 4, 8, seed=2), workers)


@pytest.mark.parametrize("connections", [1, 200])
def test_a_stall_is_felt_by_all_who_were_due_in_it(connections: int) -> None:
    """A closed loop on one connection would measure one slow request in hundreds.

    Due times are uniform over the stall of 0.5 s, a quarter of the 2 s, so that the latency exceeds
    x with probability (0.5 - x) / 2, and its mean is at least 0.0625 s.
    """
    with serving(stalling(after=0.7, length=0.5)) as url:
        result = load(url, 300.0, 2.0, connections=connections)
    assert result.completed == result.due
    assert result.latency.max == pytest.approx(0.5, abs=0.1)
    assert result.latency.mean == pytest.approx(0.0625, abs=0.03)
    assert result.latency.p90 == pytest.approx(0.3, abs=0.08)
    assert result.latency.p50 < 0.05


def test_all_that_is_due_is_sent_on_time_and_measured() -> None:
    with emulated(curve=FAST) as address:
        result = load(f"http://{address}", 800.0, 1.2)
        assert result.due == Schedule.poisson(800.0, 1.2, 4, 8, seed=2).times.size
        assert (result.completed, result.errors) == (result.due, {})
        assert result.completed_rate == pytest.approx(800.0, rel=0.1)
        assert result.lag.p50 < 0.01
        assert result.latency.p50 >= result.lag.p50
        warm = load(f"http://{address}", 800.0, 0.8, warmup=0.3)
        assert warm.due == pytest.approx(400, abs=100)
        assert warm.completed_rate == pytest.approx(800.0, rel=0.2)


def test_workers_share_the_requests() -> None:
    with emulated(curve=FAST) as address:
        result = load(f"http://{address}", 300.0, 1.0, workers=2)
    assert result.due == Schedule.poisson(300.0, 1.0, 4, 8, seed=2).times.size
    assert (result.completed, result.workers) == (result.due, 2)


def test_streams_have_times_of_tokens() -> None:
    """8 tokens at 100/s each: the first after 10 ms, the last after 80 ms."""
    with emulated(curve="{type: servers, rate: 100, count: 1000}") as address:
        result = load(f"http://{address}", 40.0, 1.0, streams=True)
    assert result.errors == {}
    assert result.first_token is not None
    assert result.between_tokens is not None
    assert result.tokens == 8 * result.due
    assert result.first_token.p50 == pytest.approx(0.010, abs=0.006)
    assert result.between_tokens.mean == pytest.approx(0.010, abs=0.003)
    assert result.latency.p50 == pytest.approx(0.080, abs=0.010)
    assert result.between_tokens.count == 7 * result.due


def exact_sojourns(times: list[float], works: list[float]) -> np.ndarray:
    """Of jobs at one server that does 1 unit/s, shared: from arrival to end."""
    server, came, sojourns = ProcessorSharing(lambda _: 1.0), {}, []
    for time_due, work in [*zip(times, works, strict=True), (1e6, 1.0)]:
        while (end := server.next_end()) <= time_due:
            sojourns += [end - came[job] for job in server.advance(end)]
        server.advance(time_due)
        job = Job(work)
        came[job] = time_due
        server.admit(job)
    return np.array(sojourns)


def test_a_queue_is_measured_as_it_must_be_for_these_arrivals_and_sizes() -> None:
    """Both are known by their seeds, and so are all latencies, but for the way there and back."""
    options = ("--unit", "jobs", "--sizes", "exponential", "--seed", "7")
    with emulated(*options, curve="{type: servers, rate: 100, count: 1}") as address:
        result = load(f"http://{address}", 60.0, 4.0)
    times = Schedule.poisson(60.0, 4.0, 4, 8, seed=2).times
    sizes = ExponentialSizes().sample(np.random.default_rng(7), 1024)[::-1][: times.size]
    exact = exact_sojourns(times.tolist(), (sizes / 100.0).tolist())
    assert exact.mean() == pytest.approx(0.025, rel=0.4)  # 1 / (mu - lambda), roughly in 240 jobs
    assert result.latency.p50 == pytest.approx(np.median(exact), abs=0.004)
    assert result.latency.mean == pytest.approx(exact.mean(), rel=0.2)
    assert result.latency.p50 >= np.median(exact) - 0.001


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
        result = load(url, 60.0, 0.3, timeout=0.4)
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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = load(f"http://127.0.0.1:{port}", 100.0, 0.3)
    assert result.errors == {"refused": result.due}


def test_too_few_connections_make_requests_wait_and_that_is_counted() -> None:
    def slow(connection: socket.socket) -> None:
        time.sleep(0.02)
        connection.sendall(OK)

    with serving(slow) as url:
        result = load(url, 100.0, 0.5, connections=1)  # which serves 50/s
    assert result.connections == 1
    assert result.completed == result.due
    assert result.latency.max > 0.3
    assert result.lag.max > 0.3


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
            (["--rate", "-5", "--duration", "1"], "rate is -5"),
            (["--rate", "5", "--duration", "1", "--warmup", "2"], "give a longer duration"),
            (["--rate", "5", "--duration", "1", "--workers", "0"], "workers is 0"),
            (["--trace", "nowhere.csv"], "nowhere.csv: does not exist"),
            (["--trace", "bursty", "--time-scale", "0"], "--time-scale 0.0"),
        ],
    )
    def test_a_wrong_option_is_named(self, options: list[str], problem: str) -> None:
        made = self.run("http://127.0.0.1:1", *options)
        assert made.exit_code == 2  # type: ignore[attr-defined]
        assert problem in made.stderr  # type: ignore[attr-defined]
