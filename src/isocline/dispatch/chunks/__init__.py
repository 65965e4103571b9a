"""Data sets as chunks: row groups of Parquet files, and files of Delta and Iceberg tables.

    from isocline.dispatch.chunks import delta_files, row_groups

    groups = row_groups(delta_files("/data/events"))  # {"/data/events/0.parquet#0": Chunk, ...}

Each reads metadata alone, and returns chunks by name, with their bytes.
"""

from isocline.dispatch.chunks.chunk import Chunk
from isocline.dispatch.chunks.delta import delta_files
from isocline.dispatch.chunks.iceberg import iceberg_files
from isocline.dispatch.chunks.parquet import row_groups

__all__ = ["Chunk", "delta_files", "iceberg_files", "row_groups"]
