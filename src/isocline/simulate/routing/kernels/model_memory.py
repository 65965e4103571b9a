"""Backends that hold some models in memory, and load others when a job asks for one.

A job whose model is not resident at its backend has it loaded there: the backend stands still for
the load, and loads at one backend follow each other. Where memory lacks room, models make way that
no job there asks for. Pinned models stay, and so do those in use. Where too little can go, the
model is read for this job alone, while one in use makes way and comes back: `OUT_OF_TURN` loads,
and memory is left as it was.

What a load adds to a job's work, and which model makes way, is `policies.routing.model_loads`, as
in the live core.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isocline.compilation.compiled import kernel
from isocline.policies.routing import model_loads
from isocline.policies.routing.contract import LOAD, MODEL, WORK, View
from isocline.simulate.common.kernels.counters import System

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

ABSENT, RESIDENT, PINNED = 0, 1, 2
NO_MODEL = -1  # in place of a model


class Memory(NamedTuple):
    """Memories of B backends for M models, and n listed jobs. Made by the engine."""

    # (n,) int32, the model that each job asks for, or NO_MODEL. Read-only.
    model: IntArray
    # (M,) float64, memory that each model takes, and s that a backend stands still to load it.
    # Read-only.
    size: FloatArray
    load: FloatArray
    # Whether models make way by what their loss costs; else the one used least recently does.
    by_price: bool
    # (B, M) int8, ABSENT, RESIDENT or PINNED. Written by the kernel, as all below.
    state: npt.NDArray[np.int8]
    # (B,) float64, memory that nothing takes, inf where all models are held; and that of resident
    # models without jobs.
    free: FloatArray
    idle: FloatArray
    # (B, M) int32, jobs there that ask for each model.
    users: IntArray
    # (B, M) float64, s: when each was asked for last, and when it was loaded.
    last: FloatArray
    since: FloatArray
    # (B, M) float64, how often it was asked for since then.
    uses: FloatArray
    # (n,) int32, the edge by which each job was sent.
    edge: IntArray
    # (n,) int8, loads that each job caused, and int16, models that made way for it.
    loads: npt.NDArray[np.int8]
    evictions: npt.NDArray[np.int16]


@kernel
def loads_of(memory: Memory, backend: int, model: int) -> float:
    """Loads that a job which asks for a model costs at a backend now."""
    if model == NO_MODEL:
        return 0.0
    resident = memory.state[backend, model] != ABSENT
    room = memory.free[backend] + memory.idle[backend]
    return model_loads.loads_needed(resident, room, memory.size[model])


@kernel
def makes_way(memory: Memory, backend: int, model: int) -> bool:
    """Whether a load of a model at a backend needs memory that others take."""
    return model != NO_MODEL and not model_loads.fits(memory.free[backend], memory.size[model])


@kernel
def rate_with_one_more(view: View, system: System, backend: int) -> float:
    """Rate of a backend with one more job than it has, jobs/s."""
    more = min(view.workload[backend] + 1, system.rate.shape[1] - 1)
    return system.rate[view.row[backend], more]  # type: ignore[no-any-return]


@kernel
def show_loads(
    view: View,
    system: System,
    memory: Memory | None,
    job: int,
    low: int,
    high: int,
    still_until: FloatArray,
    now: float,
) -> None:
    """Write what a frontend sees of a job into `view.job`, and `view.work` of its edges.

    Args:
        view: Written.
        system: Read-only.
        memory: Read-only; None: jobs ask for no models.
        job: Its number.
        low: The first edge of its frontend.
        high: The first edge of the next one.
        still_until: (B,) s, until when backends stand still; before `now` if they do not.
        now: s.
    """
    if memory is None:
        return
    model = memory.model[job]
    view.job[MODEL] = model
    elsewhere, seconds = np.inf, 0.0
    if model != NO_MODEL:
        seconds = memory.load[model]
        for edge in range(low, high):
            backend = view.backend[edge]
            if memory.state[backend, model] != ABSENT:
                elsewhere = min(elsewhere, drain_price(view, system, backend))
    for edge in range(low, high):
        backend = view.backend[edge]
        loads = loads_of(memory, backend, model)
        rate = rate_with_one_more(view, system, backend)
        view.work[edge, LOAD] = loads * seconds
        view.work[edge, WORK] = model_loads.work_with_loads(
            loads,
            seconds,
            view.workload[backend] + 1,
            rate,
            elsewhere,
            makes_way(memory, backend, model),
            max(still_until[backend] - now, 0.0),
        )


@kernel
def ask(
    view: View, system: System, memory: Memory | None, job: int, edge: int, now: float
) -> tuple[int, float]:
    """Send a job by an edge at `now`: what `Jobs.edge` has of it, and s its backend stands still.

    Writes `memory`; to be called before the job joins.
    """
    if memory is None:
        return edge, 0.0
    backend, model = view.backend[edge], memory.model[job]
    memory.edge[job] = edge
    if model == NO_MODEL:
        return job, 0.0
    loads = loads_of(memory, backend, model)
    memory.loads[job] = int(loads)
    if loads == 1.0:
        make_room(view, system, memory, job, backend, now)
        memory.state[backend, model] = RESIDENT
        memory.free[backend] -= memory.size[model]
        memory.since[backend, model] = now
        memory.uses[backend, model] = 0.0
    elif memory.state[backend, model] == RESIDENT and memory.users[backend, model] == 0:
        memory.idle[backend] -= memory.size[model]
    memory.users[backend, model] += 1
    memory.uses[backend, model] += 1.0
    memory.last[backend, model] = now
    return job, loads * memory.load[model]


@kernel
def done_with(view: View, memory: Memory | None, label: int) -> int:
    """A job leaves its backend, of which `Jobs.edge` has `label`: its edge. Writes `memory`."""
    if memory is None or label < 0:  # one of the start has no edge
        return label
    edge, model = memory.edge[label], memory.model[label]
    if model != NO_MODEL:
        backend = view.backend[edge]
        memory.users[backend, model] -= 1
        if memory.users[backend, model] == 0 and memory.state[backend, model] == RESIDENT:
            memory.idle[backend] += memory.size[model]
    return edge  # type: ignore[no-any-return]


@kernel
def make_room(
    view: View, system: System, memory: Memory, job: int, backend: int, now: float
) -> None:
    """Let models go that are not in use until that of a job fits. Writes `memory`."""
    while not model_loads.fits(memory.free[backend], memory.size[memory.model[job]]):
        victim, least, oldest = NO_MODEL, np.inf, np.inf
        for model in range(memory.size.size):
            if memory.state[backend, model] != RESIDENT or memory.users[backend, model] > 0:
                continue
            cost = 0.0
            if memory.by_price:
                cost = loss(view, system, memory, backend, model, now) / memory.size[model]
            last = memory.last[backend, model]
            if cost < least or (cost == least and last < oldest):
                victim, least, oldest = model, cost, last
        if victim == NO_MODEL:  # only by rounding
            return
        memory.state[backend, victim] = ABSENT
        memory.free[backend] += memory.size[victim]
        memory.idle[backend] -= memory.size[victim]
        memory.evictions[job] += 1


@kernel
def drain_price(view: View, system: System, backend: int) -> float:
    """Price of draining one more job at a backend, s."""
    rate = rate_with_one_more(view, system, backend)
    return model_loads.drain_price(view.workload[backend] + 1, rate)


@kernel
def loss(view: View, system: System, memory: Memory, backend: int, model: int, now: float) -> float:
    """Cost of the loss of a resident model, s of delay per s."""
    elsewhere = np.inf
    for other in range(memory.free.size):
        if other != backend and memory.state[other, model] != ABSENT:
            elsewhere = min(elsewhere, drain_price(view, system, other))
    return model_loads.loss(
        memory.load[model],
        drain_price(view, system, backend),
        rate_with_one_more(view, system, backend),
        elsewhere,
        memory.uses[backend, model],
        now - memory.since[backend, model],
    )
