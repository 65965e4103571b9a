"""`isocline.audit_log`: findings on another router by its access log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from isocline.arguments import at_least, between, checked
from isocline.audit.advice import Saving, missing_connections, more_machines
from isocline.audit.cautions import cautions_on, is_steady
from isocline.audit.formats.exchange import Outcome
from isocline.audit.frontends import (
    LoggedFrontends,
    frontends_by_edges,
    frontends_by_system,
    frontends_of_log,
)
from isocline.audit.gap import BlockMeans, Parts, block_means, learned_system, parts_of
from isocline.audit.learned import CurveLearning, LearnedFleet
from isocline.audit.narrowing import unknowns
from isocline.audit.reading import Log, read_log
from isocline.audit.replayed import POLICIES, PolicyReplay
from isocline.audit.result import (
    Advice,
    Audit,
    AuditedBackend,
    AuditedFrontend,
    LogSummary,
    Part,
    PolicyAudit,
)
from isocline.audit.workloads import Occupied, occupied
from isocline.compilation.interpretable import interpreted_if_small
from isocline.errors import IsoclineError, UsageError
from isocline.model.fleet import RoutingSystem
from isocline.model.systemfile.build import assemble
from isocline.model.systemfile.schema import checked as checked_file
from isocline.model.systemfile.serving import read_served
from isocline.simulate.common.estimate import Estimate
from isocline.simulate.common.statistics import student_t

FloatArray = npt.NDArray[np.float64]

# With fewer served requests even their mean latency is off by a tenth.
LEAST_REQUESTS = 200


@checked(draws=between(3, 1000), seed=at_least(0))
def audit_log(
    logs: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - as the option is called
    edges: Sequence[str] = (),
    system: str | Path | None = None,
    policies: Sequence[str] = POLICIES,
    draws: int = 20,
    seed: int = 0,
) -> Audit:
    """Learn the service curves of a router's backends from its access log, and judge its routing.

    Args:
        logs: Files of nginx, HAProxy, Envoy or Isocline, or CSV, packed by gzip or not, in any
            order; found out by their content.
        format: The router's own format of lines where it is not a usual one: `log_format` of nginx,
            `log-format` of HAProxy or Envoy's, or a file of nginx's configuration that has it.
        edges: Which origin may use which backends, each "ORIGIN=BACKEND,..." with shell-style
            patterns; by default those that it used.
        system: A system file that says the same, whose backends have the names or urls of the log.
        policies: Names as on the command line, to be simulated on the same arrivals.
        draws: Times that blocks of the log are drawn for intervals.
        seed: Key of all randomness.

    Raises:
        TraceError: A file cannot be read, or its format is unknown or lacks what is needed.
        UsageError: An argument is no format, edge or system for this log, or too few requests were
            served.
        PolicyError: A policy is unknown.
    """
    if edges and system is not None:
        raise UsageError("edges and system both say which backends may be used; give one")
    paths = [Path(logs)] if isinstance(logs, str | Path) else [Path(one) for one in logs]
    if not paths:
        raise UsageError("logs []: give at least one access log")
    log = read_log(paths, format)
    served = int(log.records.served.sum())
    if served < LEAST_REQUESTS:
        raise UsageError(
            f"{', '.join(log.files)}: {served} requests were served; an audit needs "
            f"{LEAST_REQUESTS}, and 2,000 for each backend to be near"
        )
    stays = (log.records.end - log.records.start)[log.records.served]
    if not stays.max() > 0.0:
        raise UsageError(
            f"{', '.join(log.files)}: all {served} served requests took 0 s; log durations with "
            "their milliseconds"
        )
    frontends = _frontends(log, edges, system)
    there = occupied(log.records)
    name = Path(log.files[0]).stem or "log"
    return _Auditor(log, frontends, there, name).audit(policies, draws, seed)


def _frontends(log: Log, edges: Sequence[str], system: str | Path | None) -> LoggedFrontends:
    if edges:
        return frontends_by_edges(log.records, edges)
    if system is None:
        return frontends_of_log(log.records)
    document = read_served(system)
    entries = checked_file(document)
    matches = {entry.name: entry.match.path for entry in entries.frontends}
    return frontends_by_system(log.records, assemble(document, entries), matches)


@final
@dataclass(frozen=True, eq=False)
class _Auditor:
    """What was read of a log, and what is concluded of it."""

    log: Log
    frontends: LoggedFrontends
    occupied: Occupied
    name: str

    def audit(self, policies: Sequence[str], draws: int, seed: int) -> Audit:
        """All findings."""
        records = self.log.records
        means = block_means(records, self.frontends, self.occupied)
        learning = CurveLearning(records, self.occupied)
        rng = np.random.default_rng(seed)
        fleets = learning.drawn(draws, rng)
        systems = [self._system(fleet, means) for fleet in fleets]
        learned = self._system(learning.all, means)
        replay = PolicyReplay(records, self.frontends, self.occupied, policies)
        edges = self.frontends.graph.edges * (2 + len(learned.backends) ** 2 // 100)

        def concluded() -> tuple[list[Parts], list[Saving], list[Saving], str]:
            try:
                parts = [
                    parts_of(system, means, fleet.weights)
                    for system, fleet in zip(systems, fleets, strict=True)
                ]
            except IsoclineError as error:
                return [], [], [], str(error)
            connections = missing_connections(learned, systems)
            return parts, connections, more_machines(systems, learning.fits), ""

        parts, connections, machines, why_not = interpreted_if_small(edges, concluded)
        runs = replay.run(learning.all, list(zip(systems, fleets, strict=True)), seed)
        # Of the window, as its parts are: requests from before or after it are in neither.
        latency = float(means.latency.sum() / max(means.served.sum(), 1e-300))
        chosen = replay.chosen
        backends = self._backends(learning)
        least = np.array([it.least for it in parts]) if parts else np.full(draws, np.nan)
        return Audit(
            log=self._summary(),
            backends=backends,
            frontends=self._frontends(learned.rates),
            edges_from=self.frontends.source,
            latency=latency,
            least=_estimate([it.least for it in parts]) if parts else None,
            above=_estimate([100.0 * (it.latency / it.least - 1.0) for it in parts])
            if parts
            else None,
            parts=_parts(parts),
            why_not=why_not,
            steady=is_steady(self.log, self.occupied.window),
            replayed=chosen.kept.size,
            replayed_latency=chosen.latency,
            replayed_p99=chosen.p99,
            policies=tuple(
                PolicyAudit(
                    run.policy,
                    _estimate(run.means),
                    run.p99,
                    _estimate(1.0 - run.means / chosen.latency),
                )
                for run in runs
            ),
            unknowns=unknowns(learned, learning.fits, fleets),
            advice=_advice(connections, machines, least),
            cautions=cautions_on(self.log, self.occupied.window, backends, learned),
            system=learned,
        )

    def _system(self, fleet: LearnedFleet, means: BlockMeans) -> RoutingSystem:
        seconds = means.length * float(fleet.weights.sum())
        rates = np.maximum(fleet.weights @ means.served / seconds, 1e-9)
        return learned_system(self.log.records, self.frontends, fleet, rates, self.name)

    def _summary(self) -> LogSummary:
        log, records = self.log, self.log.records
        outcomes = np.bincount(records.outcome, minlength=len(Outcome))
        tries = np.bincount(records.attempts.request, minlength=records.start.size)
        return LogSummary(
            log.files,
            log.formats,
            log.lines,
            log.unread.count,
            log.unread.first,
            records.start.size,
            log.without_backend,
            int(outcomes[Outcome.SERVED]),
            int(outcomes[Outcome.FAILED]),
            int(outcomes[Outcome.ABANDONED]),
            int((tries > 1).sum()),
            float(records.end.max() - records.start.min()),
            log.pauses,
            log.coarse,
            records.tokens_of_a_job,
            log.doubled,
        )

    def _backends(self, learning: CurveLearning) -> tuple[AuditedBackend, ...]:
        records, there = self.log.records, self.occupied
        seconds = there.seconds.sum(axis=0)
        length = there.window[1] - there.window[0]
        jobs = seconds @ np.arange(seconds.shape[1]) / length
        done = there.completions.sum(axis=0)
        speeds = learning.speeds()
        tried = records.attempts
        served = tried.outcome == Outcome.SERVED
        stays = np.bincount(
            tried.backend[served], (tried.end - tried.begin)[served], len(records.backends)
        ) / np.bincount(tried.backend[served], minlength=len(records.backends))
        return tuple(
            AuditedBackend(
                name,
                int(done[b]),
                float(done[b]) / length,
                float(jobs[b]),
                float(stays[b]),
                learning.fits[b].capacity,
                (float(speeds[b, 0]), float(speeds[b, 1])),
                learning.fits[b].known,
            )
            for b, name in enumerate(records.backends)
        )

    def _frontends(self, rates: FloatArray) -> tuple[AuditedFrontend, ...]:
        of, names = self.frontends, self.log.records.backends
        return tuple(
            AuditedFrontend(
                name,
                of.origins[f],
                float(rates[f]),
                tuple(names[b] for b in of.graph.neighbours(f).tolist()),
            )
            for f, name in enumerate(of.names)
        )


def _estimate(drawn: Sequence[float] | FloatArray) -> Estimate:
    """Mean over draws, with their spread, which is that of what is not known."""
    found = np.array([value for value in drawn if np.isfinite(value)])
    if found.size < 2:
        return Estimate(float("nan"), float("nan"), float("nan"))
    mean = float(found.mean())
    half = student_t.quantile(0.975, found.size - 1) * float(found.std(ddof=1))
    return Estimate(mean, mean - half, mean + half)


def _parts(found: Sequence[Parts]) -> tuple[Part, ...]:
    if not found:
        return ()
    return tuple(
        Part(
            name,
            _estimate([getattr(it, name) for it in found]),
            _estimate([100.0 * getattr(it, name) / it.least for it in found]),
        )
        for name in Parts._fields[1:]
    )


def _advice(
    connections: Sequence[Saving], machines: Sequence[Saving], least: FloatArray
) -> tuple[Advice, ...]:
    made = [
        Advice(kind, it.names, _estimate(it.drawn), _estimate(100.0 * it.drawn / least))
        for kind, found in (("connection", connections), ("machine", machines))
        for it in found
        if np.isfinite(it.drawn).sum() > 1
    ]
    return tuple(sorted(made, key=lambda it: -it.seconds.value))
