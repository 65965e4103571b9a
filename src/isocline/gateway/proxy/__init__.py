"""The built-in data plane: HTTP/1.1 on both sides, over asyncio's protocols."""

from isocline.gateway.proxy.server import Proxy

__all__ = ["Proxy"]
