"""Formats of benchmark results, one per file; each says whether a document is of its kind.

Read `fields` (documents with their places), then any format. `isocline.measurements.reading` asks
them all.
"""
