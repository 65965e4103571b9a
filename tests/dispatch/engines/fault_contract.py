"""Fault suite of every engine: real kills, and what else goes wrong.

`ISOCLINE_FAULT_TASKS` is the number of tasks of the run with random kills, 300 by default.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import pytest

from isocline.dispatch.errors import QuarantinedError, RemoteTracebackError, ResultError
from isocline.dispatch.rules import Rules
from isocline.dispatch.telemetry.records import Outcome
from tests.dispatch.engines.faults import (
    PATIENT,
    TASKS,
    Killer,
    Stage,
    drive,
    full_disk,
    square,
    survives,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class FaultContract:
    """Base class of each engine's fault suite; the subclass's file gives the fixture `stage`."""

    def test_workers_killed_at_random_cost_no_result(self, stage: Stage, tmp_path: Path) -> None:
        killer = Killer(TASKS, seed=1)
        with stage.scheduler(rules=PATIENT, everywhere=True) as live:
            survives(live, killer, TASKS, tmp_path)
            assert live.records.outcomes[Outcome.LOST] > 0
        assert len(killer.killed) > 1

    def test_a_poisoned_chunk_is_quarantined_and_the_others_are_done(self, stage: Stage) -> None:
        def work(chunk: str) -> int:
            if chunk == "7":
                os.kill(os.getpid(), signal.SIGKILL)
            return int(chunk)

        rules = Rules(most_killed=3, holder_grace=20.0)
        with stage.scheduler(rules=rules, everywhere=True) as live:
            futures = [live.submit(work, str(i)) for i in range(30)]
            assert [f.result() for f in futures if f is not futures[7]] == [
                *range(7),
                *range(8, 30),
            ]
            with pytest.raises(QuarantinedError, match="work\\(7\\)"):
                futures[7].result()
            lost = [ran for ran in live.records if ran.outcome is Outcome.LOST]
            # Or more, as it may be lost while it waits behind another task.
            assert sum(ran.key.endswith("work(7)") for ran in lost) >= 3

    def test_what_goes_wrong_with_one_task_is_its_own(self, stage: Stage) -> None:
        def load(chunk: str) -> str:
            if chunk == "5":
                raise LookupError("no such block")
            return chunk

        def work(value: str) -> object:
            if value == "6":
                return threading.Lock()
            if value == "7":
                with full_disk(1000), Path(f"/tmp/isocline-{os.getpid()}").open("wb") as file:
                    Path(file.name).unlink()
                    file.write(bytes(100_000))
            return value

        with stage.scheduler(load, everywhere=True) as live:
            futures = [live.submit(work, str(i)) for i in range(12)]
            errors = [future.exception() for future in futures]
        assert [type(error) for error in errors[5:8]] == [LookupError, ResultError, OSError]
        assert errors[:5] + errors[8:] == [None] * 9
        assert "no such block" in str(errors[5])
        cause = errors[5].__cause__ if errors[5] else None
        assert isinstance(cause, RemoteTracebackError)
        assert "in load" in str(cause)

    def test_a_driver_that_is_killed_is_resumed(self, stage: Stage, tmp_path: Path) -> None:
        journal, count = tmp_path / "run.db", 200
        assert drive(stage, journal, count, kill_after=60).total is None
        again = drive(stage, journal, count)
        assert again.total == sum(i * i for i in range(count))
        assert 0 < again.resumed < count
        assert not again.journal

    def test_a_cancelled_task_whose_worker_dies_stays_cancelled(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"

        def work(chunk: str) -> int:
            while not gate.exists():  # none has ended when some are cancelled
                time.sleep(0.003)
            return int(chunk) ** 2

        with stage.scheduler(rules=PATIENT, everywhere=True) as live:
            _, pid = live.submit(square, "0").result()
            futures = [live.submit(work, str(i)) for i in range(60)]
            os.kill(pid, signal.SIGKILL)
            cancelled = [future for future in futures[::3] if future.cancel()]
            gate.touch()
            rest = [future for future in futures if future not in cancelled]
            assert [f.result() for f in rest] == [futures.index(f) ** 2 for f in rest]
        assert cancelled
        assert all(future.cancelled() for future in cancelled)
