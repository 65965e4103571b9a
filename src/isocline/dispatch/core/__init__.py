"""The core of the scheduler: events in, actions out, without I/O or clock.

Read `core` first (events), then `state` (tasks and servers), `attempts` (the one registry of them)
and `policy_state` (arrays that a policy sees). The other modules hold one decision each, as
functions of the state; `snapshot` shows it. `kernels/` has the compiled part.
"""
