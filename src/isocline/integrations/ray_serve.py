"""Request router of Ray Serve that decides by this project's policies.

    @serve.deployment(num_replicas=4, request_router_config=router_config())
    class Model: ...

It runs in each process that has a handle to the deployment, proxies included; each is a frontend of
its own. Of Ray only the public alpha API of request routers is used (`ray.serve.request_router`):
`choose_replicas`, and the hooks by which Ray tells what became of a request.
"""

import logging
import secrets
from time import monotonic
from typing import Any, final

from isocline.errors import CurveError, MissingExtraError
from isocline.integrations.call_prompts import prompt_of
from isocline.integrations.replica_router import Replica, ReplicaRouter, warm
from isocline.integrations.router_settings import (
    read_cache_tokens,
    read_curve_of,
    read_settings,
)
from isocline.randomness.draws import stream

try:
    from ray.serve.config import RequestRouterConfig
    from ray.serve.request_router import (
        PendingRequest,
        ReplicaID,
        ReplicaResult,
        RequestRouter,
        RunningReplica,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"isocline.integrations.ray_serve needs {error.name}: pip install 'isocline[ray-serve]'"
    ) from error

__all__ = ["IsoclineRequestRouter", "router_config"]

_LOG = logging.getLogger("isocline.ray_serve")


def router_config(
    *, request_routing_stats_period_s: float | None = None, **settings: Any
) -> RequestRouterConfig:
    """Configuration of a deployment's router.

    Args:
        request_routing_stats_period_s: Time between two calls of the deployment's
            `record_routing_stats`, s; None: Ray's default.
        settings: `policy`, `curve`, `learn`, `half_life_completions` and `prefix_cache`, see
            `router_settings.RouterSettings`.

    Raises:
        UsageError: A setting cannot be used.
        PolicyError: There is no such policy.
    """
    ReplicaRouter(read_settings(settings), stream(0)).update([Replica("any")], 0.0)
    period = request_routing_stats_period_s
    more = {} if period is None else {"request_routing_stats_period_s": period}
    return RequestRouterConfig(
        request_router_class=f"{__name__}:{IsoclineRequestRouter.__name__}",
        request_router_kwargs=settings,
        **more,
    )


@final
class IsoclineRequestRouter(RequestRouter):
    """Ray's side of a `ReplicaRouter`: candidates in, one replica out, and the hooks."""

    def __init__(self, *args: Any, use_replica_queue_len_cache: bool = False, **kwargs: Any):
        super().__init__(*args, use_replica_queue_len_cache=use_replica_queue_len_cache, **kwargs)
        # Ray then asks a replica whether it accepts a request, and says so.
        self._asks = use_replica_queue_len_cache
        self._unusable: set[str] = set()  # replicas whose curve was complained of

    def initialize_state(self, **given: Any) -> None:
        """Read the settings, see `router_config`; Ray calls it with them."""
        settings = read_settings(given)
        self._counts_prompts = settings.prefix_cache is not None
        warm(settings)
        self._router = ReplicaRouter(settings, stream(secrets.randbits(32)))

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        super().update_replicas(replicas)
        self._router.update([self._replica(it) for it in replicas], monotonic())

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return the replica that the policy chooses, and of those not tried if asked again.

        Empty once all were tried: Ray then waits for a moment.
        """
        if pending_request is None:
            return [candidate_replicas]
        future, metadata = pending_request.future, pending_request.metadata
        candidates = {it.replica_id.unique_id: it for it in candidate_replicas}
        model = metadata.multiplexed_model_id
        name = self._router.choose(
            future,
            metadata.internal_request_id,
            monotonic(),
            prompt=self._prompt(pending_request) if self._counts_prompts else None,
            holders=[n for n, it in candidates.items() if model in it.multiplexed_model_ids]
            if model
            else (),
        )
        chosen = None if name is None else candidates.get(name)
        pending_request.routing_context.should_backoff = chosen is None
        if name is None or chosen is None:
            self._router.cancelled(future, monotonic())
            return []
        if chosen.is_cross_language or not self._asks:  # Ray does not tell of these
            self._router.accepted(future, name, monotonic())
        future.add_done_callback(self._drop_cancelled)
        return [[chosen]]

    def on_new_queue_len_info(self, replica_id: ReplicaID, num_ongoing_requests: int) -> None:
        super().on_new_queue_len_info(replica_id, num_ongoing_requests)
        self._router.reported(replica_id.unique_id, num_ongoing_requests, monotonic())

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: ReplicaResult
    ) -> None:
        super().on_request_routed(pending_request, replica_id, result)
        self._router.accepted(pending_request.future, replica_id.unique_id, monotonic())

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        super().on_request_completed(replica_id, internal_request_id)
        self._router.completed(replica_id.unique_id, internal_request_id, monotonic())

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        super().on_replica_actor_died(replica_id)
        self._router.died(replica_id.unique_id, monotonic())

    def _drop_cancelled(self, future: Any) -> None:
        if future.cancelled():
            self._router.cancelled(future, monotonic())

    def _prompt(self, request: PendingRequest) -> Any:
        metadata = request.metadata
        model, session = metadata.multiplexed_model_id, metadata.session_id
        return prompt_of(request.args, request.kwargs, model, session)

    def _replica(self, running: RunningReplica) -> Replica:
        """Read what a replica reports; a curve that is none counts as not reported."""
        name, stats = running.replica_id.unique_id, running.routing_stats
        try:
            curve = read_curve_of(name, stats)
        except CurveError as error:
            curve = None
            if name not in self._unusable:
                self._unusable.add(name)
                _LOG.warning("%s; it counts as not given", error)
        return Replica(name, curve, read_cache_tokens(stats))
