"""Planes: the routing decisions of this package inside somebody else's proxy."""
