"""Results as pictures, one module for each kind; imported only when a picture is drawn.

Begin with `style`, which has the look of all: size, heading, key, small print, axes. Colours are in
`theme`, the fitting of text in `lettering` and `end_labels`, ticks in `ticks`. Then `policies` for
one comparison, `latency` for several loads, `workload` over time; `cluster` has all three for
near-data.
"""
