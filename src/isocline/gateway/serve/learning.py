"""Learned curves of one router, in one process or several.

Each process learns from its own completions, at the workload that all processes cause together, and
counts its own share of the time (`gateway.core.curve_feedback`). The counts of several processes
therefore add up to those of a single one: the file holds the sum, and each of N processes starts
from 1/N of it. A restarted process continues from the curves that it last reported. Only the parent
process writes the file.
"""

from collections.abc import Iterable, Sequence
from functools import reduce

from isocline.gateway.core.curve_feedback import CurveFeedback
from isocline.gateway.core.request_cost import TOKEN_SPEED, ClassWork, Measure, Unit, measure_of
from isocline.gateway.serve.config import LearningSettings, Serving
from isocline.gateway.serve.learned_curves import (
    LearnedBackend,
    LearnedCurves,
    LearnedFrontend,
    assumed,
    learned_curves,
    learned_frontends,
    restore,
)
from isocline.learn import Learner

REMEMBERED = 500
"""Removed backends whose curves are kept: 1 to 10 kB each, fitted in 0.2 s when the file is
written. The bound is for pods of Kubernetes, which have new names each time and never return."""


def learner_of(serving: Serving, known: LearnedCurves | None) -> Learner | None:
    """Make a learner from known curves and, for backends without one, from given curves.

    `known` must be in the unit of `serving`.

    At each sampled workload, a given curve counts as much as all old observations do after a
    detected change (`Learning.kept` completions): enough to start from, and soon outweighed if it
    is wrong. It is kept apart from observations, and never reported as one.
    """
    if serving.learning is None:
        return None
    system, learning = serving.system, serving.learning
    names = [backend.name for backend in system.backends]
    by_name = {backend.name: backend for backend in known.backends} if known else {}
    curves = [b.curve for b in system.backends] if learning.unit == "tokens" else system.curves
    for name, curve, given in zip(names, curves, learning.given, strict=True):
        if given and name not in by_name:
            by_name[name] = assumed(name, curve, learning.rules.kept)
    learner = _unlearned(len(names), learning)
    if by_name:
        restore(learner, names, _document(system.name, learning.unit, by_name.values()))
    return learner


def measure_for(serving: Serving, known: LearnedCurves | None) -> Measure | None:
    """Make the measure of work, from known means; None: each request counts as 1."""
    if serving.learning is None:
        return None
    by_name = {it.name: ClassWork(it.requests, it.work) for it in known.frontends} if known else {}
    nothing = ClassWork(0.0, 1.0)
    classes = [by_name.get(frontend.name, nothing) for frontend in serving.system.frontends]
    backends = len(serving.system.backends)
    return measure_of(serving.learning.unit, classes, backends, serving.system.work)


def learned_by(serving: Serving, feedback: CurveFeedback) -> LearnedCurves:
    """Return the curves that one process has learned."""
    feedback.flush()
    system, measure = serving.system, feedback.measure
    learned = learned_curves(feedback.learner, [b.name for b in system.backends], system.name)
    if measure is None or serving.learning is None:
        return learned
    frontends = learned_frontends(measure.mix, [f.name for f in system.frontends])
    return learned.model_copy(update={"unit": serving.learning.unit, "frontends": frontends})


def remembering(now: LearnedCurves, before: LearnedCurves | None) -> LearnedCurves:
    """Add the curves of removed backends, in case they return.

    Args:
        now: Curves of the present backends.
        before: An earlier result, or the file's curves.

    Returns:
        Curves of the present backends, then of at most `REMEMBERED` others, the most recently
        removed first.
    """
    if before is None:
        return now
    present = {backend.name for backend in now.backends}
    gone = [backend for backend in before.backends if backend.name not in present]
    return now.model_copy(update={"backends": [*now.backends, *gone[:REMEMBERED]]})


def divided(learned: LearnedCurves, parts: int) -> LearnedCurves:
    """Return the share of the curves' counts for one of `parts` processes."""
    share = {
        "backends": [_scaled(backend, 1.0 / parts) for backend in learned.backends],
        "frontends": [
            frontend.model_copy(update={"requests": frontend.requests / parts})
            for frontend in learned.frontends
        ],
    }
    return learned.model_copy(update=share)


def combined(serving: Serving, parts: Sequence[LearnedCurves]) -> LearnedCurves | None:
    """Combine the curves of several processes; None if there are none."""
    if len(parts) <= 1 or serving.learning is None:
        return parts[0] if parts else None
    by_name: dict[str, list[LearnedBackend]] = {}
    for backend in (backend for part in parts for backend in part.backends):
        by_name.setdefault(backend.name, []).append(backend)
    unit = serving.learning.unit
    sums = _document(parts[0].system, unit, (reduce(_added, same) for same in by_name.values()))
    learner = _unlearned(len(by_name), serving.learning)
    restore(learner, list(by_name), sums)
    fitted = learned_curves(learner, list(by_name), sums.system)
    frontends = _together(frontend for part in parts for frontend in part.frontends)
    return fitted.model_copy(update={"unit": unit, "frontends": frontends})


def _unlearned(backends: int, learning: LearningSettings) -> Learner:
    speed = TOKEN_SPEED if learning.unit == "tokens" else 1.0
    return Learner(backends, learning.rules, unit=speed)


def _together(frontends: Iterable[LearnedFrontend]) -> list[LearnedFrontend]:
    """Combine means over several processes, by name."""
    sums: dict[str, tuple[float, float]] = {}
    for it in frontends:
        requests, works = sums.get(it.name, (0.0, 0.0))
        sums[it.name] = requests + it.requests, works + it.requests * it.work
    return [
        LearnedFrontend(name=name, requests=requests, work=works / requests)
        for name, (requests, works) in sums.items()
        if requests > 0
    ]


def _scaled(backend: LearnedBackend, factor: float) -> LearnedBackend:
    changed = {
        "completions": factor * backend.completions,
        "done": [factor * done for done in backend.done],
        "seconds": [factor * seconds for seconds in backend.seconds],
        "given": [(n, factor * done, factor * seconds) for n, done, seconds in backend.given],
    }
    return backend.model_copy(update=changed)


def _added(first: LearnedBackend, second: LearnedBackend) -> LearnedBackend:
    """Add the counts of two processes; the curve is fitted again later, so either one will do."""
    counts = _sums((*_rows(first), *_rows(second)))
    changed = {
        "completions": first.completions + second.completions,
        "levels": [level for level, _, _ in counts],
        "done": [done for _, done, _ in counts],
        "seconds": [seconds for _, _, seconds in counts],
        "given": _sums((*first.given, *second.given)),
    }
    return first.model_copy(update=changed)


def _rows(backend: LearnedBackend) -> Iterable[tuple[int, float, float]]:
    return zip(backend.levels, backend.done, backend.seconds, strict=True)


def _sums(rows: Iterable[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """Sums of completions and time, s, by workload, ascending."""
    sums: dict[int, tuple[float, float]] = {}
    for level, done, seconds in rows:
        before = sums.get(level, (0.0, 0.0))
        sums[level] = before[0] + done, before[1] + seconds
    return [(level, *sums[level]) for level in sorted(sums)]


def _document(system: str, unit: Unit, backends: Iterable[LearnedBackend]) -> LearnedCurves:
    return LearnedCurves(
        kind="learned-curves", version=1, system=system, unit=unit, backends=list(backends)
    )
