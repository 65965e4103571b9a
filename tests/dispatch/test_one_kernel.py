"""One compiled kernel of the core for all policies."""

from isocline.dispatch.core.core import Core
from isocline.dispatch.core.kernels.step import step
from isocline.model.cluster import Rates
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling import ALL
from isocline.randomness.draws import stream


def test_the_kernel_is_compiled_once_whatever_the_policy() -> None:
    """With local servers in random order, and not, for which some policies have two functions."""
    forms = set()
    for name in ALL:
        for shuffled in (True, False):
            core = Core([0, 0], Rates(1.0, 0.5), parse(name), stream(0), shuffled=shuffled)
            core.submitted(0, [1], 0.0)
            assert core.runs(0) + core.runs(1) == [0]
            forms.add(len(step.overloads))  # type: ignore[attr-defined]
    assert len(forms) == 1
