"""Builder of a `Cluster` from a document of kind near-data, and notes on one for its user."""

import numpy as np

from isocline.model.cluster import Cluster, ExplicitTasks, SlotArrivals
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.near_data.checked import checked
from isocline.model.systemfile.near_data.schema import NearDataFile, service_law
from isocline.model.systemfile.near_data.servers import servers_in
from isocline.model.systemfile.near_data.tasks import tasks_in
from isocline.model.traffic import ExponentialSizes
from isocline.plural import first_of


def build_cluster(document: Document) -> Cluster:
    """Build the cluster that a file describes.

    Raises:
        SystemFileError: What is wrong, with file, line, field, value and remedy.
    """
    file: NearDataFile = checked(document, NearDataFile, document.data)
    found = servers_in(document, file.servers)
    with document.blaming("rates"):
        rates = file.rates.make()
    with document.blaming("service"):
        folder = document.path.parent
        service = service_law(file.service, folder) if file.service else ExponentialSizes()
    tasks = tasks_in(document, file.tasks, found)
    with document.blaming("arrivals"):
        arrivals = file.arrivals.make(tasks.rate) if file.arrivals else SlotArrivals()
    with document.blaming("rates", "rack"):  # all else is checked by now
        return Cluster(
            servers=found.names,
            rack=found.rack,
            racks=found.racks,
            rates=rates,
            tasks=tasks,
            service=service,
            name=file.name or document.name,
            arrivals=arrivals,
        )


def cluster_notes(cluster: Cluster) -> list[str]:
    """Return the notes, one sentence each; often none."""
    said = []
    if len(cluster.racks) > 1 and cluster.rates.rack is None:
        said.append("rates: no rack rate is given, so another server of a rack is as any other")
    if isinstance(cluster.tasks, ExplicitTasks):
        graph = cluster.tasks.graph
        without = np.flatnonzero(np.bincount(graph.sink, minlength=graph.sinks) == 0)
        if without.size:
            names = first_of([repr(cluster.servers[m]) for m in without.tolist()], 4)
            plural = "s" if without.size > 1 else ""
            said.append(f"server{plural} {names}: no local tasks; can only help others")
    return said
