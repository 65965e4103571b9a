"""Builder of a `Cluster` from a document of kind near-data."""

from isocline.model.cluster import Cluster, SlotArrivals
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.near_data.checked import checked
from isocline.model.systemfile.near_data.schema import NearDataFile, service_law
from isocline.model.systemfile.near_data.servers import servers_in
from isocline.model.systemfile.near_data.tasks import tasks_in
from isocline.model.traffic import ExponentialSizes


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
