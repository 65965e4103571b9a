"""What serving is made of: learned curves of several workers, the log's file, questions, ports."""

import asyncio
import gc
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import uvloop

from isocline.errors import SystemFileError, UsageError
from isocline.gateway.config import Listener
from isocline.gateway.metrics.collect import snapshot_of
from isocline.gateway.metrics.optimality import relative_error
from isocline.gateway.serve import worker_pool
from isocline.gateway.serve.config import Serving
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.learned_curves import (
    LearnedCurves,
    LearnedFrontend,
    learned_curves,
    write_learned,
)
from isocline.gateway.serve.learned_curves_file import known_curves
from isocline.gateway.serve.learning import combined, divided, learner_of, measure_for
from isocline.gateway.serve.log_file import LogFile, require_writable
from isocline.gateway.serve.ports import claim_file, claim_name, reserve
from isocline.gateway.serve.rpc import GoneError, RpcClient, answer_all
from isocline.gateway.serve.worker_core import make_core
from isocline.gateway.serve.worker_handle import WorkerSetup
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.report.tables.learned import learned_facts

FILE = """kind: routing
name: two
backends:
  - {name: a, url: "http://127.0.0.1:9001", curve: {type: hyperbolic, peak: 40, half: 8}}
  - {name: b, url: "http://127.0.0.1:9002"}
frontends: [{name: all, backends: ["*"]}]
"""


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    file = tmp_path / "fleet.yaml"
    file.write_text(FILE)
    return read(file)


def taught(serving: Serving, seconds: float, known: LearnedCurves | None = None) -> LearnedCurves:
    """What a learner knows after each backend has finished 100 jobs with 4 there, in that time."""
    learner = learner_of(serving, known)
    assert learner is not None
    for backend in range(2):
        for job in range(1, 101):
            learner.finished(backend, 4, job * seconds / 100)
    learner.update(seconds, [4, 4])
    return learned_curves(learner, ["a", "b"], "two")


def counts(learned: LearnedCurves, name: str, level: int) -> tuple[float, float]:
    one = next(one for one in learned.backends if one.name == name)
    at = one.levels.index(level)
    return one.done[at], one.seconds[at]


def test_a_given_curve_is_where_learning_starts(serving: Serving) -> None:
    learner = learner_of(serving, None)
    assert learner is not None
    given = HyperbolicCurve(40.0, 8.0)
    for n in (1, 4, 16, 40):  # the prior knows it for a knee with another corner
        assert float(learner.curve(0).rate(n)) == pytest.approx(float(given.rate(n)), rel=0.2)
    assert learner.fitted(0).completions == pytest.approx(25.0 * 11)  # at 1, 2, ..., 1024 jobs
    assert learner.fitted(1).completions == 0.0


def test_a_given_curve_is_not_among_what_was_seen(serving: Serving) -> None:
    learner = learner_of(serving, None)
    assert learner is not None
    fresh = learned_curves(learner, ["a", "b"], "two").backends[0]
    assert (fresh.completions, fresh.levels, fresh.seen) == (0.0, [], 0)
    assert fresh.capacity == (0.0, None)
    assert sum(done for _, done, _ in fresh.given) == pytest.approx(25.0 * 11)
    shown = learned_facts(fresh.curve, fresh.known).to_dict()
    assert (shown["completions"], shown["seen"], shown["observed"]) == (0.0, 0, [])
    live = snapshot_of(make_core(serving, learner), serving.system, serving.proxy, 0.0)
    counted = live.backends["a"].live
    assert counted is not None
    assert counted.learned is not None
    assert (counted.learned.completions, counted.learned.counts) == (0.0, {})
    assert relative_error(counted) == pytest.approx(1.0 / math.sqrt(25.0 * 11 + 1))

    known = taught(serving, 10.0)
    one = known.backends[0]
    assert one.completions == pytest.approx(100.0, rel=0.05)
    assert (one.levels, one.seen) == ([4], 4)
    again = learner_of(serving, divided(combined(serving, [known, known]) or known, 2))
    assert again is not None
    assert again.fitted(0).known.completions.sum() == pytest.approx(100.0, rel=0.05)
    assert again.fitted(0).completions == pytest.approx(25.0 * 11 + 100, rel=0.05)


def test_what_is_known_goes_before_what_is_given(serving: Serving) -> None:
    known = taught(serving, 10.0, None)
    again = learner_of(serving, known)
    assert again is not None
    assert again.fitted(0).completions == pytest.approx(25.0 * 11 + 100, rel=0.05)  # given once


