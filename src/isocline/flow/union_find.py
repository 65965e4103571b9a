"""Union and find over nodes: the root of a node's set."""

import numpy as np
import numpy.typing as npt

from isocline.compilation.interpretable import inner


@inner
def root_of(parent: npt.NDArray[np.int32], node: int | np.int64) -> int:
    """Find the root of a node; halves the path to it.

    Args:
        parent: (nodes,) int32, a node on the way to the root, which is its own; changed in place.
        node: The node.
    """
    at = np.int64(node)
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = np.int64(parent[at])
    return int(at)
