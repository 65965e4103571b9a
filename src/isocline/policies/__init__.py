"""Routing and scheduling policies: one file and one compiled function each."""
