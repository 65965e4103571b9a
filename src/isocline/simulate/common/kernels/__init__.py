"""Compiled data structures of both simulators: alias tables, tournaments, histograms, counters."""
