"""The near-data model: servers in racks, replica placement, rates by distance, task types.

Read `cluster` first; `placement`, `rates` and `service` are its parts, `explicit` has listed task
types, and `blocks` replays a trace.
"""

from isocline.model.cluster.blocks import BlockTrace as BlockTrace
from isocline.model.cluster.cluster import Cluster as Cluster
from isocline.model.cluster.cluster import SampledTasks as SampledTasks
from isocline.model.cluster.explicit import ExplicitTasks as ExplicitTasks
from isocline.model.cluster.explicit import popular_tasks as popular_tasks
from isocline.model.cluster.explicit import zipf_weights as zipf_weights
from isocline.model.cluster.groups import ServerGroups as ServerGroups
from isocline.model.cluster.placement import PLACEMENTS as PLACEMENTS
from isocline.model.cluster.placement import HdfsPlacement as HdfsPlacement
from isocline.model.cluster.placement import HotSpot as HotSpot
from isocline.model.cluster.placement import HotSpotPlacement as HotSpotPlacement
from isocline.model.cluster.placement import Placement as Placement
from isocline.model.cluster.placement import UniformPlacement as UniformPlacement
from isocline.model.cluster.placement import placement_on as placement_on
from isocline.model.cluster.rates import Rates as Rates
from isocline.model.cluster.service import RecordedService as RecordedService
from isocline.model.cluster.service import ServiceLaw as ServiceLaw
from isocline.model.cluster.slot_arrivals import SlotArrivals as SlotArrivals
