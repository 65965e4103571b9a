"""Theory of near-data scheduling: capacity region, ideal load decomposition and heavy traffic.

Read `capacity_region`, `decomposition` and `heavy_traffic`; `near_data_plan` puts them together.
Names with `rack_` treat three locality levels. `optimal_policy` is the best that any policy can do
on a few servers.
"""
