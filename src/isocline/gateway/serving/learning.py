"""Learned curves of one router, in one process or several.

**Who learns, who writes.** Each process learns from its own completions, at the workload that all
cause together, and counts of that time its own share (`gateway.lessons`). So counts of several
processes add up to those that one process would have: the file holds the sum, and each of N
processes starts from an N-th of it. A process that is started again goes on from what it was last
heard to know. Only the process that was started by the user writes.
"""

from collections.abc import Iterable, Sequence
from functools import reduce

from isocline.gateway.learned import LearnedBackend, LearnedCurves, learned_curves, restore
from isocline.gateway.serving.settings import Serving
from isocline.learn import Learner
from isocline.model.curves import Curve

# A given curve is read off at 1, 2, 4, ... jobs until it is this near its peak, or at the last.
_NEAR, _LAST = 0.99, 12


def learner_of(serving: Serving, known: LearnedCurves | None) -> Learner | None:
    """One that has learned what is known, and for other backends the curves that are given.

    At each of some workloads a given curve counts as much as all old observations do after a change
    (`Learning.kept` completions): enough to begin with, and soon outweighed where it is wrong.
    """
    if serving.lessons is None:
        return None
    names = [backend.name for backend in serving.system.backends]
    had = {one.name: one for one in known.backends} if known else {}
    weight = serving.lessons.learning.kept
    for name, curve, given in zip(names, serving.system.curves, serving.lessons.given, strict=True):
        if given and name not in had:
            had[name] = _observed(name, curve, weight)
    learner = Learner(len(names), serving.lessons.learning)
    if had:
        restore(learner, names, _document(serving.system.name, had.values()))
    return learner


def divided(learned: LearnedCurves, parts: int) -> LearnedCurves:
    """What each of so many processes starts from."""
    return _document(learned.system, (_scaled(one, 1.0 / parts) for one in learned.backends))


def combined(serving: Serving, parts: Sequence[LearnedCurves]) -> LearnedCurves | None:
    """What they know together; None if there is nothing."""
    if len(parts) <= 1 or serving.lessons is None:
        return parts[0] if parts else None
    by_name: dict[str, list[LearnedBackend]] = {}
    for one in (one for part in parts for one in part.backends):
        by_name.setdefault(one.name, []).append(one)
    sums = _document(parts[0].system, (reduce(_added, ones) for ones in by_name.values()))
    learner = Learner(len(by_name), serving.lessons.learning)
    restore(learner, list(by_name), sums)
    return learned_curves(learner, list(by_name), sums.system)


def _observed(name: str, curve: Curve, weight: float) -> LearnedBackend:
    """Completions as this curve gives them, spread over workloads."""
    levels = [1]
    while curve.rate(levels[-1]) < _NEAR * curve.supremum and len(levels) <= _LAST:
        levels.append(2 * levels[-1])
    rates = [float(curve.rate(n)) for n in levels]
    return LearnedBackend(
        name=name,
        completions=weight * len(levels),
        cut=None,
        points=list(zip(map(float, levels), rates, strict=True)),
        levels=levels,
        done=[weight] * len(levels),
        seconds=[weight / rate for rate in rates],
    )


def _scaled(one: LearnedBackend, factor: float) -> LearnedBackend:
    changed = {
        "completions": factor * one.completions,
        "done": [factor * done for done in one.done],
        "seconds": [factor * seconds for seconds in one.seconds],
    }
    return one.model_copy(update=changed)


def _added(one: LearnedBackend, other: LearnedBackend) -> LearnedBackend:
    """Their counts together; the curve is of no matter, as it is fitted anew."""
    counts: dict[int, tuple[float, float]] = {}
    for part in (one, other):
        for level, done, seconds in zip(part.levels, part.done, part.seconds, strict=True):
            before = counts.get(level, (0.0, 0.0))
            counts[level] = (before[0] + done, before[1] + seconds)
    levels = sorted(counts)
    changed = {
        "completions": one.completions + other.completions,
        "levels": levels,
        "done": [counts[level][0] for level in levels],
        "seconds": [counts[level][1] for level in levels],
    }
    return one.model_copy(update=changed)


def _document(system: str, backends: Iterable[LearnedBackend]) -> LearnedCurves:
    return LearnedCurves(kind="learned-curves", version=1, system=system, backends=list(backends))
