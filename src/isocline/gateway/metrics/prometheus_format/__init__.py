"""Snapshots in the Prometheus text format; docs/metrics.md says what each metric means."""
