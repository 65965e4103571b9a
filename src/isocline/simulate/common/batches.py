"""Sizes of the batches of blocks that replications are cut into."""

# Means are kept per block, latencies per batch of five blocks: what MSER-5 truncates by.
BATCH = 5

BATCHES = 48  # MSER's remedy for noise is averaging; 48 points leave it at least 24 to choose from
