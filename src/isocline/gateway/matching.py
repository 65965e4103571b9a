"""Which frontend takes a request: the first, in the order given, all of whose conditions it meets.

A frontend of the compatibility graph arises here: requests for one model are a frontend, and the
backends that serve the model are its edges.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from typing import Protocol, final

from isocline.gateway.settings import FrontendRule, Match


class Head(Protocol):
    """What matching reads of a request's head."""

    host: bytes | None
    target: bytes

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field; `name` in lower case."""


@final
@dataclass(frozen=True, slots=True)
class NeedsModel:
    """The head alone does not tell: the body's `model` field does."""


@final
@dataclass(frozen=True, slots=True)
class NoMatch:
    """No frontend takes it."""

    reason: str


NEEDS_MODEL = NeedsModel()
Found = int | NeedsModel | NoMatch
_NO_FRONTEND = "no frontend takes this listener, host, path, headers and model"
_Condition = Callable[[str, Head], bool]


@final
class Matcher:
    """The frontends' conditions, compiled.

    Attributes:
        takes_all: The first frontend takes every request: the usual case, which costs nothing.
    """

    def __init__(self, frontends: tuple[FrontendRule, ...]) -> None:
        self._rules = tuple(_Rule(rule.match) for rule in frontends)
        self.takes_all = bool(self._rules) and self._rules[0].takes_all

    def by_head(self, listener: str, head: Head) -> Found:
        """The number of the frontend, if the head tells it."""
        if self.takes_all:
            return 0
        return self._find(listener, head, None, model_known=False)

    def by_model(self, listener: str, head: Head, model: str | None, why: str) -> int | NoMatch:
        """The number of the frontend, `model` being that of the body; None: `why` there is none."""
        found = self._find(listener, head, model, model_known=True)
        if isinstance(found, int):
            return found
        what = f"model {model!r}" if model is not None else why
        return NoMatch(f"{_NO_FRONTEND} ({what})")

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
    """One frontend's conditions."""

    __slots__ = ("_conditions", "model")

    def __init__(self, match: Match) -> None:
        self._conditions = tuple(_conditions(match))
        self.model = None if match.model is None else re.compile(translate(match.model))

    @property
    def takes_all(self) -> bool:
        """Whether every request meets it."""
        return not self._conditions and self.model is None

    def meets(self, listener: str, head: Head) -> bool:
        """Whether all conditions but the model's are met."""
        return all(condition(listener, head) for condition in self._conditions)


def _conditions(match: Match) -> list[_Condition]:
    conditions: list[_Condition] = []
    if match.listener is not None:
        conditions.append(_listener_condition(match.listener))
    if match.host is not None:
        host = re.compile(translate(match.host.lower()))
        conditions.append(lambda _, head: bool(host.match(host_without_port(head.host or b""))))
    if match.path not in ("", "/"):
        prefix = match.path.rstrip("/").encode()
        conditions.append(lambda _, head: is_under(head.target, prefix))
    for name, pattern in match.headers.items():
        conditions.append(_header_condition(name.lower().encode(), re.compile(translate(pattern))))
    return conditions


def _listener_condition(wanted: str) -> _Condition:
    return lambda listener, _: listener == wanted


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


# Strings whole, so that brackets and words in them count for nothing.
_PART = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)


def model_of(body: bytes, complete: bool) -> tuple[str | None, str]:
    """(the top-level `model` of a JSON body, or None; why there is none).

    A complete body is read as every JSON reader does: of two equal names the last counts. Of a
    part, the first `model` is taken.
    """
    if not complete:
        return _model_of_part(body)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None, "the body is not JSON"
    model = document.get("model") if isinstance(document, dict) else None
    if isinstance(model, str):
        return model, ""
    return None, "the body is not an object with a text field `model`"


def _model_of_part(body: bytes) -> tuple[str | None, str]:
    depth = 0
    parts: list[bytes] = []  # the last three at depth 1
    for match in _PART.finditer(body):
        part = match[0]
        if depth == 1 and parts[-2:] == [b'"model"', b":"]:
            return _text(part)
        if part in b"{[":
            depth += 1
        elif part in b"}]":
            depth -= 1
        parts = [*parts[-1:], part] if depth == 1 else []
    return None, "no `model` in the part of the body that is read"


def _text(part: bytes) -> tuple[str | None, str]:
    try:
        value = json.loads(part)
    except ValueError:
        return None, "`model` is not text"
    return (value, "") if isinstance(value, str) else (None, "`model` is not text")
