"""Events by which servers tell what their prefix caches hold: reading, and the format."""

from isocline.gateway.cache_events.reader import CacheEventReader, require_reader
from isocline.gateway.cache_events.source import MOST_PORT, CacheEventSource

__all__ = ["MOST_PORT", "CacheEventReader", "CacheEventSource", "require_reader"]
