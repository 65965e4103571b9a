"""Runs all benchmarks, one after the other: `python -m benchmarks`."""

import importlib.util
import runpy

for name in (
    "level_flow",
    "large_systems",
    "cheapest_fleet",
    "near_data_capacity",
    "fluid",
    "refined_mean_field",
    "hindsight",
    "simulation",
    "precision",
    "prefix_caches",
    "cluster_simulation",
    "dispatch_core",
    "dispatch_engines",
    "dispatch_policies",
    "gateway_core",
    "gateway_workers",
    "gateway_proxy",
    "endpoint_picker",
    "three_envoys",
    "emulator_and_load",
):
    if importlib.util.find_spec(f"benchmarks.{name}"):
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
