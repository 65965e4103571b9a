"""`isocline measure`: what it prints, writes and refuses."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import ClassVar, final

import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

import isocline
from isocline.cli import main
from isocline.model.curves import KneeCurve, TableCurve
from isocline.report.tables.sweep import sweep_report, visit_line
from isocline.sweep import SweepResult
from isocline.sweep.decide import Why
from tests.emulator.running import emulated
from tests.loadgen.servers import serving
from tests.sweep.made import TROUBLE, sweep

CURVE = "{type: knee, peak: 200, knee: 8, sharpness: 3}"


@contextmanager
def server() -> Iterator[str]:
    """The URL of an emulated server with this curve."""
    with emulated("--unit", "jobs", curve=CURVE) as address:
        yield f"http://{address}"


def measure(*arguments: str | Path | float) -> Result:
    return CliRunner().invoke(main, ["measure", *map(str, arguments)])


def printed(result: SweepResult) -> str:
    console = Console(width=120, file=StringIO(), markup=False, highlight=False, emoji=False)
    console.print(sweep_report(result))
    assert isinstance(console.file, StringIO)
    return " ".join(console.file.getvalue().split())


def test_a_sweep_ends_with_an_entry_that_a_system_file_takes(tmp_path: Path) -> None:
    with server() as url:
        result = measure(url, "--most", 8, "--limit", "8s", "--precision", 0.2, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "isocline: service curve in jobs/s" in result.stdout
    assert re.search(r"model isocline: \d+ visits? in [\d.]+ s, [\d,]+ requests of", result.stdout)
    (entry,) = yaml.safe_load(result.stdout[result.stdout.index("- name:") :])
    assert entry["name"] == "isocline"
    assert entry["curve"]["type"] == "table"
    assert re.match(r"N = 1: .* jobs/s ± .*, \d+ requests in .* s \(", result.stderr)
    names = {path.name for path in tmp_path.rglob("*")}
    assert {"measured.png", "measured.svg", "measured.csv", "curve.csv", "curve.yaml"} <= names
    # The same numbers reach a plan.
    file = tmp_path / "system.yaml"
    head = "kind: routing\nfrontends: [{name: f, rate: 1, backends: ['*']}]\nbackends:\n"
    file.write_text(head + result.stdout[result.stdout.index("- name:") :])
    (made,) = isocline.load(file, kind="routing").backends
    true = KneeCurve(200.0, 8.0, 3.0)
    assert isinstance(made.curve, TableCurve)
    assert [[n, rate] for n, rate in made.curve.points] == entry["curve"]["points"]
    # A busy machine makes it slower, never faster; on virtual time it is measured as it is.
    assert 0 < float(made.curve.rate(4.0)) < 1.3 * float(true.rate(4.0))


def test_json_has_curves_as_the_verb_curves_has_and_the_sweep_beside() -> None:
    with server() as url:
        result = measure(url, "--most", 4, "--limit", 8, "--precision", 0.2, "--json")
    document = json.loads(result.stdout)
    assert document["kind"] == "measured-curves"
    (curve,) = document["curves"]
    assert curve["kind"] == "measured-curve"
    assert [round(point["workload"]) for point in curve["points"]][:1] == [1]
    said = document["sweep"]
    assert said["seconds"] <= 9.0
    assert said["limit"] == 8.0
    assert said["stopped"] in {"narrow", "limit"}
    assert {"workload", "rate", "error", "failures", "trouble"} <= said["visits"][0].keys()


def test_a_server_whose_speed_changed_is_said_and_chance_is_not() -> None:
    """Two visits at a workload, of which the second is of a server that others left alone."""
    made = sweep(Why.NARROW)
    first = made.visits[1]
    assert first.rate is not None

    def again(rate: float, error: float) -> str:
        later = replace(first, began=100.0, rate=rate, error=error)
        return printed(replace(made, visits=(*made.visits, later)))

    assert "N = 4 gave 14.00 and 26.00 jobs/s at different times" in again(26.0, 0.1)
    assert "at different times" not in again(26.0, 4.0)  # 3 standard errors
    assert "at different times" not in again(15.0, 0.01)  # sure, and of no weight
    assert "at different times" not in printed(made)


@contextmanager
def measuring(url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "isocline", "measure", url, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_prints_what_was_measured_and_says_so() -> None:
    with (
        server() as url,
        measuring(url, "--limit", "300", "--precision", "0.001") as process,
    ):
        assert process.stderr is not None
        assert process.stderr.readline().startswith("N = 1: ")  # the first visit is over
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in output
    assert "N = 1" in output
    assert '- name: "isocline"' in output


def test_ctrl_c_before_the_first_level_is_one_line() -> None:
    """Amid the first request, which is not answered."""
    asked = threading.Event()
    with (
        serving(lambda _: asked.set()) as url,
        measuring(url, "--limit", "300") as process,
    ):
        assert asked.wait(60.0)
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert said == f"isocline: {url}: stopped before any workload was measured\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "'nowhere' is not a URL to load; give http://HOST:PORT"),
        (["http://h:1", "--limit", "soon"], "'soon' is no number of seconds; give a finite number"),
        (["http://h:1", "--limit", "0"], "'0' is out of range; give a finite number of seconds"),
        (["http://h:1", "--precision", "5"], "give a finite number above 0 and below 1"),
        (["http://h:1", "--most", "0"], "give a whole number, 1 or more"),
        (["http://h:1", "--most", "20000"], "most is 20000; give a whole number from 1 to 10000"),
        (["http://h:1", "--header", "nocolon"], "header 'nocolon': give it as 'Name: value'"),
        (["http://h:1", "--key-env", "NO_SUCH_KEY"], "variable NO_SUCH_KEY is empty"),
        (["http://h:1", "--key-file", "no-such-file"], "no-such-file cannot be read"),
        (["http://h:1/x", "--model", "m"], "--model does not apply to plain GET requests"),
        (["http://h:1/x", "--trace", "bursty"], "--trace does not apply to plain GET requests"),
        (["http://127.0.0.1:1"], "Connections are refused; is the server up"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(arguments: list[str], says: str) -> None:
    result = measure(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in result.stderr
    assert len(result.stderr.splitlines()) <= 4  # click's own have the usage


@final
class Refusing(BaseHTTPRequestHandler):
    """Notes what authorizations come, and admits none."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("authorization", ""))
        self.send_error(401)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name is given
        """Log nothing."""


