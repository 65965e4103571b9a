"""Request routers of Ray Serve on a local Ray, and the same arrivals.

`python -m benchmarks.ray_serve`. Four replicas of unlike speed, each a processor-sharing server of
a hyperbolic curve, get Poisson arrivals from one handle: first calls of random work, then prompts
of a few groups, each with a beginning in common, of which a replica keeps those that it read last.
Contestants are Ray's power of two choices, its prefix-aware router (as shipped, and with a
threshold), and ours: with curves that replicas report, and learned from nothing during a run that
does not count. Latencies are from when a call was due, of the runs of all SEEDS, which are the
same for all. Each run is bounded: SECONDS, and as long again for what is late; all of it took 20
minutes on two cores with a load average of 20 to 40, much of that for starts of replicas.
"""

import argparse
import asyncio
import logging
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "5")

import numpy as np
import ray
from ray import serve
from ray.serve.config import RequestRouterConfig

import isocline
from isocline.emulator.sharing import Job, ProcessorSharing
from isocline.integrations.ray_serve import router_config
from isocline.model.fleet import Backend, Frontend, RoutingSystem
from isocline.model.graph import CompatibilityGraph
from isocline.model.traffic import PoissonArrivals

# Peak, jobs/s, and half of each replica.
FLEET = ((24.0, 6.0), (12.0, 4.0), (6.0, 3.0), (3.0, 1.0))
LOAD = 0.6  # of all peaks
SECONDS, SEEDS, WARM_UP = 15.0, (2, 3), 4.0
GROUPS, KEPT = 12, 4  # of prompts, and of those that a replica keeps
BEGINNING, END = 8192, 512  # characters of a prompt
PREFILL, OUTPUT = (
    0.1,
    100.0,
)  # work of a prompt token and of an answer: 218 + 100 in all if not cached
TOKENS = BEGINNING * KEPT // 4
PREFIX_AWARE = (
    "ray.llm._internal.serve.routing_policies.prefix_aware.prefix_aware_router:"
    "PrefixCacheAffinityRouter"
)


@dataclass
class Call:
    """Call of a replica: its work in mean calls if nothing is cached, its group and prompt."""

    work: float
    group: int
    prompt: str


class _Waiting(Job):
    def __init__(self, work: float) -> None:
        super().__init__(work)
        self.done = asyncio.Event()


class Replica:
    """Server of one of the curves, by the order in which replicas begin."""

    def __init__(self, places: Any, reports: bool, unit: float) -> None:
        self._peak, self._half = FLEET[ray.get(places.next.remote())]
        self._reports, self._unit = reports, unit
        self._sharing = ProcessorSharing(
            lambda n: self._peak * n / (n + self._half), now=time.monotonic()
        )
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def record_routing_stats(self) -> dict[str, Any]:
        curve = {"type": "hyperbolic", "peak": self._peak * self._unit, "half": self._half}
        return {"curve": curve} if self._reports else {}

    async def __call__(self, call: Call) -> bool:
        hit = call.group in self._kept
        if call.group >= 0:
            self._kept[call.group] = None
            self._kept.move_to_end(call.group)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        saved = PREFILL * BEGINNING / 4 / self._unit if hit else 0.0
        job = _Waiting(call.work - saved)
        self._serve()
        self._sharing.admit(job)
        self._serve()
        await job.done.wait()
        return hit

    def _serve(self) -> None:
        now = time.monotonic()
        for job in self._sharing.advance(now):
            assert isinstance(job, _Waiting)
            job.done.set()
        if self._timer is not None:
            self._timer.cancel()
        end = self._sharing.next_end()
        if end < float("inf"):
            delay = max(end - now, 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._serve)


class Places:
    """Numbers of replicas."""

    def __init__(self) -> None:
        self._next = -1

    def next(self) -> int:
        self._next += 1
        return self._next % len(FLEET)


class Contestant(NamedTuple):
    """Router, and whether replicas report their curves to it."""

    name: str
    config: RequestRouterConfig
    reports: bool = False
    learns: bool = False


def contestants(cached: bool) -> list[Contestant]:
    cache = {"tokens": TOKENS, "prefill": PREFILL, "output": OUTPUT}
    ours: dict[str, Any] = {"request_routing_stats_period_s": 0.5}
    ours |= {"prefix_cache": cache} if cached else {}
    rivals = [Contestant("Ray, power of two choices", RequestRouterConfig())]
    for name, given in (("as shipped", {}), ("threshold 4", {"imbalanced_threshold": 4})):
        config = RequestRouterConfig(request_router_class=PREFIX_AWARE, request_router_kwargs=given)
        rivals += [Contestant(f"Ray, prefix-aware, {name}", config)] if cached else []
    return [
        *rivals,
        Contestant("isocline, curves reported", router_config(**ours), reports=True),
        Contestant("isocline, curves learned", router_config(learn=True, **ours), learns=True),
    ]


class Arrivals(NamedTuple):
    """Times of calls, s, and the calls."""

    times: list[float]
    calls: list[Call]


