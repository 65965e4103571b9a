"""Events by which servers tell what their prefix caches hold: reading, and the format."""

from isocline.gateway.cache_events.reader import CacheEventReader, require_reader

__all__ = ["CacheEventReader", "require_reader"]
