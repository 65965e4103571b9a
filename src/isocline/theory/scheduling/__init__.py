"""Theory of near-data scheduling: capacity region, ideal load decomposition and heavy traffic."""
