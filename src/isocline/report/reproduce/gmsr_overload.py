"""Overload: throughput, stable backends and their jobs (GMSR paper, version 3).

The statement is from the abstract (arXiv 2411.17103v3); the system is ours. 35 jobs/s arrive for a
capacity of 40, but one frontend brings 5 jobs/s more than its two backends can serve.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals
from isocline.report.plots.end_labels import End, label_ends
from isocline.report.plots.style import BOUND, house, looks_of, new_figure
from isocline.report.plots.theme import theme
from isocline.report.reproduce.fits import FloatArray
from isocline.report.reproduce.page import frame, panel_title
from isocline.report.reproduce.reproduction import Claim, Reproduction
from isocline.report.words import estimate, listed, number
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics.intervals import interval
from isocline.simulate.routing.paths import paths
from isocline.theory.routing.equilibrium import plan
from isocline.theory.routing.fluid_path import FluidPath
from isocline.theory.routing.inclusion import fluid
from isocline.theory.routing.plan_records import Overload

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "GMSR under a load that cannot be served"
GMSR = "gmsr"
POLICIES = (
    GMSR,
    "gmsr_secant",
    "weighted_least_connections",
    "least_expected_latency",
    "jsq",
    "power_of_d",
    "static_optimal",
    "random",
)
HORIZON = 200.0  # s
POINTS = 201
SCALE, QUICK_SCALE = 200.0, 30.0  # c
REPLICATIONS, QUICK_REPLICATIONS = 10, 4
LATE = 0.75  # share of the horizon after which figures are measured
# Relative tolerance of the throughput: at time t a growing backend is peak half / (growth t) below
# its peak, which is 0.2 % for all of them at the mean time of the measured part.
CLOSE = 0.01
GROWS = 0.1  # jobs/s: a backend whose workload rises faster counts as not stable


class Series(NamedTuple):
    """One policy."""

    policy: str
    served: FloatArray  # (T,) jobs/s, mean over replications
    jobs: FloatArray  # (T,) at the backends that can be stable, mean over replications
    throughput: Estimate  # jobs/s, in the measured part
    stable_jobs: Estimate  # at the backends that can be stable, in the measured part
    more: Estimate | None  # `stable_jobs` less those of GMSR, paired
    growth: FloatArray  # (B,) jobs/s, in the measured part
    stable: int  # number of stable backends


class Study(NamedTuple):
    """Contents of the figure."""

    system: RoutingSystem
    known: Overload
    times: FloatArray  # (T,) s
    path: FluidPath
    series: tuple[Series, ...]


def crowded() -> RoutingSystem:
    """System with two small overloaded backends, and two others that have room."""
    curves = {
        "small-1": HyperbolicCurve(4.0, 2.0),
        "small-2": HyperbolicCurve(6.0, 3.0),
        "wide": HyperbolicCurve(20.0, 30.0),
        "quick": HyperbolicCurve(10.0, 2.0),
    }
    uses = {"batch": (15.0, [0, 1]), "chat": (16.0, [1, 2, 3]), "code": (4.0, [3, 0])}
    return RoutingSystem(
        frontends=tuple(Frontend(name, PoissonArrivals(rate)) for name, (rate, _) in uses.items()),
        backends=tuple(Backend(name, curve) for name, curve in curves.items()),
        graph=CompatibilityGraph.from_neighbours(4, [may for _, may in uses.values()]),
        name="crowded fleet",
    )


def reproduce(quick: bool, seed: int) -> Reproduction:
    """Simulate eight policies from empty backends, beside the plan and the fluid."""
    system = crowded()
    known = plan(system).overload
    assert known is not None  # since batch brings too much
    scale, count = (QUICK_SCALE, QUICK_REPLICATIONS) if quick else (SCALE, REPLICATIONS)
    times = np.linspace(0.0, HORIZON, POINTS)
    workloads = {
        policy: paths(
            system,
            policy,
            scale=scale,
            clock="continuous",
            horizon=HORIZON,
            points=POINTS,
            replications=count,
            seed=seed,
        ).workloads
        for policy in POLICIES
    }
    study = Study(
        system,
        known,
        times,
        fluid(system, horizon=HORIZON, step=HORIZON / (POINTS - 1)),
        tuple(_series(system, known, workloads)),
    )
    conditions = (
        "Backends l(N) = peak N/(N + half), peak, half: small-1 4, 2; small-2 6, 3; wide 20, 30; "
        "quick 10, 2. Frontends, jobs/s: batch 15 to small-1 and small-2, chat 16 to all but "
        "small-1, code 4 to quick and small-1. All empty at first. Policies with their default "
        f"options, simulated in continuous time at scale c = {scale:g} (a job counts 1/c), "
        f"Poisson arrivals, exponential sizes, {count} replications, seed {seed}. Throughput: "
        "sum of l(N). Dashed: the plan, in a its workloads, or its growth. Claims: from "
        f"{LATE * HORIZON:g} s on, with 95 % Student-t intervals over replications; stable is what "
        f"grows by less than {GROWS:g} jobs/s."
    )
    return Reproduction(
        title=TITLE,
        claims=_claims(study),
        tables={"": list(_rows(study)), "policies": list(_policy_rows(study))},
        conditions=conditions,
        draw=partial(_draw, study, conditions),
    )


def _kept(known: Overload) -> list[int]:
    """Numbers of the backends that can be stable."""
    return [b for b, row in enumerate(known.backends) if row.status == "stable"]


def _served(system: RoutingSystem, workloads: FloatArray) -> FloatArray:
    """Service rate of all backends together, jobs/s; (..., B) to (...)."""
    rates = [curve.rate(workloads[..., b]) for b, curve in enumerate(system.curves)]
    return np.asarray(np.sum(rates, axis=0))


def _series(
    system: RoutingSystem, known: Overload, workloads: Mapping[str, FloatArray]
) -> Iterable[Series]:
    late = round(LATE * (POINTS - 1))
    kept = _kept(known)
    best = workloads[GMSR][:, late:, kept].sum(axis=2).mean(axis=1)
    for policy, found in workloads.items():
        served, jobs = _served(system, found), found[:, :, kept].sum(axis=2)
        growth = (found[:, -1] - found[:, late]).mean(axis=0) / ((1.0 - LATE) * HORIZON)
        holds = jobs[:, late:].mean(axis=1)
        yield Series(
            policy,
            served.mean(axis=0),
            jobs.mean(axis=0),
            interval(served[:, late:].mean(axis=1)),
            interval(holds),
            None if policy == GMSR else interval(holds - best),
            growth,
            int((growth < GROWS).sum()),
        )


def _claims(study: Study) -> tuple[Claim, ...]:
    known, of = study.known, {one.policy: one for one in study.series}
    own, most = of[GMSR], known.throughput
    as_much = [one for one in study.series if _serves_most(one, known)]
    less = [one for one in study.series if one not in as_much]
    stable = sum(row.status == "stable" for row in known.backends)
    rivals = [one for one in as_much if one.policy != GMSR]
    least = -CLOSE * own.stable_jobs.value
    fewer = [one for one in rivals if one.more and one.more.high < least]
    holding = ", ".join(
        f"{one.policy} {_more_in_words(one.more, own)}" for one in rivals if one.more
    )
    growing = [(b, row) for b, row in enumerate(known.backends) if row.growth]
    grown = {row.name: (float(own.growth[b]), row.growth or 0.0) for b, row in growing}
    return (
        Claim(
            "GMSR maximises throughput",
            "Version 3, abstract",
            f"{estimate(own.throughput)} of the {number(most)} jobs/s that any policy can serve, "
            f"of {number(known.arrivals)} that arrive, and rising; "
            f"{_less_in_words(less)}; no policy serves more",
            own in as_much and all(one.throughput.low <= most for one in study.series),
            {"throughput": own.throughput.value, "most": most}
            | {one.policy: one.throughput.value for one in study.series},
        ),
        Claim(
            "Among policies that do, it stabilises the most backends",
            "Version 3, abstract",
            f"{own.stable} of {len(known.backends)}, as many as can be; of the others that serve "
            f"as much at most {max((one.stable for one in rivals), default=0)}",
            own.stable == stable and all(one.stable <= own.stable for one in rivals),
            {"stable": own.stable, "most": stable},
        ),
        Claim(
            "And it minimises the workload on those",
            "Version 3, abstract",
            f"{estimate(own.stable_jobs)} jobs there, and the optimum of Eq. (1) for that part has "
            f"{number(known.stable_jobs)}; {holding}",
            not fewer and abs(own.stable_jobs.value / known.stable_jobs - 1.0) <= 0.05,
            {"jobs": own.stable_jobs.value, "optimum": known.stable_jobs}
            | {one.policy: one.stable_jobs.value for one in rivals},
        ),
        Claim(
            "Jobs pile up where marginal rates fall alike: in proportion to √(peak half)",
            "ours",
            "; ".join(
                f"{name} grows by {number(is_, 3)} jobs/s, {number(said, 3)} in the long run"
                for name, (is_, said) in grown.items()
            ),
            all(abs(is_ - said) <= 0.1 * said for is_, said in grown.values()),
            {name: [is_, said] for name, (is_, said) in grown.items()},
        ),
    )


def _serves_most(one: Series, known: Overload) -> bool:
    """Whether a policy serves as much as possible, within its interval and `CLOSE`."""
    return one.throughput.high >= (1.0 - CLOSE) * known.throughput


def _more_in_words(more: Estimate, own: Series) -> str:
    """Additional jobs compared with GMSR, in per cent of GMSR's."""
    share = more.over(own.stable_jobs.value / 100.0)
    if share.low <= 0.0 <= share.high or abs(share.value) < 0.1:
        return "as many"
    return f"{number(abs(share.value), 2)} % {'more' if share.value > 0.0 else 'fewer'}"


