"""The built-in data plane: HTTP/1.1 on both sides, over asyncio's protocols.

Read `sides` and `exchange` (one request and its response, and the abstract classes by which it
reaches its neighbours), then these: `client_connection`, `backend_connection` and `core_bridge`
(the core's events and actions). `frontend_lookup`, `transfer` and `tunnel` are phases of an
exchange, `connector` and `pool` a backend's connections; `server` has the listeners and the clock.
"""

from isocline.gateway.proxy.server import Proxy

__all__ = ["Proxy"]
