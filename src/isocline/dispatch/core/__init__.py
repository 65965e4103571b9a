"""Core of the scheduler: events in, actions out, without I/O or clock.

Read `core` first (events), then `state` (tasks and servers), `attempts` (the only registry of
attempts) and `policy_state` (arrays that a policy sees). The other modules each hold one decision,
as functions of the state; `snapshot` copies the state. `kernels/` has the compiled part.
"""
