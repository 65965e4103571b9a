"""Compiled data structures of both simulators, one per file; all kernels share `counters`."""
