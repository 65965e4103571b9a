"""`isocline simulate`: fair comparison of several policies on one system.

All policies get the same arrivals and sizes, the warm-up is given or found, a run too short is
refused, a policy without a steady state is called unstable, and a bound stands beside every mean.
A trace is replayed until its last job has left, whatever its load.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from isocline.arguments import ABOVE_0, NOT_NEGATIVE, POSITIVE, SHARE, at_least, checked, in_words
from isocline.errors import InfeasibleError
from isocline.model.fleet import RoutingSystem
from isocline.model.traffic import Patience, Trace
from isocline.policies.parse import Function, routing_policy
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.adaptive_runs import Effort, chosen_policies, compare
from isocline.simulate.common.event_budget import BUDGET
from isocline.simulate.common.executor import Progress, silent
from isocline.simulate.common.load_points import at_loads
from isocline.simulate.common.run_settings import ONE_LOAD, Clock, ascending
from isocline.simulate.routing import cache_knowledge as cache
from isocline.simulate.routing.delay import Delay
from isocline.simulate.routing.failure import Failure
from isocline.simulate.routing.kernels.departures import Law
from isocline.simulate.routing.layers import in_layers, label_of
from isocline.simulate.routing.options import (
    Changes,
    Length,
    Model,
    Options,
    TimeOptions,
    Traffic,
    experiment_of,
)
from isocline.simulate.routing.prepare import Discipline, Eviction
from isocline.simulate.routing.results import Comparison, InfeasibleLoad, Sweep
from isocline.simulate.routing.slowdown import Slowdown

if TYPE_CHECKING:
    from isocline.learn.learner import Learning

DEFAULT_POLICIES = (
    "gmsr_secant",
    "gmsr",
    "least_expected_latency",
    "weighted_least_connections",
    "jsq",
)


@checked(
    patience=in_words("a string such as 'exponential:mean=2', or 'none'"),
    arrivals=in_words("a string such as 'gamma:cv=3'"),
    deadline=POSITIVE,
    time_scale=POSITIVE,
    load=ONE_LOAD,
    horizon=POSITIVE,
    warmup=NOT_NEGATIVE,
    replications=at_least(2),
    precision=SHARE,
    seed=at_least(0),
    slot=POSITIVE,
    scale=POSITIVE,
    threads=at_least(1),
    budget=ABOVE_0,
)
def simulate(
    system: RoutingSystem,
    policies: Sequence[str | RoutingPolicy | Function] = DEFAULT_POLICIES,
    *,
    trace: Trace | None = None,
    arrivals: str | None = None,
    patience: str | Patience | None = None,
    deadline: float | None = None,
    time_scale: float = 1.0,
    load: float | None = None,
    horizon: float | None = None,
    warmup: float | None = None,
    replications: int = 10,
    precision: float | None = None,
    seed: int = 0,
    start: Literal["empty", "fluid"] = "empty",
    discipline: Discipline = "ps",
    clock: Clock = "continuous",
    slot: float | None = None,
    departures: Law | None = None,
    scale: float = 1.0,
    delay: Delay | None = None,
    layers: str | RoutingPolicy | Function | None = None,
    learn: "Learning | None" = None,
    slowdowns: Sequence[Slowdown] = (),
    changes: Sequence[tuple[float, RoutingSystem]] = (),
    failures: Sequence[Failure] = (),
    cache_knowledge: cache.Caches = "own",
    output_lengths: cache.Outputs = "mean",
    eviction: Eviction = "price",
    percentiles: bool = True,
    common_arrivals: bool = False,
    threads: int | None = None,
    budget: float = BUDGET,
    progress: Progress = silent,
) -> Comparison:
    """Compare policies on one system.

    Args:
        system: Frontends, backends and who may use whom.
        policies: Names as on the command line, policies, or functions `choose(candidates, view,
            now, rng) -> edge`; the first is what others are compared with.
        trace: Requests to replay in place of the system's own arrivals; by default the system's own
            trace, if its file names one.
        arrivals: A law for all frontends, also those of `changes`, in place of their own, each at
            its own mean rate, such as `gamma:cv=3`; see docs/system-files.md.
        patience: How long after its arrival a job gives up, in place of the system's own, such as
            `exponential:mean=2` (s) or `deterministic:mean=2`; `none` for none. Every load has a
            steady state then, and there is no bound.
        deadline: s. A latency above it counts as late; the job stays.
        time_scale: How many times as fast the arrivals come.
        load: Scale the arrivals to this share of what can be served, in place of `time_scale`.
        horizon: Length of each replication, s, warm-up included; by default long enough for
            200 000 jobs and longer where that proves too short, or the length of the trace.
        warmup: What to discard at the start, s; None finds it by MSER-5, or discards nothing where
            arrival rates change with time: a trace, or piecewise-constant rates.
        replications: Independent runs, at least 2.
        precision: Add replications until the 95 % interval of every mean latency is within this
            relative half-width.
        seed: Key of all randomness.
        start: From empty backends, or from the (rounded) fluid optimum.
        discipline: `ps` serves all jobs of a backend at once; `fcfs`, for servers curves, as many
            as there are servers, in order of arrival.
        clock: `slotted` is the model of the GMSR paper as printed: see docs/clocks.md.
        slot: Length of a slot at scale 1, s; by default 1, or the longest of 1, 2, 5 x 10^-k that
            the curves admit.
        departures: The law of the departures in a slot: `bernoulli`, `binomial` or `poisson`; by
            default Bernoulli where the slot admits it, else binomial.
        scale: Simulate `system.enlarged(scale)` (GMSR paper, Section 5), in which a job weighs
            1 / scale: numbers of jobs come in units of scale jobs, latencies are what they are.
        delay: How long jobs travel, and how late what frontends know is; needs Poisson arrivals and
            exponential sizes. Travel counts in latencies, and in the bound.
        layers: Route to a pool by each of `policies`, and within it by this one; `flat` opens the
            pools to the frontends. By default a pool serves at its curve, as if balanced perfectly.
        learn: Beside each policy that looks at curves, the same one learning them; see
            docs/learning.md.
        slowdowns: Backends that change their speed during the run.
        changes: Times, s, from which on the system is another: rates, curves, backends and edges
            may all differ, as in `fluid`. A backend that is missing serves what it has left. There
            is no bound for a fleet that changes.
        failures: Backends that are gone from a time on, with their jobs, which are lost or sent
            again. A backend comes back with a system in `changes` that has it.
        cache_knowledge: What frontends know of prefix caches: `own` follows them by what a frontend
            sends itself; with `homes` all agree besides on one backend for each prefix, by a hash;
            `exact` is what they hold, `none` takes them to be empty.
        output_lengths: What frontends know of the lengths of answers, where there are prefix
            caches: the `mean` of those that have ended, or each (`known`).
        eviction: Which models make way in a backend's memory for one that is loaded: by `price`
            those whose loss costs least, or those used least recently (`lru`).
        percentiles: Time every job; without, means come at about twice the speed.
        common_arrivals: Draw all jobs in advance, so that another system simulated with the same
            seed gets the same ones at frontends of the same rates; about half the speed. The
            policies' `latencies`, one of each replication, can then be compared in pairs.
        threads: By default one per core; results do not depend on it.
        budget: Refuse to run more events than this, in all replications of all policies.
        progress: Called after each replication with how many are done, and how many there will be.

    Raises:
        InfeasibleError: The load cannot be served by any policy, and there is no trace that ends;
            names the violated set.
        RunTooShortError: The run is too short for its own warm-up, or has too few jobs.
        PolicyError: A policy is unknown, or misbehaves.
        UsageError: An argument is out of range, or the run would take more events than `budget`.
    """
    chosen, labels = chosen_policies(policies, routing_policy)
    if layers is not None:
        system, chosen = in_layers(system, chosen, layers)
        labels = [label_of(label, layers) for label in labels]
    options = Options(
        Traffic(trace, arrivals, patience, time_scale, load),
        Length(horizon, warmup, seed, percentiles, common_arrivals),
        TimeOptions(clock, slot, departures, scale),
        Changes(tuple(slowdowns), tuple(changes), tuple(failures)),
        Model(
            discipline,
            start,
            delay,
            learn,
            deadline,
            layers is not None,
            cache.CacheKnowledge(cache_knowledge, output_lengths),
            eviction,
        ),
    )
    experiment = experiment_of(system, dict(zip(labels, chosen, strict=True)), options)
    return compare(experiment, Effort(replications, precision, threads, budget, progress))


@checked(loads=POSITIVE)
def sweep(
    system: RoutingSystem,
    policies: Sequence[str | RoutingPolicy | Function] = DEFAULT_POLICIES,
    *,
    loads: Sequence[float],
    **options: Any,
) -> Sweep:
    """`simulate` at several loads, lowest first; takes its other options.

    A load that no policy can serve is among `Sweep.infeasible`, with its proof. Ctrl-C ends the
    sweep with what is done so far.

    Raises:
        InfeasibleError: None of the loads can be served; names the lowest. Not of a trace.
    """

    def at(load: float, progress: Progress) -> Comparison | InfeasibleLoad:
        try:
            return simulate(system, policies, load=load, progress=progress, **options)
        except InfeasibleError as error:
            return InfeasibleLoad(load, error)

    def is_interrupted(one: Comparison | InfeasibleLoad) -> bool:
        return isinstance(one, Comparison) and one.interrupted

    each = at_loads(ascending(loads), at, is_interrupted, options.pop("progress", silent))
    found = tuple(one for one in each if isinstance(one, Comparison))
    beyond = tuple(one for one in each if isinstance(one, InfeasibleLoad))
    if not found:
        first = beyond[0].error
        first.args = (f"load {min(loads):g} is {first}; give loads below 1",)
        raise first
    return Sweep(found, beyond)