def test_counts_of_workers_add_up_to_the_file_and_back(serving: Serving) -> None:
    parts = [taught(serving, 10.0), taught(serving, 30.0)]
    both = combined(serving, parts)
    assert both is not None
    assert counts(both, "b", 4) == pytest.approx((200.0, 40.0), rel=0.05)
    rate = float(next(one for one in both.backends if one.name == "b").curve.rate(4))
    assert rate == pytest.approx(5.0, rel=0.15)
    shares = [divided(both, 2)] * 2
    assert counts(shares[0], "b", 4) == pytest.approx((100.0, 20.0), rel=0.05)
    again = combined(serving, shares)
    assert again is not None
    assert counts(again, "b", 4) == pytest.approx((200.0, 40.0), rel=0.05)
    assert combined(serving, parts[:1]) is parts[0]
    assert combined(serving, []) is None


def test_works_of_frontends_add_up_to_the_file_and_back(serving: Serving) -> None:
    learning = serving.learning
    assert learning is not None
    by_frontend = replace(serving, learning=replace(learning, unit="frontend"))
    parts = [
        taught(serving, 10.0).model_copy(
            update={
                "unit": "frontend",
                "frontends": [LearnedFrontend(name="all", requests=requests, work=work)],
            }
        )
        for requests, work in ((300.0, 2.0), (100.0, 4.0))
    ]
    both = combined(by_frontend, parts)
    assert both is not None
    assert both.unit == "frontend"
    assert both.frontends == [LearnedFrontend(name="all", requests=400.0, work=2.5)]
    assert both.mean_work == 2.5
    (half,) = divided(both, 2).frontends
    assert (half.requests, half.work) == (200.0, 2.5)
    measure = measure_for(by_frontend, both)
    assert measure is not None
    assert measure.mix.mean == 2.5
    assert measure_for(serving, both) is None


def test_given_curves_in_tokens_are_where_learning_in_tokens_starts(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(FILE + "work: {unit: tokens, mean: 8}\nserve: {learn: {work: tokens}}\n")
    made = read(file)
    assert made.proxy.tokens
    learner, measure = learner_of(made, None), measure_for(made, None)
    assert learner is not None
    assert measure is not None
    given = float(HyperbolicCurve(40.0, 8.0).rate(8))
    assert float(learner.curve(0).rate(8)) == pytest.approx(given, rel=0.2)
    core = make_core(made, learner, measure)
    assert float(core.policy_runtime.curves[0].rate(8)) == pytest.approx(given / 8.0, rel=0.2)


def test_a_file_in_another_unit_is_refused(tmp_path: Path) -> None:
    learned = learned_curves(Learner(1), ["a"], "two").model_copy(update={"unit": "tokens"})
    write_learned(tmp_path / "curves.json", learned)
    file = tmp_path / "fleet.yaml"
    for work, fits in (("frontend", False), ("requests", False), ("tokens", True)):
        text = FILE.replace(", curve: {type: hyperbolic, peak: 40, half: 8}", "")
        file.write_text(f"{text}serve: {{learn: {{file: curves.json, work: {work}}}}}\n")
        made = read(file)
        if fits:
            assert known_curves(made) == learned
            continue
        with pytest.raises(SystemFileError, match=f"learn.work is {work}; move the file away"):
            known_curves(made)


def test_a_backend_that_one_worker_alone_knows_is_kept(serving: Serving) -> None:
    learner = Learner(1)
    learner.finished(0, 2, 1.0)
    other = learned_curves(learner, ["c"], "two")
    both = combined(serving, [taught(serving, 10.0), other])
    assert both is not None
    assert [one.name for one in both.backends] == ["a", "b", "c"]


def test_lines_of_processes_do_not_mix_in_a_file(tmp_path: Path) -> None:
    name = str(tmp_path / "log")
    workers = [threading.Thread(target=scribble, args=(name, letter)) for letter in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = Path(name).read_text().splitlines()
    assert len(lines) == 3 * 40 * 50
    assert {(line[0], len(line), len(set(line))) for line in lines} == {(w, 300, 1) for w in "abc"}


def scribble(name: str, letter: str) -> None:
    lines = LogFile(name)
    for _ in range(40):
        lines.write((letter * 300 + "\n") * 50)
    lines.close()


def test_a_log_that_was_moved_away_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = LogFile(str(log))
    lines.write("one\n")
    log.rename(tmp_path / "old")
    lines.write("two\n")
    lines.reopen()
    lines.write("three\n")
    lines.close()
    assert (tmp_path / "old").read_text() == "one\ntwo\n"
    assert log.read_text() == "three\n"
    assert log.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_log_that_cannot_be_written_is_refused_and_later_lost_lines_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match="No such file"):
        LogFile(str(tmp_path / "none" / "log"))
    lines = LogFile("/dev/full")
    lines.write("one\n")
    lines.write("two\n")
    lines.close()
    assert [record.getMessage() for record in caplog.records] == [
        "access log /dev/full: No space left on device; lines are lost"
    ]


def test_questions_are_answered_in_any_order_until_the_end_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = asyncio.Event()

    async def answer(question: str, about: Any) -> Any:
        if question == "fail":
            raise UsageError("not so")
        if question == "break":
            raise ZeroDivisionError("ours")
        if about is None:
            await gate.wait()
        return about

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        answering = asyncio.create_task(answer_all(theirs, answer))
        client = await RpcClient.connect(ours)
        slow = asyncio.create_task(client.call("wait", None))
        assert await client.call("at once", 1) == 1
        assert not slow.done()
        gate.set()
        assert await slow is None
        gate.clear()
        with pytest.raises(UsageError, match="not so"):
            await client.call("fail")
        with pytest.raises(UsageError, match="ZeroDivisionError: ours"):
            await client.call("break", timeout=60.0)
        assert "break failed" in caplog.text
        with pytest.raises(TimeoutError):
            await client.call("wait", None, timeout=0.05)
        waiting = asyncio.create_task(client.call("wait", None))
        await asyncio.sleep(0.05)
        answering.cancel()
        with pytest.raises(GoneError):
            await waiting
        with pytest.raises(GoneError):
            await client.call("at once", 1)
        client.close()

    uvloop.run(scenario())


def test_an_answer_to_a_process_that_has_gone_is_dropped_without_an_error() -> None:
    async def scenario() -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: problems.append(told))
        asked, gate = asyncio.Event(), asyncio.Event()

        async def answer(_: str, __: Any) -> None:
            asked.set()
            await gate.wait()

        ours, theirs = socket.socketpair()
        answering = asyncio.create_task(answer_all(theirs, answer))
        client = await RpcClient.connect(ours)
        asking = asyncio.create_task(client.call("wait"))
        await asked.wait()
        asking.cancel()
        client.close()
        await answering
        gate.set()
        await asyncio.sleep(0.05)
        gc.collect()
        assert problems == []

    uvloop.run(scenario())


