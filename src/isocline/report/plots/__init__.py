"""Pictures of results, with a module for each kind; imported only when a picture is drawn.

Read `style` first, the common style: size, heading, key, small print, axes. Colours are in `theme`,
the fitting of text in `lettering` and `end_labels`, ticks in `ticks`. Then read `policies` for one
comparison, `latency` for several loads, and `workload` for workloads over time; `cluster` has all
three for near-data.
"""
