"""System files of kind near-data."""

from isocline.model.systemfile.near_data.build import build_cluster as build_cluster
from isocline.model.systemfile.near_data.notes import cluster_notes as cluster_notes
