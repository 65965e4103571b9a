"""Compiled event loops of near-data clusters, one for each clock.

Read `uniformised` (the simplest), `event_driven` (any law of service) and `slotted`; `state`,
`arrivals` and `holder_sampler` are what they share.
"""