def test_a_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    monkeypatch.setenv("MY_KEY", "s3cret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as refusing:
        thread = threading.Thread(target=refusing.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{refusing.server_address[1]}/any"
        results = [
            measure(url, *options, "--limit", 20)
            for options in (("--key-env", "MY_KEY"), ("--key-file", tmp_path / "key"))
        ]
        refusing.shutdown()
        thread.join()
    for result in results:
        assert result.exit_code == 2
        assert "status 401" in result.stderr
        assert "Give a key with --key-env or --key-file." in result.stderr
        assert "s3cret" not in result.stderr + result.stdout
    assert Refusing.seen == ["Bearer s3cret", "Bearer s3cret"]


def test_levels_that_do_not_count_are_named_with_their_reason() -> None:
    said = printed(sweep())
    assert f"N = 64: not counted: {TROUBLE}." in said
    assert "64" not in said.partition("N = 64")[0].partition("from")[2].partition("The rate")[0]
    assert (
        "Not as well known as asked (± 5.0%): ± 4.0% at N = 7; a longer --limit narrows it." in said
    )


def test_the_end_of_a_sweep_is_explained() -> None:
    assert "known to ± 5.0% or better at all measured workloads" in printed(sweep(Why.NARROW))
    assert "There was no time for N = 64; give a longer" in printed(sweep(unreached=64))
    assert "the server failed where it had worked before" in printed(sweep(Why.GONE))
    assert "Interrupted: up to the last" in printed(sweep(interrupted=True))
    assert "output tokens" not in printed(sweep(model=""))


def test_a_line_of_progress_says_what_a_visit_found() -> None:
    counted, *_, failed = sweep().visits
    line = visit_line(counted, "jobs", 31.0, 120.0)
    assert line == "N = 1: 4.400 jobs/s ± 2.0%, 110 requests in 30.0 s (31.0 s of 120 s)"
    assert visit_line(failed, "jobs", 93.0, 120.0).startswith(f"N = 64: not counted: {TROUBLE} (93")
