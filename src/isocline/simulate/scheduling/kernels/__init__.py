"""Compiled event loops of near-data clusters, one for each clock."""
