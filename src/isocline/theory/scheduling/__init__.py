"""Theory of near-data scheduling: capacity region, ideal load decomposition and heavy traffic.

Read `capacity_region`, `decomposition` and `heavy_traffic`; `near_data_plan` puts them together.
Modules with `rack_` in their names treat three locality levels.
"""
