"""Metrics of a router: counted, added up over processes, and exposed.

`recorder` observes requests and `counters` holds their counts; `snapshot` is one process at one
moment, `optimality` the distance from the optimum over a history of them, and `prometheus_format/`
the text for scrapers.
"""

from isocline.gateway.metrics.prometheus_format.exposition import prometheus as prometheus
from isocline.gateway.metrics.recorder import Recorder as Recorder
from isocline.gateway.metrics.snapshot import Snapshot as Snapshot
from isocline.gateway.metrics.snapshot import merged as merged
from isocline.gateway.metrics.summary import statistics as statistics
