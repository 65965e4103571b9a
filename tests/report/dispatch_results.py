"""Made-up runs of a batch: what reports are made of, without a scheduler."""

from collections import Counter

from isocline.dispatch.batch.result import BatchResult, Failure
from isocline.dispatch.coordinator.run_statistics import RunStatistics
from isocline.dispatch.engines.base import Node
from isocline.dispatch.explain import explain
from isocline.dispatch.telemetry.demand import Demand
from isocline.dispatch.telemetry.records import LEVELS, AttemptRecord, Outcome
from isocline.dispatch.telemetry.timeline import Timeline


def result(failures: int = 1, nodes: int = 3, tasks: int = 12) -> BatchResult:
    """Every fourth task is remote; the failed ones raised at n0."""
    ran, demand = [], Demand()
    for number in range(tasks):
        level = "remote" if number % 4 == 3 else "local"
        node, start = f"n{number % nodes}", 0.1 * (number // nodes)
        holders = ["n0"] if level == "remote" and node != "n0" else [node]
        demand.finished(f"c{number}", holders, node, level, 0.1)
        end = start + 0.1
        ran.append(
            AttemptRecord(f"c{number}", node, level, "", 0.0, start, end, 1, Outcome.FINISHED)
        )
    failed = []
    for number in range(failures):
        ran.append(
            AttemptRecord(f"bad{number}", "n0", "local", "", 0.0, 1.0, 1.1, 1, Outcome.RAISED)
        )
        failed.append(Failure(f"bad{number}", f"bad{number}", "n0", "ValueError: no", "Trace x\n"))
    levels = Counter(entry.level for entry in ran if entry.outcome is Outcome.FINISHED)
    attempts = Counter(str(entry.outcome) for entry in ran)
    statistics = RunStatistics(
        elapsed=2.0,
        waiting=0,
        running=0,
        finished=tasks,
        resumed=0,
        failed=failures,
        cancelled=0,
        levels={level: levels[level] for level in LEVELS},
        attempts={str(outcome): attempts[str(outcome)] for outcome in Outcome},
        nodes=nodes,
        unwritten=0,
    )
    known = [Node(f"n{number}") for number in range(nodes)]
    return BatchResult(
        "words",
        "late_binding",
        statistics,
        tuple(failed),
        explain(demand, known, 2.0),
        Timeline.of(ran),
        interrupted=False,
    )
