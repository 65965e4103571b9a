"""Snapshots in the Prometheus text format; docs/metrics.md has the meaning of each metric.

Read `exposition` first; the other modules build families of samples.
"""
