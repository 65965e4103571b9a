"""Estimates of the scheduling simulator that need no run."""

import numpy as np

from isocline.simulate.scheduling.estimates import idle_shares


def test_what_rounding_leaves_of_a_busy_server_is_no_idle_time() -> None:
    busy = np.array([1.0 - 1e-14, 1.0 + 3e-16, 1.0, 0.75, 1.0 - 1e-6])
    assert idle_shares(busy).tolist() == [0.0, 0.0, 0.0, 0.25, 1.0 - (1.0 - 1e-6)]
