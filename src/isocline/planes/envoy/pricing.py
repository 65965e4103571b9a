"""Prices on their way to Envoy: the mapped table, and the module that reads it there.

Where the module cannot be built, Envoy's own least request picks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import final

from isocline.errors import UsageError
from isocline.gateway.serve.config import Serving
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.clusters import least_request
from isocline.planes.envoy.core import LIMIT, PlaneCore
from isocline.planes.envoy.module_build import built_module, version_of
from isocline.planes.envoy.policy_config import load_balancing_policy
from isocline.planes.envoy.price_table import PriceTable
from isocline.planes.envoy.routes import Json


@final
class Pricing:
    """One table, and the policy of clusters that goes with it.

    Attributes:
        decides: Who picks backends: `module`, or `least_request` of Envoy's own.
    """

    def __init__(self, path: Path) -> None:
        """Initialise without making anything; `path` is that of the table."""
        self.decides = "least_request"
        self._path = path
        self._library: Path | None = None
        self._table: PriceTable | None = None
        self._shape: tuple[tuple[str, ...], tuple[tuple[str, str], ...]] | None = None

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
            return f"{error}; Envoy's own least request picks backends, and no price does"
        self.decides = "module"
        return ""

    def begin(self, serving: Serving, addresses: Mapping[str, Address]) -> None:
        """Make the table for these frontends and backends, unless there is; raises UsageError."""
        frontends = tuple(it.name for it in serving.system.frontends)
        known = {name: str(it) for name, it in addresses.items()}
        names = [it.name for it in serving.system.backends]
        shape = frontends, tuple((name, known.get(name, "")) for name in names)
        if shape == self._shape:
            return
        if not (frontends and names):  # none has been discovered yet
            self.close()
            return
        rows = {name: [known[name]] if name in known else [] for name in names}
        table = PriceTable.create(self._path, frontends, rows, limit=LIMIT)
        self.close()
        self._table, self._shape = table, shape

    def write(self, core: PlaneCore) -> None:
        """Put a core's prices in force."""
        if self._table is not None:
            self._table.write(core.prices(), core.allowed)
            self.correct(core)

    def correct(self, core: PlaneCore) -> None:
        """Tell the module of jobs that others have sent, by the load reports."""
        if self._table is not None:
            self._table.correct(core.corrections)

    def balancing(self, frontend: str) -> Json:
        """Load-balancing policy of a frontend's cluster."""
        if self._library is None:
            return least_request(frontend)
        return load_balancing_policy(self._library, self._path, frontend)

    def close(self) -> None:
        """Unmap the table."""
        if self._table is not None:
            self._table.close()
        self._table = self._shape = None