def test_a_reserved_port_is_shared_with_nobody_else() -> None:
    (listener,), kept = reserve([Listener(port=0)])
    with kept, socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", listener.port))
        worker.listen()
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{listener.port}"):
            reserve([listener])


def test_a_log_is_looked_at_without_being_made_or_waited_for(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a line\n")
    os.mkfifo(tmp_path / "pipe")
    for name in ("there", "new", "pipe"):
        require_writable(str(tmp_path / name))
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "there").read_text() == "a line\n"
    with pytest.raises(UsageError, match="none is not a folder; create it, or give another file"):
        require_writable(str(tmp_path / "none" / "log"))
    with pytest.raises(UsageError, match="there/log is not writable: Not a directory; give"):
        require_writable(str(tmp_path / "there" / "log"))


def test_a_router_that_is_about_to_start_has_its_port_already() -> None:
    """Between reservation and the first worker that listens, the kernel itself lets others in."""
    with keeping_port() as port:
        listener = Listener(port=port)
        _, kept = reserve([listener])
        with kept:
            with pytest.raises(
                UsageError, match="another isocline serve listens there, or is about to"
            ):
                reserve([listener])
            with pytest.raises(UsageError, match="another isocline serve listens there"):
                reserve([replace(listener, host="0.0.0.0")])
            reserve([replace(listener, host="127.0.0.2")])[1].close()
        reserve([listener])[1].close()  # nothing is left behind


@contextmanager
def keeping_port() -> Iterator[int]:
    """A port that nobody gets by chance, and that who asks for it may still bind."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("claim", [claim_name, claim_file])
def test_an_address_is_claimed_once_and_as_long_as_the_process_lives(
    claim: Callable[[int, str, int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with keeping_port() as port, keeping_port() as another:
        program = (
            "import sys; from isocline.gateway.serve import ports\n"
            f"kept = ports.{claim.__name__}(2, '127.0.0.1', {port})\n"
            "print('claimed', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "claimed\n"
            with pytest.raises(OSError, match="another isocline serve listens there"):
                claim(2, "127.0.0.1", port)
            claim(2, "127.0.0.1", another).close()
            claim(10, "::1", port).close()
            other.kill()  # without a chance to tidy up
        claim(2, "127.0.0.1", port).close()


def test_kernels_are_compiled_once_before_there_are_workers(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    class Stub:
        """Handle to a process that does nothing."""

        pid = 0

        @classmethod
        async def start(cls, _orders: WorkerSetup, _forked: object) -> "Stub":
            happened.append("start")
            return cls()

        async def ended(self) -> int:
            await asyncio.Event().wait()
            return 0

        async def reload(self, _serving: Serving, _forgotten: object) -> None:
            happened.append("reload")

        async def stop(self, _grace: float) -> None:
            return None

        async def kill(self) -> None:
            return None

    monkeypatch.setattr(worker_pool, "WorkerHandle", Stub)
    monkeypatch.setattr(worker_pool, "warm", lambda _serving: happened.append("compile"))

    async def life() -> None:
        proxy = replace(serving.proxy, listeners=(Listener(port=0),))
        workers = worker_pool.WorkerPool(replace(serving, proxy=proxy, workers=2), None)
        await workers.start()
        await workers.reload(serving)
        await workers.stop(0.0)

    asyncio.run(life())
    assert happened == ["compile", "start", "start", "compile", "reload", "reload"]
