"""What a picker decides is what the simulator decides, and what the core decides without it."""

import numpy as np
import pytest

from isocline.gateway import replay as gateway
from isocline.policies.parse import parse
from isocline.simulate.routing.prepare import prepare
from tests.builders import mixed
from tests.planes.picker import replaying as picker

DECISIONS, SEED = 5_000, 3


@pytest.mark.parametrize("policy", ["gmsr", "gmsr_secant"])
def test_decisions_are_those_of_the_simulator_and_of_the_core(policy: str) -> None:
    prepared, parsed = prepare(mixed()), parse(policy)
    picked = picker.driven(prepared, parsed, DECISIONS, SEED)
    np.testing.assert_array_equal(picked, gateway.recorded(prepared, parsed, DECISIONS, SEED))
    np.testing.assert_array_equal(picked, gateway.driven(prepared, parsed, DECISIONS, SEED))


def test_the_comparison_finds_another_policy() -> None:
    prepared = prepare(mixed())
    picked = picker.driven(prepared, parse("jsq"), 1_000, SEED)
    assert (picked != gateway.recorded(prepared, parse("gmsr"), 1_000, SEED)).mean() > 0.1
