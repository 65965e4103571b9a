"""System models: graph, service curves, traffic, fleet, and the files that describe them.

Read `graph` and `fleet` (routing) or `cluster/` (scheduling), then `curves/` and `traffic/`.
`systemfile/` builds them from YAML.
"""
