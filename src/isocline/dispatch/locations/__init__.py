"""Where data is: sources of locations, each a mapping or function from a chunk to names of nodes.

    from isocline.dispatch.locations import WebHdfs

    hdfs = WebHdfs("webhdfs://nn1:9870,nn2:9870/data")
    scheduler = Scheduler(DaskEngine("10.0.0.9:8786"), locations=hdfs)

Read `reader` (what all have in common), then a source. `source` reads them from text, as
`isocline run --locations` does.
"""

from isocline.dispatch.locations.consistent_hash import HashRing, Rendezvous
from isocline.dispatch.locations.csv_file import read_csv
from isocline.dispatch.locations.fsspec_caches import FileCache, SimpleCache
from isocline.dispatch.locations.node_directories import in_directories, node_directories
from isocline.dispatch.locations.reader import LocationReader, located
from isocline.dispatch.locations.source import read_source
from isocline.dispatch.locations.webhdfs import WebHdfs

__all__ = [
    "FileCache",
    "HashRing",
    "LocationReader",
    "Rendezvous",
    "SimpleCache",
    "WebHdfs",
    "in_directories",
    "located",
    "node_directories",
    "read_csv",
    "read_source",
]
