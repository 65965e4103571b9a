"""Isocline."""
