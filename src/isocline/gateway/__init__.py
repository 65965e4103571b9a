"""The live router: a core that decides without I/O or clock, and data planes that act."""
