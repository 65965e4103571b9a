"""Limit on the number of jobs in a simulation that grows without bound."""

# A run with more jobs than this has no steady state that we could store, let alone report.
MOST_JOBS = 20_000_000


class ExplodedError(Exception):
    """The number of jobs exceeds the limit: internal, reported as an unstable policy."""
