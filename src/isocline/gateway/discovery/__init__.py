"""Discovery of backends: sources find endpoints, a merger decides when their set changes.

Read `source` (the interface), `merge` (the decisions, without I/O), then the kinds of source:
`dns`, `files`, `kubernetes` with its `endpoint_slices`, and `registry`, which calls of the admin
listener fill. `discovery` runs them together for `isocline.gateway.serve`.
"""
