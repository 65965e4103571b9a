"""A routing system whose traffic is a trace: how often, where and how large its requests come."""

from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from isocline.errors import UsageError
from isocline.model.fleet import Frontend, RoutingSystem
from isocline.model.traffic import Mix, PoissonArrivals, Trace

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


def with_trace(system: RoutingSystem, trace: Trace) -> RoutingSystem:
    """The system at the mean rates and the mean work of a trace.

    A request comes in at the frontend that its label names. Where a trace has no labels, or none
    that it must follow, the frontends share it in proportion to their own rates.

    Where curves are in work units, a job's mean work becomes the trace's. Where they are in
    jobs/s, sizes are normalised to mean 1, so that the trace brings its variety and its bursts.

    Raises:
        UsageError: The trace holds no work or but one request, no time passes in it, or it has
            labels that no frontend has.
    """
    if trace.times.size == 1:
        raise UsageError(
            f"trace {trace.name}: it holds one request, so that it has no rate; give two or more"
        )
    if not trace.length > 0:
        raise UsageError(
            f"trace {trace.name}: all its requests come at one time, so that it has no rate; "
            "space them"
        )
    known = frontends_of(system, trace)
    if known is not None:
        rates = np.bincount(known, minlength=len(system.frontends)) / trace.length
    else:
        rates = system.rates / system.rates.sum() * trace.rate
    frontends = tuple(
        replace(f, arrivals=PoissonArrivals(float(rate)))
        for f, rate in zip(system.frontends, rates, strict=True)
    )
    system = replace(system, frontends=frontends)
    if not trace.sized:
        return system  # its jobs are those of the system
    mean = float(system.work.of(trace).mean())
    if not mean > 0:
        raise UsageError(
            f"trace {trace.name}: its requests hold no work at prefill {system.work.prefill:g} "
            f"and decode {system.work.decode:g}; give other weights under `work`"
        )
    if system.work.unit != "jobs":
        return replace(system, work=replace(system.work, mean=mean))
    if trace.work is not None:
        return system  # sizes are relative to their mean, whatever that is
    prefill, decode = system.work.prefill / mean, system.work.decode / mean
    return replace(system, work=replace(system.work, prefill=prefill, decode=decode))


def sizes_of(system: RoutingSystem, trace: Trace) -> FloatArray | None:
    """(n,) size of each request in mean jobs; None where the trace has times alone."""
    if not trace.sized:
        return None
    work = system.work.of(trace)
    return np.asarray(work / work.mean())


def frontends_of(system: RoutingSystem, trace: Trace) -> IntArray | None:
    """(n,) number of the frontend of each request; None where rates are to decide.

    Raises:
        UsageError: A label that must be followed is that of no frontend.
    """
    mix = trace.mix
    if mix is None:
        return None
    numbers = [_frontend(system.frontends, mix, label) for label in mix.labels]
    missing = [label for label, f in zip(mix.labels, numbers, strict=True) if f is None]
    if not missing:
        return np.array(numbers, np.int32)[mix.of]
    if not mix.required and len(missing) == len(mix.labels):
        return None
    shown = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
    by = "name" if mix.column == "frontend" else "name or `match: {model: ...}`"
    raise UsageError(
        f"trace {trace.name}: no frontend has the {by} {shown}; there are "
        f"{', '.join(f.name for f in system.frontends)}. Rename them, or leave {mix.column}= out "
        "of the trace's columns to share its requests by rates"
    )


def _frontend(frontends: tuple[Frontend, ...], mix: Mix, label: str) -> int | None:
    """By name; for models also by the pattern of the models that a frontend takes."""
    for f, frontend in enumerate(frontends):
        if frontend.name == label:
            return f
    if mix.column == "model":
        for f, frontend in enumerate(frontends):
            if frontend.model is not None and fnmatchcase(label, frontend.model):
                return f
    return None
