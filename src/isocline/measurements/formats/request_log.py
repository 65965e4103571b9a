"""Service rates from the beginnings and ends of requests: N(t) through the learner.

The number of requests at the server is known at each time, so that the learner can be told each
arrival and completion. What it has then counted is the time and the completions at each workload.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.learn import Learner, Learning
from isocline.learn.observed import count
from isocline.learn.occupancy import seen
from isocline.learn.peak import LEAST_COMPLETIONS
from isocline.measurements.runs import BenchmarkRun, failed_note

FloatArray = npt.NDArray[np.float64]

_EVENTS = 16  # after which it is asked whether a fit is due, which costs as much as an event
_LONGEST = 1e9  # s, 30 years
_SHORTEST = 1e-9  # s, of requests on average
_MOST_TOKENS = 1e9  # of an answer


def runs_of_requests(
    began: Sequence[float],
    ended: Sequence[float],
    tokens: Sequence[float] | None,
    source: str,
    labels: Mapping[str, str],
    failed: int = 0,
) -> list[BenchmarkRun]:
    """One run for each group of workloads with enough completions.

    Args:
        began: s, from anywhere on.
        ended: s; not before `began`.
        tokens: Of the answers; None if they are unknown.
        source: The file.
        labels: Of the curve.
        failed: Requests that are not among these, as they were not served.

    Raises:
        UsageError: There are no requests, or none takes time.
    """
    first, last = np.asarray(began, np.float64), np.asarray(ended, np.float64)
    taken = last > first
    if not taken.any():
        raise UsageError(f"{source}: has no request that took time; leave the file out")
    start = float(first[taken].min())
    span, mean = last[taken].max() - start, (last[taken] - first[taken]).mean()
    if not (span <= _LONGEST and mean >= _SHORTEST):
        raise UsageError(
            f"{source}: requests take {mean:.3g} s on average, and are spread over {span:.3g} s; "
            "correct the times"
        )
    if tokens is not None and not all(0 <= count <= _MOST_TOKENS for count in tokens):
        wrong = next(count for count in tokens if not 0 <= count <= _MOST_TOKENS)
        raise UsageError(f"{source}: a request has {wrong:g} output tokens; correct the lengths")
    first, last = first[taken] - start, last[taken] - start
    done, spent = _counted(first, last, np.ones(first.size))
    work = None
    if tokens is not None and (of := np.round(np.asarray(tokens, np.float64)[taken])).sum() > 0:
        alike = of.min() == of.max()
        work = (done if alike else _counted(first, last, of / of.mean())[0]) * of.mean()
    runs = [
        _run(slice(*levels), done, spent, work, source, labels) for levels in _groups(done, spent)
    ]
    notes = failed_note(failed, first.size)
    return [replace(run, notes=notes if run is runs[0] else ()) for run in runs]


def _run(
    levels: slice,
    done: FloatArray,
    spent: FloatArray,
    work: FloatArray | None,
    source: str,
    labels: Mapping[str, str],
) -> BenchmarkRun:
    seconds = float(spent[levels].sum())
    completions = float(done[levels].sum())
    jobs = float(np.arange(spent.size)[levels] @ spent[levels]) / seconds
    return BenchmarkRun(
        source=source,
        workload=jobs,
        requests=completions / seconds,
        tokens=None if work is None else float(work[levels].sum()) / seconds,
        completions=completions,
        seconds=seconds,
        labels=labels,
    )


def _counted(
    first: FloatArray, last: FloatArray, work: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(K,) work done and (K,) time, s, at the workloads 0 .. K - 1."""
    # All of a run counts alike: a server that warms up is no other one.
    learning = Learning(false_alarms=0.0)
    learner = Learner(1, learning, unit=1.0 / float((last - first).mean()))
    request = np.concatenate((np.arange(first.size), np.arange(last.size)))
    time = np.concatenate((last, first))  # at one time ends come before beginnings
    order = np.argsort(time, kind="stable")
    jobs = 0
    for event, at in enumerate(order.tolist()):
        now, which = float(time[at]), int(request[at])
        if at >= first.size:
            learner.arrived(0, jobs, now)
            jobs += 1
        else:
            learner.reserve(jobs)
            count(learner.observed, 0, jobs, now, 1.0, float(work[which]), float(first[which]))
            jobs -= 1
        if event % _EVENTS == 0 and learner.due:
            learner.update(now, [jobs])
    return seen(learner.observed.occupied, 0, float(time.max()))


def _groups(done: FloatArray, spent: FloatArray) -> list[tuple[int, int]]:
    """[first, last) of consecutive workloads, from 1 on, with enough completions each."""
    groups: list[tuple[int, int]] = []
    first, total = 1, 0.0
    for level in range(1, spent.size):
        total += done[level]
        if total >= LEAST_COMPLETIONS:
            groups.append((first, level + 1))
            first, total = level + 1, 0.0
    if not groups:
        return [(1, spent.size)]
    if spent[first:].sum() > 0.0:
        groups[-1] = (groups[-1][0], spent.size)
    return groups
