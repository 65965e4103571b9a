"""Limits of API keys at the door: requests are charged, told what is left, or answered with 429."""

from collections.abc import Mapping
from typing import final

from isocline.gateway.access_log import CLIENT_GONE, Access
from isocline.gateway.core.actions import TOO_MANY_REQUESTS
from isocline.gateway.core.key_limits import Buckets, Charge, KeyLimits
from isocline.gateway.core.rejections import LIMIT_REACHED
from isocline.gateway.http.rate_limits import LimitLines, duration
from isocline.gateway.proxy.exchange import Exchange
from isocline.model.serving_settings import KeyLimit

_ERROR = 400  # the least status of one
_NO_TOKENS = -1  # in place of the length of a body
_OF_REQUESTS, _OF_TOKENS = LimitLines("requests"), LimitLines("tokens")


@final
class KeyLimiter:
    """Limiter of the requests of one reading of the file.

    Attributes:
        names: Names of the keys that have limits.
    """

    def __init__(
        self,
        limits: Mapping[str, KeyLimit],
        buckets: Buckets,
        before: "KeyLimiter | None" = None,
    ) -> None:
        """Initialise; `limits` by name of the key, `before` of earlier settings."""
        self.names = frozenset(limits)
        self._limits = KeyLimits(limits, buckets)
        if before is not None:
            self._limits.take_over(before._limits)

    def admits(self, exchange: Exchange, now: float) -> bool:
        """Charge a request to its key, one of `names`, or answer it in the backends' place."""
        access, head = exchange.access, exchange.head
        length = _NO_TOKENS
        if head.method == b"POST":
            length = exchange.body.size if head.length is None else head.length
        verdict = self._limits.take(access.key, now, length)
        lines = b""
        if verdict.requests is not None:
            lines = _OF_REQUESTS(*verdict.requests)
        if verdict.tokens is not None:
            lines += _OF_TOKENS(*verdict.tokens)
        exchange.client.limit_lines = lines
        charge = access.charge = verdict.charge
        if not charge.exceeded:
            return True
        reason = (
            f"{LIMIT_REACHED} for key {access.key} on {charge.exceeded} per minute; "
            f"try again in {duration(charge.wait)}"
        )
        exchange.reply_error(
            TOO_MANY_REQUESTS, reason, retry_after=charge.wait, limit=charge.exceeded
        )
        return False

    def settle(self, access: Access, charge: Charge) -> None:
        """Correct the charge for a request that has ended."""
        usage = access.usage
        if usage is None and _may_have_used(access):
            return  # nothing better is known than what it was charged
        if access.status >= _ERROR and access.status != CLIENT_GONE:
            usage = None  # no tokens were made
        self._limits.settle(access.key, access.ended, charge, usage)


def _may_have_used(access: Access) -> bool:
    """Whether a backend has begun to answer a request whose tokens are not known."""
    return access.first_byte is not None and (
        access.status < _ERROR or access.status == CLIENT_GONE
    )