def arrivals(cached: bool, seed: int, seconds: float) -> Arrivals:
    rng = np.random.default_rng(seed)
    rate = LOAD * sum(peak for peak, _ in FLEET)
    times = np.cumsum(rng.exponential(1.0 / rate, int(rate * seconds))).tolist()
    if not cached:
        works = rng.exponential(1.0, len(times)).tolist()
        return Arrivals(times, [Call(work, -1, str(i)) for i, work in enumerate(works)])
    groups = rng.integers(0, GROUPS, len(times)).tolist()
    outputs = rng.exponential(OUTPUT, len(times)).tolist()
    read = PREFILL * (BEGINNING + END) / 4
    calls = [
        Call(
            (read + output) / unit_of(cached),
            group,
            f"{group:02d}" * (BEGINNING // 2) + f"{i:08d}" * (END // 8),
        )
        for i, (group, output) in enumerate(zip(groups, outputs, strict=True))
    ]
    return Arrivals(times, calls)


def unit_of(cached: bool) -> float:
    """Work of a call of which nothing is cached, in the unit of curves that are reported."""
    return PREFILL * (BEGINNING + END) / 4 + OUTPUT if cached else 1.0


async def sent(handle: Any, given: Arrivals) -> tuple[list[float], list[bool]]:
    """Latency of each call from when it was due, s, and whether its beginning was cached."""
    start = time.monotonic() + 0.5

    async def call(due: float, one: Call) -> tuple[float, bool]:
        await asyncio.sleep(start + due - time.monotonic())
        hit = await handle.remote(one)
        return time.monotonic() - start - due, hit

    calls = [asyncio.create_task(call(*it)) for it in zip(*given, strict=True)]
    done, late = await asyncio.wait(calls, timeout=given.times[-1] + SECONDS + 0.5)
    for task in late:
        task.cancel()
    answers = [task.result() for task in done]
    answers += [(SECONDS, False)] * len(late)  # at least
    return [it for it, _ in answers], [hit for _, hit in answers]


def measured(contestant: Contestant, cached: bool) -> str:
    places = ray.remote(Places).options(num_cpus=0).remote()
    deployment = serve.deployment(
        Replica,
        num_replicas=len(FLEET),
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0.1},
        request_router_config=contestant.config,
        graceful_shutdown_timeout_s=0.1,
    ).bind(places, contestant.reports, unit_of(cached))
    # A name of its own: the router of a handle outlasts a deployment of the same name.
    app = contestant.name.translate({ord(" "): "-", ord(","): None}) + f"-{int(cached)}"
    handle = serve.run(deployment, name=app, route_prefix=None)
    warm_up = 2 * SECONDS if contestant.learns else WARM_UP
    asyncio.run(sent(handle, arrivals(cached, 1, warm_up)))
    runs = []
    for seed in SEEDS:
        asyncio.run(asyncio.sleep(1.0))
        runs.append(asyncio.run(sent(handle, arrivals(cached, seed, SECONDS))))
    serve.delete(app)
    latencies = np.concatenate([it for it, _ in runs])
    means = ", ".join(f"{np.mean(it):.3f}" for it, _ in runs)
    share = f"  cached {np.mean(np.concatenate([hits for _, hits in runs])):4.0%}" if cached else ""
    mean, p99 = latencies.mean(), np.quantile(latencies, 0.99)
    return f"{contestant.name:34}  mean {mean:6.3f} s ({means})  p99 {p99:6.3f} s{share}"


def optimum() -> float:
    """Mean latency of the fluid optimum for calls without prompts, s."""
    system = RoutingSystem(
        (Frontend("handle", PoissonArrivals(LOAD * sum(peak for peak, _ in FLEET))),),
        tuple(Backend(f"r{i}", isocline.HyperbolicCurve(*it)) for i, it in enumerate(FLEET)),
        CompatibilityGraph.from_neighbours(len(FLEET), [range(len(FLEET))]),
    )
    return isocline.plan(system).mean_latency or float("nan")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="a running Ray; by default one is started")
    parser.add_argument("--only", choices=["plain", "prompts"])
    parser.add_argument(
        "--router", action="append", metavar="PART", help="routers of these names; by default all"
    )
    options = parser.parse_args(arguments)
    local: dict[str, Any] = {"address": "local", "num_cpus": 4, "include_dashboard": False}
    given = {"address": options.address} if options.address else local
    ray.init(log_to_driver=False, logging_level="error", **given)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
        for cached in (False, True):
            if options.only == ("plain" if cached else "prompts"):
                continue
            what = "Prompts that share beginnings" if cached else "Calls without prompts"
            least = "" if cached else f", fluid optimum {optimum():.3f} s"
            print(f"{what}, load {LOAD}{least}:", flush=True)
            for contestant in contestants(cached):
                if options.router and not any(it in contestant.name for it in options.router):
                    continue
                one = measured(contestant, cached)
                print(f"  {one}  load average {os.getloadavg()[0]:.0f}", flush=True)
    finally:
        if not options.address:
            serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
