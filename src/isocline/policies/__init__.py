"""Routing and scheduling policies: one file and one compiled function each.

Read `contract` in `routing/` or `scheduling/`, then any policy there. `parse` makes policies from
text, `custom` from a user's own code.
"""
