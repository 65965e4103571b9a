"""Hindsight bound: the least total delay of given arrivals, whatever the policy knows in advance.

Read `bound` (what it says, and of whom), then `certificates` (why), `interior_point` (how), and
`pools` and `path`, which they work on.
"""
