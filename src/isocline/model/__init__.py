"""System models: graph, service curves, traffic, fleet, and the files that describe them."""
