"""What a decision of the live core costs: `python -m benchmarks.gateway_core`.

Microseconds of CPU for one request, `arrived` and `finished` together, with 32 others in flight:
on four unlike backends and on 64, with a report on each response, with curves learned; and what it
costs to read a report. The goal is 10 us.
"""

import time
from collections import deque
from collections.abc import Callable

from isocline.gateway.core.actions import Send
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.load_reports import jobs_in_header, jobs_in_metrics
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.serving_settings import Rules
from isocline.model.traffic import PoissonArrivals
from isocline.policies.parse import parse

REQUESTS, IN_FLIGHT = 50_000, 32
# Fleet A of the design: jobs/s, and jobs at half of it.
CURVES = [HyperbolicCurve(*c) for c in ((400.0, 16.0), (200.0, 8.0), (60.0, 9.0), (20.0, 2.0))]


def system(backends: int) -> RoutingSystem:
    """One frontend before so many backends of four kinds."""
    return RoutingSystem(
        (Frontend("all", PoissonArrivals(340.0)),),
        tuple(Backend(f"b{i}", CURVES[i % 4]) for i in range(backends)),
        CompatibilityGraph.from_neighbours(backends, [range(backends)]),
    )


def microseconds(core: Core, reporting: bool = False) -> float:
    """CPU for one request."""
    waiting: deque[Send] = deque()
    now, start = 0.0, 0.0
    for i in range(REQUESTS + IN_FLIGHT):
        if i == IN_FLIGHT:
            start = time.process_time()
        now += 3e-3
        action = core.arrived(now, 0)
        assert isinstance(action, Send)
        waiting.append(action)
        if len(waiting) > IN_FLIGHT:
            done = waiting.popleft()
            if reporting:
                core.reported(done.backend, now, core.workloads[done.backend])
            core.finished(done.request, now)
        if i % 512 == 0:
            core.tick(now)
    return 1e6 * (time.process_time() - start) / REQUESTS


def each(call: Callable[[], object], count: int = 5_000) -> float:
    """CPU of one call, us."""
    start = time.process_time()
    for _ in range(count):
        call()
    return 1e6 * (time.process_time() - start) / count


def main() -> None:
    rules = Rules()
    print(f"{'us of CPU for a request':44}{'4 backends':>12}{'64 backends':>12}")
    for name in ("gmsr", "least_expected_latency", "power_of_d", "peak_ewma"):
        costs = [microseconds(core_of(system(n), parse(name), rules=rules)) for n in (4, 64)]
        print(f"{name:44}{costs[0]:>12.2f}{costs[1]:>12.2f}", flush=True)
    reports = [microseconds(core_of(system(n), parse("gmsr")), reporting=True) for n in (4, 64)]
    print(f"{'gmsr, a report on each response':44}{reports[0]:>12.2f}{reports[1]:>12.2f}")
    learned = [microseconds(core_of(system(n), parse("gmsr"), learner=Learner(n))) for n in (4, 64)]
    print(f"{'gmsr, curves learned (fits included)':44}{learned[0]:>12.2f}{learned[1]:>12.2f}")
    named = ", ".join(f"named_metrics.num_requests_{k}=3" for k in ("running", "waiting"))
    header = f"TEXT cpu_utilization=0.4, {named}"
    page = "".join(f'vllm:other_{i}{{engine="0"}} {i}.5\n' for i in range(2_000))
    page += "vllm:num_requests_running 3\nvllm:num_requests_waiting 1\n"
    print(f"{'an ORCA header':44}{each(lambda: jobs_in_header(header)):>12.2f}")
    poll = each(lambda: jobs_in_metrics(page, "vllm"), 200)
    print(f"{'a page of vLLM metrics, 2000 lines':44}{poll:>12.2f}")


if __name__ == "__main__":
    main()
