"""The demo as a user runs it: a process that starts others, measures, and ends them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isocline.emulator import Settings
from isocline.loadgen import LoadSettings, Schedule
from isocline.loadgen.workers import WORKER
from isocline.model.curves import HyperbolicCurve
from isocline.subprocesses.framing import Channel
from isocline.subprocesses.spawn import start
from tests.running import alive

DEMO = [sys.executable, "-m", "isocline", "demo"]
# Two policies on a small load: 4 backends, 8 runs of less than 1 s.
SHORT = ["--fleet", "c", "--load", "0.4", "--seconds", "1.2", "--policies", "gmsr,jsq"]
LINUX = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The document of a short demo, and where its pictures are.

    A busy machine may be too slow to measure on; then it says so, and draws nothing.
    """
    out = tmp_path_factory.mktemp("demo")
    command: list[str | Path] = [*DEMO, *SHORT, "--json", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert done.returncode == int(document["status"] == "too slow"), done.stderr
    return document, out


def test_each_request_is_answered_and_accounted_for(
    measured: tuple[dict[str, Any], Path],
) -> None:
    document, _ = measured
    sent = {row["policy"]: row["sent"] for row in document["policies"]}
    assert list(sent) == ["gmsr", "jsq"]
    assert sent["gmsr"] == sent["jsq"] > 450  # of 614 expected, with the same arrivals
    for row in document["policies"]:
        assert (row["answered"], row["errors"]) == (row["sent"], {})


def test_jobs_at_the_backends_are_those_of_little_s_law(
    measured: tuple[dict[str, Any], Path],
) -> None:
    document, _ = measured
    if document["status"] == "too slow":  # and says so: windows are not as long as they should be
        assert None in [row["ratio_to_bound"] for row in document["policies"]]
        return
    seconds = document["rounds"] * document["window"]
    for row in document["policies"]:
        expected = row["sent"] / seconds * row["mean_latency"]
        # What is under way at the ends of a window counts in one and not in the other.
        assert sum(row["jobs"].values()) == pytest.approx(expected, rel=0.5)


def test_the_optimum_is_that_of_the_plan(measured: tuple[dict[str, Any], Path]) -> None:
    document, _ = measured
    best = {row["name"]: row["jobs"] for row in document["backends"]}
    # Knees of sharpness 4 at 40 %: by symmetry each pair is alike, and prices agree.
    assert best["brisk-1"] == pytest.approx(best["brisk-2"])
    total = document["rate"] * document["lower_bound_latency"]
    assert sum(best.values()) == pytest.approx(total)
    slopes = [
        peak * knee**4 / (knee**4 + best[name] ** 4) ** 1.25
        for name, peak, knee in (("brisk-1", 120.0, 4.0), ("broad-1", 200.0, 32.0))
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)


def test_the_picture_is_drawn_only_of_what_was_measured(
    measured: tuple[dict[str, Any], Path],
) -> None:
    document, out = measured
    ratios = [row["ratio_to_bound"] for row in document["policies"]]
    if document["status"] == "measured":
        assert {path.name for path in out.iterdir()} == {"live.png", "live.svg", "live.csv"}
        assert min(ratios) > 0.5  # no policy beats the fluid but by chance
    else:
        assert list(out.iterdir()) == []
        assert None in ratios


@LINUX
def test_ctrl_c_leaves_no_process_behind() -> None:
    with started() as (process, parts):
        time.sleep(0.5)  # somewhere in its work
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
        # rich puts an empty line after its progress in some releases.
        assert (process.returncode, said.lstrip()) == (130, "isocline: stopped\n")
        assert not any(map(alive, parts))


@LINUX
def test_a_process_that_dies_is_named_and_the_others_are_ended() -> None:
    with started() as (process, parts):
        os.kill(parts[0], signal.SIGKILL)  # the first backend
        out, said = process.communicate(timeout=120)
        assert (process.returncode, out) == (2, "")
        assert "the process of backend brisk-1 was killed by SIGKILL" in said
        assert not any(map(alive, parts))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("isocline.demo.backend", Settings(HyperbolicCurve(10.0, 5.0))),
        (WORKER, (LoadSettings("http://127.0.0.1:9"), Schedule.poisson(1.0, 1.0, 4, 8))),
    ],
)
def test_a_process_ends_with_its_parent_however_that_ends(module: str, message: object) -> None:
    process, end = start(module)
    channel = Channel(end)
    try:
        channel.send(message)
        channel.receive()  # it is at work
        channel.close()  # as the kernel does for a parent that was killed
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        channel.close()


@contextmanager
def started() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A demo, and the processes that it has started: 4 backends, load, routers."""
    process = subprocess.Popen(
        [*DEMO, *SHORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 120.0
        while len(parts := children(process.pid)) < 6:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise AssertionError(process.communicate()[1])
            time.sleep(0.02)
        yield process, parts
    finally:
        process.kill()
        process.communicate()


def children(pid: int) -> list[int]:
    """Those of its only thread that starts any."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
