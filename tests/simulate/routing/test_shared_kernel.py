"""Policies that share a kernel, called by address, decide as they would inside one of their own."""

from dataclasses import replace
from typing import Any

from isocline.policies.parse import parse
from isocline.policies.routing import RIVALS
from isocline.policies.routing.contract import RoutingPolicy
from isocline.policies.wrapped import Wrapped
from isocline.simulate.common.replication import Run
from isocline.simulate.routing.kernels.tracked_chain import track
from isocline.simulate.routing.prepare import prepare
from isocline.simulate.routing.replicate import replicate
from isocline.simulate.routing.run_settings import RunSettings
from tests.builders import mixed


class Inside(Wrapped):
    """The same policy, as a part of the kernel."""

    shares_kernel = False
    name = "inside"

    def __init__(self, policy: RoutingPolicy):
        self.policy = policy


def test_they_decide_as_in_a_kernel_of_their_own() -> None:
    """Of those that observe completions, too."""
    run = Run(prepare(mixed()), parse("drain_rate:window=2"), RunSettings(200.0, seed=3))
    shared, own = replicate(run), replicate(replace(run, policy=Inside(run.policy)))
    assert shared is not None
    assert own is not None
    assert shared.same_as(own)
    assert shared.completions.sum() > 1000


def test_all_that_observe_nothing_have_one_kernel() -> None:
    kernel: Any = track
    before = len(kernel.overloads)
    prepared = prepare(mixed())
    for name, kind in RIVALS.items():
        if not kind.needs_latency:
            replicate(Run(prepared, parse(name), RunSettings(1.0)))
    assert len(kernel.overloads) <= before + 1
