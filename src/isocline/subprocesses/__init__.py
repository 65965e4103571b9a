"""Child processes: how they are started, talk to their parent, and are ended.

Read `spawn` (a module of ours in a Python of its own), `framing` (messages between two processes),
`supervise` (the parent's side: ends, restarts), `descendants` (what a child has started itself) and
`guardian` (children that would outlive their parent).
Users say only what runs: workers of the live scheduler and of the router, the load generator's,
and the parts of the demo.
"""
