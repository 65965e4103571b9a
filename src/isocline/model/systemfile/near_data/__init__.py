"""System files of kind near-data.

Read `schema` (the contents), then `build`, which makes a cluster of `servers` and `tasks`.
"""

from isocline.model.systemfile.near_data.build import build_cluster as build_cluster
from isocline.model.systemfile.near_data.build import cluster_notes as cluster_notes
