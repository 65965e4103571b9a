"""Randomness keyed by (seed, replication, purpose): any replication can be run again alone.

Policies draw from a stream of their own, so all see the same arrivals and sizes.
"""

import numpy as np

EVENTS, POLICY, LEAVING, ARRIVALS, SIZES, FRONTENDS, PHASES, PATIENCE, MODELS = range(9)


def random_stream(seed: int, replication: int, *purpose: int) -> np.random.Generator:
    """Make the generator for draws outside the kernels."""
    return np.random.default_rng(np.random.SeedSequence((seed, replication, *purpose)))
