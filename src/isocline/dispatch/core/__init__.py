"""The core of the scheduler: events in, actions out, without I/O or clock.

Read `core` first, then `state` (tasks and servers) and `policy_state` (what a policy sees); the
other modules hold one decision each. `kernels/` has the compiled part.
"""
