"""Check of `Host` by listeners on loopback, against DNS rebinding.

A malicious site may make its own name resolve to 127.0.0.1 once its page is loaded. The page then
has the same origin as a listener there, and could read everything that needs no key. `Host` still
has the site's name, so a listener on loopback only answers requests for an IP address or for
localhost. A listener elsewhere cannot check: it does not know the names by which it is reached.
"""

import ipaddress
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def own_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests for a foreign name with 403."""
    if not is_own(request.host):
        text = "this listener is on loopback: use its address or localhost\n"
        raise web.HTTPForbidden(text=text)
    return await handler(request)


def is_own(host: str) -> bool:
    """Whether a `Host` is an IP address or localhost, with or without a port."""
    name = host.lower().rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host.lower()
    return name == "localhost" or name.endswith(".localhost") or is_address(name.strip("[]"))


def is_address(name: str) -> bool:
    """Whether a name is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a listener at this host is reachable only on loopback."""
    if host.lower() == "localhost":
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def application(host: str) -> web.Application:
    """Make an application for a listener at a host."""
    return web.Application(middlewares=[own_host] if is_loopback(host) else [])
