"""Matching of requests to frontends: the first, in the order given, whose conditions are all met.

A frontend of the compatibility graph arises here: requests for one model are a frontend, and the
backends that serve the model are its edges.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from typing import Protocol, final

from isocline.gateway.config import FrontendRule
from isocline.gateway.http.unreadable import UnreadableError
from isocline.model.match import Match


class Head(Protocol):
    """Request head as matching reads it."""

    host: bytes | None
    method: bytes
    target: bytes

    def get(self, name: bytes) -> bytes | None:
        """First value of a field; `name` in lower case."""


@final
@dataclass(frozen=True, slots=True)
class NeedsModel:
    """The head alone does not decide: the body's `model` field does."""


@final
@dataclass(frozen=True, slots=True)
class NoMatch:
    """No frontend matches; the status shows whether the request is at fault."""

    reason: str
    status: int = 404


NEEDS_MODEL = NeedsModel()
Found = int | NeedsModel | NoMatch
_NO_FRONTEND = "no frontend takes this listener, host, path, headers and model"
_WITH_BODY = (b"POST", b"PUT", b"PATCH")  # without one, a request by these is malformed
_API, MODELS = b"/v1", b"/v1/models"  # OpenAI's interface, and where it lists models
_SHOWN = 100  # characters of a model's name
_Condition = Callable[[str, Head], bool]


@final
class Matcher:
    """Compiled conditions of the frontends.

    Attributes:
        takes_all: Whether the first frontend takes every request, the usual case, at no cost.
    """

    def __init__(self, frontends: tuple[FrontendRule, ...]) -> None:
        self._rules = tuple(_Rule(rule.match) for rule in frontends)
        self.takes_all = bool(self._rules) and self._rules[0].takes_all

    def by_head(self, listener: str, head: Head) -> Found:
        """Return the number of the frontend, if the head decides."""
        if self.takes_all:
            return 0
        return self._find(listener, head, None, model_known=False)

    def by_model(
        self, listener: str, head: Head, model: str | None, why: UnreadableError | None
    ) -> int | NoMatch:
        """Return the frontend for a body's `model`, by its number; None: `why` is the reason.

        A request without a model that can be read goes to a frontend that does not ask for one.
        """
        found = self._find(listener, head, model, model_known=True)
        if isinstance(found, int):
            return found
        if model is not None:
            return NoMatch(f"{_NO_FRONTEND} (model {shown(model)})")
        if why is None or head.method not in _WITH_BODY:
            return NoMatch(f"{_NO_FRONTEND} (the request has no model)")
        return NoMatch(f"{why.reason}; the frontends here are told apart by `model`", why.status)

    def takers(self, listener: str, head: Head, model: str) -> list[int]:
        """Numbers of the frontends that take requests for `model` which come as this one did.

        That is by the same listener, with the same host and header fields, and to some path of
        OpenAI's interface; the path of this request, which only asks for models, does not count.
        """
        found: list[int] = []
        paths: list[bytes] = []
        for number, rule in enumerate(self._rules):
            if not rule.is_for_api or not rule.meets_but_path(listener, head):
                continue
            if rule.model is not None and not rule.model.match(model):
                continue
            if not any(is_under(rule.path, path) for path in paths):  # else they are taken before
                paths.append(rule.path)
                found.append(number)
        return found

    def _find(self, listener: str, head: Head, model: str | None, model_known: bool) -> Found:
        for number, rule in enumerate(self._rules):
            if not rule.meets(listener, head):
                continue
            if rule.model is None:
                return number
            if not model_known:
                return NEEDS_MODEL
            if model is not None and rule.model.match(model):
                return number
        return NoMatch(_NO_FRONTEND)


@final
class _Rule:
    """Conditions of one frontend."""

    __slots__ = ("_but_path", "_conditions", "is_for_api", "model", "path")

    def __init__(self, match: Match) -> None:
        self.path = match.path.rstrip("/").encode()
        self._but_path = tuple(_conditions(match))
        self._conditions = self._but_path
        if self.path:
            self._conditions = (_path_condition(self.path), *self._but_path)
        # Whether requests to models come here, and not only questions for the list of them.
        in_api = is_under(self.path, _API) or is_under(_API, self.path)
        self.is_for_api = in_api and not is_under(self.path, MODELS)
        self.model = None if match.model is None else re.compile(translate(match.model))

    @property
    def takes_all(self) -> bool:
        """Whether every request meets them."""
        return not self._conditions and self.model is None

    def meets(self, listener: str, head: Head) -> bool:
        """Whether all conditions but the model's are met."""
        return all(condition(listener, head) for condition in self._conditions)

    def meets_but_path(self, listener: str, head: Head) -> bool:
        """Whether all conditions but the model's and the path's are met."""
        return all(condition(listener, head) for condition in self._but_path)


def _conditions(match: Match) -> list[_Condition]:
    conditions: list[_Condition] = []
    if match.listener is not None:
        conditions.append(_listener_condition(match.listener))
    if match.host is not None:
        host = re.compile(translate(match.host.lower()))
        conditions.append(lambda _, head: bool(host.match(host_without_port(head.host or b""))))
    for name, pattern in match.headers.items():
        conditions.append(_header_condition(name.lower().encode(), re.compile(translate(pattern))))
    return conditions


def _listener_condition(wanted: str) -> _Condition:
    return lambda listener, _: listener == wanted


def _path_condition(prefix: bytes) -> _Condition:
    return lambda _, head: is_under(head.target, prefix)


def _header_condition(name: bytes, pattern: re.Pattern[str]) -> _Condition:
    def met(_: str, head: Head) -> bool:
        value = head.get(name)
        return value is not None and pattern.match(value.decode("latin-1")) is not None

    return met


def host_without_port(host: bytes) -> str:
    """`Example.org:8080` -> `example.org`, `[::1]:80` -> `[::1]`."""
    text = host.decode("latin-1").lower()
    return text if text.endswith("]") else text.rpartition(":")[0] or text


def is_under(target: bytes, prefix: bytes) -> bool:
    """Whether a target's path is `prefix` or below it."""
    return target.startswith(prefix) and target[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?")


def shown(model: str) -> str:
    """Model's name for an error or a log: in quotes, escaped, and cut if it is long."""
    return repr(model if len(model) <= _SHOWN else model[:_SHOWN] + "...")
