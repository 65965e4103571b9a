"""Stochastic simulation: engines over compiled kernels, replications, statistics.

Read `routing/` or `scheduling/`, which are laid out alike: `compare` (what a user calls),
`experiment` (several policies), `replicate` (one run), `kernels/` (its events), `estimates` and
`results`. `common/` has what both use.

The package can be called: `isocline.simulate(system, policies=[...])` is
`isocline.simulate.routing.compare.simulate`, although this folder has the name of that
function; for a cluster it is `isocline.simulate.scheduling.compare.simulate_cluster`.
"""

import sys
from typing import TYPE_CHECKING, Any, final

from isocline.arguments import in_one_line
from isocline.errors import UsageError
from isocline.help_page import HelpPage
from isocline.model.fleet import RoutingSystem
from isocline.simulate.common.estimate import Estimate as Estimate
from isocline.simulate.routing.results import Comparison as Comparison
from isocline.simulate.routing.results import PolicyResult as PolicyResult
from isocline.simulate.routing.results import Sweep as Sweep

if TYPE_CHECKING:
    from inspect import Signature

    from isocline.model.cluster import Cluster


@final
class _Callable(HelpPage):
    @property
    def __doc__(self) -> str:  # type: ignore[override]
        from isocline.simulate.either_kind import text  # noqa: PLC0415 - numba waits until now

        return text()

    @property
    def __signature__(self) -> "Signature":
        from isocline.simulate.either_kind import signature  # noqa: PLC0415

        return signature()

    def __call__(self, system: "RoutingSystem | Cluster", *args: Any, **options: Any) -> Any:
        if not isinstance(system, RoutingSystem):
            from isocline.model.cluster import Cluster  # noqa: PLC0415

            if not isinstance(system, Cluster):
                raise UsageError(
                    f"system {in_one_line(system)}: give a system, as isocline.load(path) does"
                )
            from isocline.simulate.scheduling.compare import simulate_cluster  # noqa: PLC0415

            return simulate_cluster(system, *args, **options)
        # numba waits until now
        from isocline.simulate.routing.compare import simulate  # noqa: PLC0415

        return simulate(system, *args, **options)


sys.modules[__name__].__class__ = _Callable
