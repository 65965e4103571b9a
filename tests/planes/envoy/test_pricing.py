"""Pricing: the table through changes of a system, as a module whose Envoy is late sees it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from isocline.planes.envoy import stand_in
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.core import PlaneCore
from isocline.planes.envoy.price_table import PriceTable
from isocline.planes.envoy.pricing import Pricing
from isocline.planes.envoy.stand_in import StandIn
from tests.planes.envoy.systems import backend, content, settings

HERE = {name: Address("127.0.0.1", port) for name, port in (("fast", 9001), ("slow", 9002))}


def core(folder: Path, *names: str, frontend: str = "all") -> PlaneCore:
    backends = [backend(name, 9000) for name in names]
    frontends = [{"name": frontend, "rate": 1.0, "backends": ["*"]}]
    return PlaneCore(settings(folder, content(backends, frontends, policy="gmsr")))


def read(pricing: Pricing, path: Path) -> dict[str, np.ndarray]:
    with PriceTable.open(path) as table:
        return dict(zip(table.backends, table.read().prices, strict=True))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_clusters_of_before_are_served_until_envoy_has_followed(tmp_path: Path) -> None:
    """A frontend's only backend, its name and the address of another change at once."""
    path = tmp_path / "prices"
    pricing = Pricing(path)
    pricing.begin(core(tmp_path, "fast", "slow"), HERE)
    with StandIn(path, "all", ["127.0.0.1:9001", "127.0.0.1:9002"]) as cluster:
        cheapest = cluster.pick()
        before = stand_in.messages()
        moved = {"new": Address("127.0.0.1", 9003), "slow": Address("127.0.0.1", 9004)}
        pricing.begin(core(tmp_path, "new", "slow", frontend="other"), moved)
        assert cluster.pick() == cheapest == 0
        cluster.active[0] = 1000
        assert cluster.pick() == 1
        assert stand_in.messages() == before
        hosts = ["127.0.0.1:9003", "127.0.0.1:9004"]
        with StandIn(path, "other", hosts) as after:
            assert after.pick() == 0
    pricing.close()


def test_what_has_left_is_forgotten_with_the_next_change(tmp_path: Path) -> None:
    path = tmp_path / "prices"
    pricing = Pricing(path)
    addresses = HERE | {"new": Address("127.0.0.1", 9003)}
    pricing.begin(core(tmp_path, "fast", "slow"), addresses)
    first = read(pricing, path)
    pricing.begin(core(tmp_path, "slow"), addresses)
    second = read(pricing, path)
    assert list(second) == ["slow", "fast"]
    np.testing.assert_array_equal(second["fast"], first["fast"])
    pricing.begin(core(tmp_path, "slow", "new"), addresses)
    assert list(read(pricing, path)) == ["slow", "new"]
    pricing.close()


def test_a_new_backend_may_have_the_address_of_one_that_leaves(tmp_path: Path) -> None:
    path = tmp_path / "prices"
    pricing = Pricing(path)
    pricing.begin(core(tmp_path, "fast", "slow"), HERE)
    pricing.begin(core(tmp_path, "slow", "new"), {"slow": HERE["slow"], "new": HERE["fast"]})
    assert list(read(pricing, path)) == ["slow", "new"]
    pricing.close()
