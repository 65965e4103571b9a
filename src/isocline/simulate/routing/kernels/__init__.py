"""Compiled event loops of routing systems, one for each clock and law of sizes.

Read `uniformised` (the simplest), `tracked_chain` (which follows jobs), `processor_sharing` (any
sizes) and `slotted`; `holding`, `delayed` and `abandonment` extend these.
"""
