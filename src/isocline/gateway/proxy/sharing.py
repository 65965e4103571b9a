"""Priority and tenant of a request, as its head claims them and the operator's rule reads them."""

import re
from typing import final

from isocline.gateway.core.prompts import Prompt
from isocline.gateway.core.request import Profile
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import RequestHead
from isocline.model.serving_settings import SharingRule

KEY = "key"  # in place of a header's name: the tenant is that of the API key
_WHOLE = re.compile(rb"[+-]?[0-9]{1,4}")
_MOST = 1000  # of a priority, either way
_LONGEST = 100  # characters of a tenant's name


@final
class SharingReader:
    """Reader of priorities and tenants by one rule."""

    def __init__(self, rule: SharingRule) -> None:
        self._by_key = rule.tenant == KEY
        self._tenant = (rule.tenant or "").lower().encode()
        self._priority = (rule.priority or "").lower().encode()

    def profile(self, head: RequestHead, key: str, prompt: Prompt | None) -> Profile:
        """Profile of a request with a key, by its name, and a prompt.

        Raises:
            BadMessageError: As `priority` does.
        """
        return Profile(self.priority(head), key if self._by_key else self.tenant(head), prompt)

    def priority(self, head: RequestHead) -> int:
        """Priority of a request; raises BadMessageError if its header holds no whole number."""
        if not self._priority:
            return 0
        value = _only(head, self._priority)
        if value is None:
            return 0
        if _WHOLE.fullmatch(value) is None or not -_MOST <= int(value) <= _MOST:
            name = self._priority.decode()
            raise BadMessageError(f"{name}: give a whole number from {-_MOST} to {_MOST}")
        return int(value)

    def tenant(self, head: RequestHead) -> str:
        """Tenant that a request's head names; empty where it names none."""
        value = _only(head, self._tenant) if self._tenant else None
        return "" if value is None else value.decode("latin-1")[:_LONGEST]


def _only(head: RequestHead, name: bytes) -> bytes | None:
    """Value of a field; raises BadMessageError where it stands twice, by a client and its proxy."""
    values = head.values(name)
    if len(values) > 1:
        raise BadMessageError(f"{name.decode()} stands more than once")
    return values[0] if values else None
