"""Before a sweep: which model there is, whether the server answers, and how fast it does alone."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import final
from urllib.parse import urlsplit, urlunsplit

from isocline.errors import MeasureError
from isocline.event_loop.clock import Clock
from isocline.loadgen.connection import Connection, InFlight, failure_of
from isocline.loadgen.settings import LoadSettings
from isocline.loadgen.target import Target
from isocline.sweep.requests import Request

_TRIES = 3
_MOST_BODY = 1 << 20  # bytes of a list of models
_NAMED = 8  # models in a message
_WAIT, _LONGEST_WAIT = 1.0, 3600.0  # s after a server said that it has too much to do

Make = Callable[[float, Callable[[Request], None]], Request]
Pause = Callable[[float], Awaitable[None]]


async def ask(target: Target, make: Make, timeout: float, clock: Clock) -> Request:
    """Send one request on a connection of its own; returns it once it is over."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def ended(_: Request) -> None:
        if not over.done():
            over.set_result(None)

    request = make(clock.now(), ended)
    made: Connection | None = None
    try:
        async with asyncio.timeout(timeout):
            _, made = await loop.create_connection(
                lambda: Connection(_Alone(), clock.now), target.host, target.port, ssl=target.tls
            )
            made.carry(request)
            await over
    except TimeoutError:
        request.failed("timeout")
    except OSError as error:
        request.failed(failure_of(error))
    finally:
        if made is not None:
            made.abort()
    return request


@final
class _Alone:
    """Owner of a connection for one request."""

    def free(self, connection: Connection) -> None:
        """It is closed by who asked."""

    def gone(self, connection: Connection) -> None:
        """Its request has failed, or is over."""

    def stale(self, flight: InFlight) -> None:
        flight.failed("closed without an answer")  # never: it carries its first request


async def find_model(settings: LoadSettings, timeout: float, clock: Clock) -> str:
    """The one model that the server lists.

    Raises:
        MeasureError: There is no list, or not one model in it.
    """
    url = _models_url(settings.url)
    target = Target(replace(settings, url=url))

    def make(due: float, ended: Callable[[Request], None]) -> Request:
        return Request(target.request("", 1), due, ended, kept=_MOST_BODY)

    answer = await ask(target, make, timeout, clock)
    if answer.error:
        raise MeasureError(
            f"{said(url, answer)} The server's models could not be listed; give --model NAME if "
            "it is up"
        )
    try:
        names = [str(one["id"]) for one in json.loads(answer.body)["data"]]
    except (ValueError, TypeError, KeyError):
        names = []
    if not names:
        raise MeasureError(f"{url} lists no model; give --model NAME")
    if len(names) > 1:
        known = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        raise MeasureError(f"{url} lists {len(names)} models; give --model with one of: {known}")
    return names[0]


def _models_url(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for end in ("/chat/completions", "/completions"):
        path = path.removesuffix(end)
    return urlunsplit(parts._replace(path=f"{path or '/v1'}/models", query=""))


async def probe(
    url: str, target: Target, make: Make, timeout: float, clock: Clock, pause: Pause
) -> Request:
    """Send one request, some times if the server has too much to do; returns one that succeeded.

    Raises:
        MeasureError: None succeeded.
    """
    for tries in range(1, _TRIES + 1):
        answer = await ask(target, make, timeout, clock)
        if not answer.error:
            return answer
        if not answer.throttled or tries == _TRIES:
            break
        await pause(wait_of(answer))
    raise MeasureError(said(url, answer))


def wait_of(answer: Request) -> float:
    """Seconds to wait after an answer, as its Retry-After says (RFC 9110, Section 10.2.3)."""
    try:
        return min(max(float(answer.retry_after), _WAIT), _LONGEST_WAIT)
    except ValueError:  # a date, or nothing
        return _WAIT


_REMEDIES = {
    401: "Give a key with --key-env or --key-file.",
    403: "Give a key with --key-env or --key-file.",
    404: "Is the path right, and the model's name?",
    405: "Does the path take this kind of request?",
    429: "It has too much to do, or this key's limit is used up; measure when it is idle.",
    503: "It has too much to do, or is not ready yet; measure when it is idle.",
}
_FAILURES = {
    "refused": "Connections are refused; is the server up, and is this its port?",
    "unknown host": "The host's name is unknown.",
    "no TLS": "TLS failed; is it http, or is the certificate not trusted?",
    "no connection": "No connection could be made; is the address reachable?",
    "not HTTP": "The answer is not HTTP; is this the server's port?",
    "reset": "The connection was reset before an answer; is it https?",
    "closed without an answer": "The connection was closed without an answer; is it https?",
    "timeout": "There was no answer in time; give a longer --timeout or --limit, or fewer "
    "--output-tokens.",
    "cut off": "The answer ended amid its body.",
    "error in the stream": "The stream held an error.",
}


def said(url: str, answer: Request) -> str:
    """What a failed request's answer was, and what may help."""
    if not answer.status or answer.status < 300:
        return f"{url}: {_FAILURES.get(answer.error, answer.error)}"
    retry = answer.retry_after.decode("latin-1")
    words = [f"{url}: the answer has status {answer.status}"]
    if retry:
        words.append(f" (Retry-After {retry})")
    text = answer.text.rstrip()
    words.append(f": {text}" if text else ".")
    remedy = _REMEDIES.get(answer.status, "")
    if 300 <= answer.status < 400:
        remedy = "It is a redirect; give the address that it leads to."
    if remedy and not words[-1].endswith((".", "!", "?")):
        words.append(".")  # the server's own words need not be a sentence
    return "".join(words) + (f" {remedy}" if remedy else "")
