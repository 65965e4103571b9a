"""Prices on their way to Envoy: the mapped table, and the module that reads it there.

Where the module cannot be built, Envoy's own least request picks.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, final

import numpy as np

from isocline.errors import UsageError
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.clusters import LEAST_REQUEST, Balancing
from isocline.planes.envoy.core import LIMIT, PlaneCore
from isocline.planes.envoy.module_build import built_module, version_of
from isocline.planes.envoy.policy_config import load_balancing_policy
from isocline.planes.envoy.price_table import BoolArray, FloatArray, PriceTable


@final
class _Rows(NamedTuple):
    """Names that a table has: frontends, and the address of each backend, empty if unknown."""

    frontends: tuple[str, ...]
    backends: dict[str, str]

    @classmethod
    def of(cls, serving: Serving, addresses: Mapping[str, Address]) -> Self:
        return cls(
            tuple(it.name for it in serving.system.frontends),
            {it.name: str(addresses.get(it.name, "")) for it in serving.system.backends},
        )


@final
class Pricing:
    """One table, and the policy of clusters that goes with it.

    Envoy follows a change a moment after the table does. So a table also has the frontends and
    backends of the one before, which Envoy's clusters may still have, at their last prices.

    Attributes:
        decides: Who picks backends: `module`, or `least_request` of Envoy's own.
    """

    def __init__(self, path: Path) -> None:
        """Initialise without making anything; `path` is that of the table."""
        self.decides = "least_request"
        self._path = path
        self._library: Path | None = None
        self._table: PriceTable | None = None
        self._rows = _Rows((), {})
        self._prices: FloatArray = np.empty((0, LIMIT + 1))  # as last written, with those leaving
        self._allowed: BoolArray = np.empty(0, np.bool_)

    @property
    def says(self) -> str:
        """Who picks backends, in words."""
        return "picks by price" if self.decides == "module" else "picks by least request"

    def build(self, binary: Path) -> str:
        """Build the module for this Envoy, if that can be done; takes a second the first time.

        Returns:
            Why it cannot be built; empty if it can.

        Raises:
            UsageError: The program is no Envoy.
        """
        version = version_of(binary)
        try:
            self._library = built_module(version)
        except UsageError as error:
            picks = "Envoy's own least request picks backends, and no price does"
            return (
                f"{error}; {picks}; it ejects a backend by serve.ejection.failures in a row alone"
            )
        self.decides = "module"
        return ""

    def begin(self, core: PlaneCore, addresses: Mapping[str, Address]) -> None:
        """Price by a core, whose frontends and backends may be others; raises UsageError."""
        before, now = self._rows, _Rows.of(core.serving, addresses)
        if now == before:
            self.write(core)
            return
        if not (now.frontends and now.backends):  # none has been discovered yet
            self.close()
            return
        taken = set(now.backends.values())
        backends = {name: [address] * bool(address) for name, address in now.backends.items()}
        left = []  # rows of before
        for row, (name, address) in enumerate(before.backends.items()):
            if not address or address in taken:
                continue
            if name not in backends:
                left.append(row)
            backends.setdefault(name, []).append(address)
        shown = len(now.backends)
        self._prices = np.concatenate([np.zeros((shown, LIMIT + 1)), self._prices[left]])
        self._allowed = np.concatenate([np.ones(shown, np.bool_), self._allowed[left]])
        self._take(core)
        frontends = tuple(dict.fromkeys((*now.frontends, *before.frontends)))
        table = PriceTable.create(self._path, frontends, backends, limit=LIMIT, prices=self._prices)
        if self._table is not None:
            self._table.close()
        self._table, self._rows = table, now
        self.write(core)

    def write(self, core: PlaneCore) -> None:
        """Put a core's prices in force."""
        if self._table is not None:
            self._take(core)
            # Alike for all frontends: Envoy's clusters have the backends that each may use.
            allowed = np.broadcast_to(
                self._allowed, (len(self._table.frontends), self._allowed.size)
            )
            self._table.write(self._prices, allowed)
            self.correct(core)

    def correct(self, core: PlaneCore) -> None:
        """Tell the module of jobs that Envoy does not count, as those that others have sent."""
        if self._table is not None:
            corrections = np.zeros(len(self._table.backends), np.int64)
            corrections[: len(self._rows.backends)] = core.corrections
            self._table.correct(corrections)

    @property
    def balancing(self) -> Balancing:
        """How backends of clusters are picked."""
        if self._library is None:
            return LEAST_REQUEST
        return Balancing(partial(load_balancing_policy, self._library, self._path), ejects=False)

    def close(self) -> None:
        """Unmap the table."""
        if self._table is not None:
            self._table.close()
        self._table, self._rows = None, _Rows((), {})
        self._prices, self._allowed = self._prices[:0], self._allowed[:0]

    def _take(self, core: PlaneCore) -> None:
        prices = core.prices()
        self._prices[: len(prices)] = prices
        self._allowed[: len(prices)] = core.allowed
