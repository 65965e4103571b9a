"""Metrics of a router: counted, added up over processes, and published.

`counting` counts, and `snapshot` is what it gives; `exposition` and `summary` tell it in the words
of Prometheus and in JSON, `standing` compares it with the optimum, and `admin` serves it all.
"""

from isocline.gateway.seen.counting import Statistics as Statistics
from isocline.gateway.seen.exposition import prometheus as prometheus
from isocline.gateway.seen.snapshot import Snapshot as Snapshot
from isocline.gateway.seen.snapshot import merged as merged
from isocline.gateway.seen.summary import statistics as statistics
