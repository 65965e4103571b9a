"""The replications of several routing policies on one system."""

from collections.abc import Callable, Sequence
from threading import Event
from typing import final

from isocline.model.traffic import Trace
from isocline.policies.routing.contract import RoutingPolicy
from isocline.simulate.common.executor import OrderedExecutor, Progress, any_number, silent
from isocline.simulate.routing.prepare import Prepared
from isocline.simulate.routing.replicate import Replication, rehearse, replicate
from isocline.simulate.routing.run_settings import Run


@final
class Replications(OrderedExecutor[Replication]):
    """Runs and keeps the replications of several policies: `kept[p][r]`."""

    def __init__(
        self,
        prepared: Prepared,
        policies: Sequence[RoutingPolicy],
        run: Run,
        trace: Trace | None = None,
        threads: int | None = None,
        progress: Progress = silent,
        allow: Callable[[int], None] = any_number,
    ):
        for policy in policies:
            rehearse(prepared, policy, run, trace)

        def one(policy: int, replication: int, stop: Event) -> Replication | None:
            return replicate(prepared, policies[policy], run, replication, trace, stop)

        super().__init__(len(policies), one, threads, progress, allow)
        self.prepared, self.run = prepared, run
