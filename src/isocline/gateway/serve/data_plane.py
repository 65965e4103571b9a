"""Data plane as a worker sees it: the router's own proxy, or one for the gateways of others."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from isocline.gateway.access_log import Observer
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core
from isocline.gateway.metrics.collect import LiveProxy
from isocline.gateway.proxy.model_list import Directory


class Bridge(Protocol):
    """Carries out the actions of one core."""

    @property
    def exchanges(self) -> Collection[Any]:
        """Requests under way."""

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out the core's actions."""


class DataPlane(LiveProxy, Protocol):
    """Listeners, requests under way, and the core in force."""

    addresses: list[tuple[str, str, int]]

    @property
    def bridge(self) -> Bridge:
        """Bridge to the core in force."""

    @property
    def in_flight(self) -> int:
        """Number of requests under way or held."""

    async def start(self, reuse_port: bool = False) -> None:
        """Listen; raises UsageError if the address of a listener is not available."""

    def replace(
        self,
        core: Core,
        settings: ProxySettings,
        observers: Sequence[Observer] | None = None,
        directory: Directory | None = None,
    ) -> None:
        """Use another core and other settings for requests from now on; raises UsageError."""

    async def stop(self, grace: float) -> None:
        """Take no more requests, and let those under way end within `grace` s."""


class Plane(Protocol):
    """Makes a data plane, with the arguments of `Proxy`."""

    def __call__(self, *arguments: Any, **named: Any) -> DataPlane: ...