def _less_in_words(less: Sequence[Series]) -> str:
    if not less:
        return "no policy serves less"
    return ", ".join(f"{one.policy} serves {estimate(one.throughput)}" for one in less)


def _rows(study: Study) -> Iterable[Mapping[str, Any]]:
    """Rows of GMSR's fluid, and of the means of each policy."""
    served = _served(study.system, study.path.workloads)
    names = study.path.backends
    for i, time in enumerate(study.path.times.tolist()):
        jobs = dict(zip(names, study.path.workloads[i].tolist(), strict=True))
        yield (
            {"time": time, "fluid_throughput": float(served[i])}
            | {f"fluid_{name}": n for name, n in jobs.items()}
            | {f"throughput_{one.policy}": float(one.served[i]) for one in study.series}
            | {f"jobs_{one.policy}": float(one.jobs[i]) for one in study.series}
        )


def _policy_rows(study: Study) -> Iterable[Mapping[str, Any]]:
    for one in study.series:
        yield {
            "policy": one.policy,
            "throughput": one.throughput.value,
            "throughput_low": one.throughput.low,
            "throughput_high": one.throughput.high,
            "stable": one.stable,
            "stable_jobs": one.stable_jobs.value,
            "stable_jobs_low": one.stable_jobs.low,
            "stable_jobs_high": one.stable_jobs.high,
        } | {
            f"growth_{row.name}": float(one.growth[b]) for b, row in enumerate(study.known.backends)
        }


