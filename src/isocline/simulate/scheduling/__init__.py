"""Simulation of near-data clusters, laid out as the simulation of routing systems."""
