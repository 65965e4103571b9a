"""Compiled steps of the core: `step` is one event, `state` the arrays, the rest its parts."""
