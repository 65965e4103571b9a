"""Notes on a cluster for its user, found while it was read."""

import numpy as np

from isocline.model.cluster import Cluster, ExplicitTasks


def cluster_notes(cluster: Cluster) -> list[str]:
    """Return the notes, one sentence each; often none."""
    said = []
    if len(cluster.racks) > 1 and cluster.rates.rack is None:
        said.append("rates: no rack rate is given, so another server of a rack is as any other")
    if isinstance(cluster.tasks, ExplicitTasks):
        graph = cluster.tasks.graph
        without = np.flatnonzero(np.bincount(graph.sink, minlength=graph.sinks) == 0)
        if without.size:
            first = ", ".join(repr(cluster.servers[m]) for m in without[:4])
            more = f" and {without.size - 4} more" if without.size > 4 else ""
            plural = "s" if without.size > 1 else ""
            said.append(f"server{plural} {first}{more}: no local tasks; can only help others")
    return said
