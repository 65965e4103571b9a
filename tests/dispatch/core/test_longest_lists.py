"""The server for which most tasks wait, against a look at all servers."""

from typing import Any

import numpy as np
import pytest

from isocline.compilation.compiled import kernel
from isocline.dispatch.core.allocation import empty_kernel_state, empty_view
from isocline.dispatch.core.kernels.longest_lists import longest_list, note_longer
from isocline.policies.parse import scheduling_policy as parse
from isocline.policies.scheduling.contract import ClusterSetting
from isocline.policies.scheduling.state.columns import WAITING
from isocline.policies.scheduling.state.tasks import NONE


@kernel
def longest(view: Any, core: Any, group: int) -> int:
    return longest_list(view, core, group)


@kernel
def lengthened(view: Any, core: Any, server: int) -> None:
    view.columns[server, WAITING] += 1
    note_longer(view, core, server)


@pytest.mark.parametrize("racks", [1, 3])
@pytest.mark.parametrize("grows", [0.3, 0.5, 0.7])
def test_it_is_the_first_of_those_with_most(racks: int, grows: float) -> None:
    """Lists shrink without notice, and the question comes between any two changes."""
    rng = np.random.default_rng(1)
    rack = rng.integers(0, racks, 12).astype(np.int32)
    setting = ClusterSetting(rack, racks, np.array([1.0, 0.8, 0.5]))
    view, core = empty_view(setting, parse("fifo")), empty_kernel_state(setting)
    waiting = view.columns[: rack.size, WAITING]
    for _ in range(2000):
        server = int(rng.integers(rack.size))
        if rng.random() < grows:
            lengthened(view, core, server)
        elif waiting[server] > 0:
            waiting[server] -= 1
        for group in range(racks + 1 if racks > 1 else 1):
            if rng.random() < 0.5:
                continue
            among = waiting if group == 0 else np.where(rack == group - 1, waiting, 0)
            first = int(np.argmax(among)) if among.max() > 0 else NONE
            assert longest(view, core, group) == first
