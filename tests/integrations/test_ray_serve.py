"""The request router in Ray Serve itself, on a local Ray with replicas of unlike speed."""

import asyncio
import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import pytest

# Before Ray is imported: on the loopback only, with a token of this run alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "5")
ray = pytest.importorskip("ray")
serve = pytest.importorskip("ray.serve")

from isocline.errors import PolicyError, UsageError  # noqa: E402
from isocline.gateway.core.actions import Send  # noqa: E402
from isocline.gateway.core.build import core_of  # noqa: E402
from isocline.integrations import ray_serve  # noqa: E402
from isocline.integrations.ray_serve import router_config  # noqa: E402
from isocline.integrations.replica_router import GRACE, ReplicaRouter  # noqa: E402
from isocline.integrations.router_settings import RouterSettings  # noqa: E402
from isocline.model.curves import ServersCurve  # noqa: E402
from isocline.model.serving_settings import Rules  # noqa: E402
from isocline.policies.parse import parse  # noqa: E402
from isocline.randomness.draws import stream  # noqa: E402
from tests.builders import fleet  # noqa: E402
from tests.docs.blocks import PAGES, blocks  # noqa: E402
from tests.live.processes import until  # noqa: E402

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SEED = 7
FAST, SLOW = (50.0, 8), (10.0, 2)  # calls/s one by one, and calls at a time


class Event(NamedTuple):
    """A call of the router, and what it returned."""

    what: str
    arguments: tuple[Any, ...]
    chosen: str | None = None


class Seen(NamedTuple):
    """Routers of handles of this process, in the order of their making, and calls of theirs."""

    routers: list[ReplicaRouter]
    events: list[Event]  # of the last one, since its replicas were others
    start: list[Any]  # the stream of its draws then, and the calls at each replica


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What the routers of this process are asked and told.

    Their class is watched, and not replaced: Ray pickles the module that uses it by value.
    """
    found = Seen([], [], [])
    begin, update = ReplicaRouter.__init__, ReplicaRouter.update
    rng = stream(SEED)

    def begun(self: ReplicaRouter, settings: RouterSettings, _rng: Any) -> None:
        begin(self, settings, rng)
        found.routers.append(self)

    def updated(self: ReplicaRouter, replicas: Any, now: float) -> None:
        before = self.curves()
        update(self, replicas, now)
        if self.curves() != before and self is found.routers[-1]:
            found.events.clear()
            found.start[:] = rng.copy(), now, {name: self.in_flight(name) for name in self.curves()}

    def watched(what: str) -> Callable[..., Any]:
        method = getattr(ReplicaRouter, what)

        def call(self: ReplicaRouter, *arguments: Any, **more: Any) -> Any:
            returned = method(self, *arguments, **more)
            if self is found.routers[-1]:
                found.events.append(Event(what, arguments, returned))
            return returned

        return call

    monkeypatch.setattr(ReplicaRouter, "__init__", begun)
    monkeypatch.setattr(ReplicaRouter, "update", updated)
    for what in ("choose", "accepted", "completed", "cancelled", "reported"):
        monkeypatch.setattr(ReplicaRouter, what, watched(what))
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(
        "local",  # and none that others have started on this machine
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=80 << 20,
    )
    try:
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
        yield
    finally:
        serve.shutdown()
        ray.shutdown()


class Station:
    """Replica that serves some calls at a time; the first of a deployment is fast."""

    def __init__(self, folder: Path) -> None:
        try:
            (folder / "fast").mkdir()
            self._rate, self._count = FAST
        except FileExistsError:
            self._rate, self._count = SLOW
        self._slots = asyncio.Semaphore(self._count)

    def record_routing_stats(self) -> dict[str, Any]:
        return {"curve": {"type": "servers", "rate": self._rate, "count": self._count}}

    async def __call__(self, _call: int) -> tuple[str, int]:
        async with self._slots:
            await asyncio.sleep(1.0 / self._rate)
        return serve.get_replica_context().replica_id.unique_id, os.getpid()


class Models:
    """Replica with room for one model at a time."""

    @serve.multiplexed(max_num_models_per_replica=1)
    async def get_model(self, name: str) -> str:
        return name

    async def __call__(self) -> str:
        await self.get_model(serve.get_multiplexed_model_id())
        await asyncio.sleep(0.01)
        return str(serve.get_replica_context().replica_id.unique_id)


def run(target: Any, *arguments: Any, replicas: int, most: int, **settings: Any) -> Any:
    """Handle to a new deployment of a class."""
    made = serve.deployment(
        target,
        num_replicas=replicas,
        max_ongoing_requests=most,
        ray_actor_options={"num_cpus": 0.1},
        request_router_config=router_config(request_routing_stats_period_s=0.2, **settings),
        graceful_shutdown_timeout_s=0.1,
    )
    # A name of its own: the router of a handle outlasts a deployment of the same name.
    return serve.run(made.bind(*arguments), name=f"{target.__name__}-{replicas}", route_prefix=None)


async def closed_loop(handle: Any, clients: int, calls: int) -> list[Any]:
    """Answers to so many calls of each client, or errors."""

    async def client(number: int) -> list[Any]:
        found: list[Any] = []
        for call in range(calls):
            try:
                found.append(await handle.remote(number * calls + call))
            except Exception as error:
                found.append(error)
        return found

    return list(chain(*await asyncio.gather(*map(client, range(clients)))))


def test_unlike_replicas_one_core_and_a_death(cluster: None, seen: Seen, tmp_path: Path) -> None:
    """One deployment, as it takes seconds to make."""
    handle = run(Station, tmp_path, replicas=3, most=100)
    handle.remote(-1).result()
    (router,) = seen.routers[-1:]
    reported = [ServersCurve(*FAST), ServersCurve(*SLOW), ServersCurve(*SLOW)]
    until(
        lambda: sorted(map(str, router.curves().values())) == sorted(map(str, reported)),
        lambda: f"curves of {list(router.curves())} are not those reported",
    )
    curves = dict(router.curves())
    (fast,) = [name for name, curve in curves.items() if curve == reported[0]]

    answers = asyncio.run(closed_loop(handle, 16, 10))
    assert not [it for it in answers if isinstance(it, Exception)]
    assert len(answers) == 160
    served = Counter(name for name, _ in answers)
    assert set(served) <= set(curves)
    # By marginal rates 8 of 16 calls are at the fast one, all served at once, and 2 of 4 at each of
    # the others: 400 of 440 calls/s. Were all alike, it would have a third.
    assert served[fast] > 80
    until(lambda: not any(map(router.in_flight, curves)), lambda: "a call goes on")
    assert assert_one_core(seen, curves) >= 160

    pid = next(pid for name, pid in answers if name == fast)
    answers = asyncio.run(until_it_dies(handle, pid))
    lost = [it for it in answers if isinstance(it, Exception)]
    assert len(lost) <= 16  # those that it was at work at
    assert len(lost) < len(answers)
    answers = asyncio.run(closed_loop(handle, 8, 5))
    assert not [it for it in answers if isinstance(it, Exception)]
    assert fast not in {name for name, _ in answers}


async def until_it_dies(handle: Any, pid: int) -> list[Any]:
    """Answers to calls during which a replica's process is ended."""
    load = asyncio.create_task(closed_loop(handle, 16, 10))
    await asyncio.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return await load


