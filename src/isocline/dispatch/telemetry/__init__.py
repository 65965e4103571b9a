"""Telemetry of a run: `records` of attempts, their `timeline`, and counts of `demand`."""
