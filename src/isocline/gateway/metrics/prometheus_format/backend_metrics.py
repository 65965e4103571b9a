"""Metrics of backends, their curves and the optimum; docs/metrics.md has their meaning."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from isocline.gateway.metrics.curve_intervals import ends_of
from isocline.gateway.metrics.optimality import PARTS, Optimality, relative_error
from isocline.gateway.metrics.prometheus_format.families import PAIR, counter, gauge, of_live
from isocline.gateway.metrics.snapshot import STATES, Snapshot


def of_backends(seen: Snapshot) -> Iterator[Metric]:
    """Families of the backends' counts and states."""
    yield counter(
        "isocline_backend_failures",
        "Attempts that failed, whatever became of their requests.",
        ("backend", "cause"),
        (((b, cause), n) for b, it in seen.backends.items() for cause, n in it.failures.items()),
    )
    yield counter(
        "isocline_backend_refusals",
        "Responses of 4xx, 500 and the like, 503 with Retry-After; those sent elsewhere, too.",
        ("backend", "code"),
        (((b, str(code)), n) for b, it in seen.backends.items() for code, n in it.refusals.items()),
    )
    for name, text, what in (
        ("ejections", "Times that it was ejected.", "ejections"),
        ("job_seconds", "Integral over time of the requests in flight there.", "job_seconds"),
        ("reports", "Reports of its load, after the first.", "reports"),
        ("report_surprise_jobs", "Sum over them of |as reported - as known|.", "surprises"),
        ("prompt_tokens", "Of prompts of which it said how much was cached.", "prompt_tokens"),
        ("cached_tokens", "Of these, that it had cached.", "cached_tokens"),
        ("model_loads", "Loads of models, begun.", "loads"),
        ("model_calls_failed", "Calls to load or unload one that failed.", "failed_loads"),
        ("model_evictions", "Models dropped for others.", "evictions"),
        ("models_missing", "Requests whose model was gone, unexpectedly.", "missing"),
        ("curve_changes", "Times that its speed was found to have changed.", "curve_changes"),
        ("connections_opened", "Connections opened to it.", "opened"),
    ):
        rows = (((b,), getattr(it, what)) for b, it in seen.backends.items())
        yield counter(f"isocline_backend_{name}", text, ("backend",), rows)
    for name, text, what in (
        ("resident", "Managed models that are loaded.", "resident"),
        ("loading", "Managed models on their way.", "loading"),
    ):
        rows = (((b,), getattr(it, what)) for b, it in seen.backends.items() if it.live)
        yield gauge(f"isocline_backend_models_{name}", text, ("backend",), rows)
    yield gauge(
        "isocline_backend_state",
        "1 where it is in that state, 0 where not; between them, workers differ.",
        ("backend", "state"),
        (
            ((b, state), getattr(it.live, state) / it.live.workers)
            for b, it in seen.backends.items()
            for state in STATES
            if it.live
        ),
    )
    for name, text, value in (
        ("requests_in_flight", "Requests of this router there.", lambda it: it.in_flight),
        ("connections_idle", "Open connections that wait.", lambda it: it.idle_connections),
        ("workload_jobs", "All jobs there, as estimated.", lambda it: it.workload / it.workers),
        (
            "workload_age_seconds",
            "Age of the report that the estimate rests on.",
            lambda it: it.age,
        ),
        ("limit_jobs", "Jobs that it may hold.", lambda it: it.limit),
        (
            "closed_seconds",
            "Time for which the backend is still full, by its own word.",
            lambda it: it.closed,
        ),
        ("weight", "It counts as so many machines of its kind.", lambda it: it.weight),
        ("max_share", "Greatest share of each frontend's requests.", lambda it: it.max_share),
        ("frozen", "1 where its learned curve stands still.", lambda it: it.frozen / it.workers),
        ("round_trip_seconds", "Least of late, by health checks.", lambda it: it.round_trip),
        (
            "distance_seconds",
            "By how much round trips of its level are longer, as measured.",
            lambda it: None if it.distance is None else it.distance / it.workers,
        ),
    ):
        yield of_live(f"isocline_backend_{name}", text, seen, value)


def of_curves(seen: Snapshot) -> Iterator[Metric]:
    """Families of the curves at the present workloads, with their errors."""
    for name, text, value in (
        ("service_rate", "Requests/s.", lambda it: it.service_rate / it.workers),
        ("marginal_rate", "Requests/s for one job more.", lambda it: it.marginal_rate / it.workers),
        (
            "completions",
            "What a learned curve rests on.",
            lambda it: it.learned and it.learned.completions,
        ),
        ("error_ratio", "One standard error of a learned curve, over it.", relative_error),
        ("peak_jobs", "Where a learned curve is cut.", lambda it: it.learned and it.learned.cut),
    ):
        yield of_live(f"isocline_curve_{name}", text, seen, value)
    ends = {
        name: found for name, it in seen.backends.items() if it.live and (found := ends_of(it.live))
    }
    for name, text, end in (
        ("seen_jobs", "The highest workload seen; a learned curve is extrapolated beyond.", "seen"),
        ("capacity", "Requests/s at the peak of a learned curve.", "capacity"),
        ("capacity_low", "Lower end of a 95 % interval of the capacity.", "capacity_low"),
        ("capacity_high", "Its upper end; absent where none is known.", "capacity_high"),
        ("service_rate_low", "Lower end of a 95 % interval of the service rate.", "rate_low"),
        ("service_rate_high", "Its upper end; absent where none is known.", "rate_high"),
    ):
        rows = (((backend,), getattr(it, end)) for backend, it in ends.items())
        yield gauge(f"isocline_curve_{name}", text, ("backend",), rows)


def of_optimality(optimality: Optimality) -> Iterator[Metric]:
    """Families of the optimality gap, if there are enough requests for it."""
    gap, interval = optimality.gap, optimality.capacity_interval
    for name, text, value in (
        ("optimality_gap", "Mean latency over the least possible.", gap and gap.ratio),
        (
            "gap_optimum_error_seconds",
            "One standard error of the optimum, from that of learned curves.",
            gap and gap.optimum_error,
        ),
        (
            "gap_stale_counts_seconds",
            "At most so much is lost to stale counts.",
            gap and gap.stale_counts,
        ),
        ("gap_window_seconds", "Length of the window that the gap is of.", optimality.window),
        ("gap_window_requests", "Requests served in the window.", optimality.served),
        ("capacity_scale", "By how much all rates could grow.", optimality.capacity_scale),
        (
            "capacity_scale_low",
            "Lower end of its 95 % interval, by what was seen of learned curves.",
            interval and interval.low,
        ),
        (
            "capacity_scale_high",
            "Its upper end; absent where none is known.",
            interval and interval.high,
        ),
    ):
        yield gauge(f"isocline_{name}", text, (), [((), value)])
    yield gauge(
        "isocline_gap_part_seconds",
        "Parts of the mean latency, which add up to it.",
        ("part",),
        (((part,), getattr(gap, part)) for part in PARTS if gap),
    )
    yield gauge(
        "isocline_gap_missing_edge_seconds",
        "Mean latency that a connection which is not there would save.",
        PAIR,
        (((it.frontend, it.backend), it.saves) for it in optimality.missing_edges),
    )