def assert_one_core(seen: Seen, curves: dict[str, Any]) -> int:
    """A bare core decides alike, told the same; returns the number of decisions."""
    names = list(curves)
    rng, began, carried = seen.start
    core = core_of(
        fleet(list(curves.values()), [1.0]),
        parse(RouterSettings().policy),
        rules=Rules(stop_at_peak=False),
        unplanned="a rate",
        rng=rng,
    )
    for name, jobs in carried.items():
        core.carried_over(names.index(name), began, jobs)
    numbers: dict[Any, int] = {}  # of the core, by call
    calls: dict[tuple[str, str], Any] = {}
    accepted: set[Any] = set()
    ended: dict[Any, float] = {}
    decisions = 0
    for event in seen.events:
        request, name, now = event.arguments
        if event.what == "choose":
            if core.next_deadline() <= now:
                core.tick(now)
            for call in [it for it, at in ended.items() if at + GRACE <= now]:
                core.cancelled(numbers.pop(call), now)
                del ended[call]
            action = core.arrived(now, 0)
            assert isinstance(action, Send)
            assert names[action.backend] == event.chosen
            numbers[request] = action.request
            calls[event.chosen, name] = request
            decisions += 1
        elif event.what == "accepted":
            accepted.add(request)
            if ended.pop(request, None) is not None:
                core.finished(numbers.pop(request), now)
        elif event.what == "completed":
            call = calls.get((request, name))
            if call is None:  # from before
                core.carried_over(names.index(request), now, -1)
            elif call in accepted:
                core.finished(numbers.pop(call), now)
            else:
                ended[call] = now
        elif event.what == "reported":
            core.reported(names.index(request), now, name)
    return decisions


def test_full_replicas_get_all_calls_in_time(cluster: None, seen: Seen, tmp_path: Path) -> None:
    handle = run(Station, tmp_path, replicas=2, most=2, learn=True)
    answers = asyncio.run(closed_loop(handle, 20, 3))
    assert not [it for it in answers if isinstance(it, Exception)]
    (router,) = seen.routers[-1:]
    assert len({name for name, _ in answers}) == 2
    assert {name for name, _ in answers} == set(router.curves())

    def settled() -> bool:
        """What a replica refused at the last moment is forgotten with a later call."""
        asyncio.run(closed_loop(handle, 1, 1))
        return not any(map(router.in_flight, router.curves()))

    until(settled, lambda: "a call goes on")


def test_a_model_is_called_where_it_is(cluster: None, seen: Seen) -> None:
    handle = run(Models, replicas=2, most=100, curve={"type": "servers", "rate": 1, "count": 9})
    one, other = (handle.options(multiplexed_model_id=name) for name in ("one", "other"))

    def settled() -> bool:
        """Replicas have said which models they have."""
        homes = [{h.remote().result() for _ in range(5)} for h in (one, other)]
        return all(len(home) == 1 for home in homes) and homes[0] != homes[1]

    until(settled, lambda: "models change places")
    assert len({one.remote().result() for _ in range(10)}) == 1
    assert len(seen.routers[-1].curves()) == 2


def test_the_example_of_the_page(cluster: None, capsys: pytest.CaptureFixture[str]) -> None:
    (page,) = [page for page in PAGES if page.name == "ray-serve.md"]
    example = next(block.text for block in blocks(page) if block.language == "python")
    exec(example, {"__name__": "__main__"})
    assert "100 answers" in capsys.readouterr().out
    serve.delete("default")


def test_a_deployment_is_refused_before_it_is_made() -> None:
    with pytest.raises(UsageError, match="request_router_kwargs: polici: is an unknown key"):
        router_config(polici="jsq")
    with pytest.raises(PolicyError, match="there is no plan to follow"):
        router_config(policy="static_optimal")
    made = router_config(policy="gmsr", request_routing_stats_period_s=3.0)
    assert made.get_request_router_class() is ray_serve.IsoclineRequestRouter
    assert made.request_routing_stats_period_s == 3.0
