"""Compiled event loops of routing systems, one for each clock and law of sizes."""