@house()
def _draw(study: Study, conditions: str) -> "Figure":
    figure = new_figure(height=8.2)
    piled, served, jobs = figure.subplots(3, 1, sharex=True, height_ratios=[1.0, 1.0, 1.0])
    fluid_ends = _fluid(piled, study)
    panel_title(piled, "a", "GMSR's fluid: jobs at each backend, and the plan")
    looks = dict(zip(POLICIES, looks_of([one.policy for one in study.series]), strict=True))
    looks[GMSR] |= {"lw": 2.0, "zorder": 4}
    served_ends, job_ends = [], []
    for one in study.series:
        look = {"lw": 1.2} | looks[one.policy] | {"marker": None}
        served.plot(study.times, one.served, **look)
        jobs.plot(study.times, one.jobs, **look)
        color, note = look["color"], "" if _serves_most(one, study.known) else " (serves less)"
        if note:
            served_ends.append(End(HORIZON, float(one.served[-1]), one.policy, color))
        job_ends.append(End(HORIZON, float(one.jobs[-1]), one.policy, color, note))
    served.axhline(study.known.throughput, color=theme().ink, **BOUND)
    served_ends.append(End(HORIZON, study.known.throughput, "the most", theme().ink))
    alike = sum(_serves_most(one, study.known) for one in study.series) - 1
    own = next(one for one in study.series if one.policy == GMSR)
    more = f"{GMSR} and {alike} more" if alike > 0 else GMSR
    served_ends.append(End(HORIZON, float(own.served[-1]), more, looks[GMSR]["color"]))
    served.set_ylim(0.6 * study.known.throughput, 1.02 * study.known.throughput)
    served.set_ylabel("throughput, jobs/s")
    panel_title(served, "b", "throughput")
    jobs.axhline(study.known.stable_jobs, color=theme().ink, **BOUND)
    job_ends.append(End(HORIZON, study.known.stable_jobs, "the fewest", theme().ink))
    jobs.set_ylim(0.0, 2.2 * study.known.stable_jobs)
    jobs.set_xlim(0.0, HORIZON)
    jobs.set_ylabel("jobs")
    jobs.set_xlabel("time, s")
    names = [study.known.backends[b].name for b in _kept(study.known)]
    panel_title(jobs, "c", f"jobs at {listed(names)}, which can be stable")
    frame(figure, TITLE, conditions)
    for axes, ends in ((piled, fluid_ends), (served, served_ends), (jobs, job_ends)):
        label_ends(axes, ends)
    return figure


def _fluid(axes: "Axes", study: Study) -> list[End]:
    """Draw workloads of the fluid and, dashed, the plan's long run."""
    path, ends = study.path, []
    dashes: dict[str, Any] = {"lw": 0.8, "ls": (0, (4, 3))}
    for b, row in enumerate(study.known.backends):
        color = theme().palette[b]
        axes.plot(path.times, path.workloads[:, b], color=color, lw=1.4)
        if row.jobs is not None:
            axes.axhline(row.jobs, color=color, **dashes)
        elif row.growth is not None:
            # The long run is a line through the end of the path, with the plan's slope.
            end = float(path.workloads[-1, b])
            axes.plot([0.0, HORIZON], [end - row.growth * HORIZON, end], color=color, **dashes)
        ends.append(End(HORIZON, float(path.workloads[-1, b]), row.name, color))
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("jobs")
    return ends
