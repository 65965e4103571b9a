"""The built-in data plane: HTTP/1.1 on both sides, over asyncio's protocols.

Read `server` (listeners and clocks), `client_connection` and `backend_connection` (the two sides),
`exchange` (one request and its response) and `core_bridge` (the core's events and actions).
"""

from isocline.gateway.proxy.server import Proxy

__all__ = ["Proxy"]
