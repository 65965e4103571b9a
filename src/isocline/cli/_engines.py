"""Options of verbs whose simulations can run on many machines."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar, final

import click

from isocline.cli._options import group

if TYPE_CHECKING:
    from isocline.dispatch.engines.base import Engine
    from isocline.dispatch.executor import Executor as SchedulerExecutor
    from isocline.dispatch.scheduler import Scheduler

F = TypeVar("F", bound=Callable[..., Any])


def engine_options(
    heading: str, *, excludes: tuple[str, ...] = (), needs: str | None = None
) -> Callable[[F], F]:
    """Add `--engine` and `--address`, in force while the verb runs; no arguments."""
    option = group(heading)
    of_address = option(
        "--address",
        metavar="HOST:PORT",
        help="Address of the Ray or Dask cluster.  [default: what Ray or Dask finds or starts]",
        needs="--engine",
    )
    of_engine = option(
        "--engine",
        type=click.Choice(["ray", "dask"]),
        help="Run replications on the machines of a cluster; results do not depend on it.  "
        "[default: threads here]",
        excludes=excludes,
        needs=needs,
    )

    def with_options(function: F) -> F:
        @wraps(function)
        def verb(*arguments: Any, engine: str | None, address: str | None, **given: Any) -> Any:
            with _replications_at(engine, address):
                return function(*arguments, **given)

        return of_engine(of_address(verb))  # type: ignore[no-any-return]

    return with_options


@contextmanager
def _replications_at(engine: str | None, address: str | None) -> Iterator[None]:
    """Run the replications of all simulations within the block on a cluster, if one is given.

    Raises:
        UsageError: Nothing answers at the address.
        MissingExtraError: The engine's library is not installed.
    """
    if engine is None:
        yield
        return
    from isocline.dispatch.batch.engine import cluster_engine
    from isocline.simulate.common.executor import replications_on

    with _Cluster(cluster_engine(engine, address)) as cluster, replications_on(cluster):
        yield


@final
class _Cluster(Executor):
    """Executor on a cluster that is not used, or started, before there is a replication to run."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    @cached_property
    def _scheduler(self) -> "Scheduler":
        from isocline.dispatch.scheduler import Scheduler

        return Scheduler(self._engine)

    @cached_property
    def _executor(self) -> "SchedulerExecutor":
        return self._scheduler.executor()

    @property
    def window(self) -> int:
        return self._executor.window

    def share(self, value: Any) -> Any:
        return self._executor.share(value)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Close the scheduler; what still runs was cancelled."""
        if "_scheduler" in self.__dict__:
            self._scheduler.close(0.0)
