"""Router process: a core and a proxy for each policy, each on a port of its own.

Only one of them has requests at a time; the others cost a look at the clock every 20 ms.
"""

import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import final

from isocline.demo.child import JobCounts, serve
from isocline.gateway.config import BackendAddress, FrontendRule, Listener, ProxySettings
from isocline.gateway.core.build import core_of
from isocline.gateway.core.core import Core
from isocline.gateway.proxy import Proxy
from isocline.gateway.serve.worker_core import rehearse
from isocline.learn import Learner
from isocline.model.fleet import RoutingSystem
from isocline.policies.parse import parse


@final
@dataclass(frozen=True)
class Routing:
    """Settings of one router."""

    system: RoutingSystem  # whose backends have a url
    policy: str  # in words
    learned: bool = False  # curves are learned from nothing; else they are the system's
    seed: int = 0


@asynccontextmanager
async def routers(
    routings: Sequence[Routing],
) -> AsyncIterator[tuple[list[int], Callable[[], JobCounts]]]:
    """Listen on free ports, reported in the order of `routings`."""
    proxies = [_proxy(routing) for routing in routings]
    try:
        for proxy in proxies:
            await proxy.start()
        gc.collect()
        gc.freeze()  # what was imported lives for ever: no collection need look at it again
        yield [proxy.addresses[0][2] for proxy in proxies], JobCounts
    finally:
        for proxy in proxies:
            await proxy.stop(0.0)


def _proxy(routing: Routing) -> Proxy:
    system = routing.system
    settings = ProxySettings(
        tuple(BackendAddress(one.name, one.url or "") for one in system.backends),
        tuple(FrontendRule(one.name) for one in system.frontends),
        (Listener(port=0),),
    )
    rehearse(_core(routing))  # so that no request waits for the compiler
    return Proxy(_core(routing), settings)


def _core(routing: Routing) -> Core:
    system = routing.system
    learner = Learner(len(system.backends)) if routing.learned else None
    return core_of(system, parse(routing.policy), seed=routing.seed, learner=learner)


def main() -> None:
    """The process."""
    serve(routers)
