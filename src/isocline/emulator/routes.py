"""Routes: the answer to each request."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from isocline.emulator import replies
from isocline.emulator.answer import Answer, StreamedAnswer
from isocline.emulator.ask import ApiError, read_ask
from isocline.errors import IsoclineError
from isocline.model.systemfile.one_curve import read_curve

if TYPE_CHECKING:
    from isocline.emulator.http import Connection

Handler = Callable[["Connection", bytes], Answer | None]
"""Answers at once and returns None, or returns the answer that is under way."""


def route(connection: "Connection", method: str, target: bytes, body: bytes) -> Answer | None:
    """Answer a request, now or later."""
    path = target.partition(b"?")[0].decode("latin-1")
    handlers = _ROUTES.get(path)
    try:
        if handlers is None:
            raise ApiError(404, f"{path}: there is no such thing here", "NotFoundError")
        handler = handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allow = ", ".join(handlers)
            raise ApiError(405, f"{path}: {method} is not for it; use {allow}", allow=allow)
        return handler(connection, body)
    except ApiError as problem:
        connection.refuse(problem)
    except IsoclineError as problem:
        connection.refuse(ApiError(400, str(problem)))
    return None


def _chat(connection: "Connection", body: bytes) -> Answer | None:
    return _complete(connection, body, chat=True)


def _completion(connection: "Connection", body: bytes) -> Answer | None:
    return _complete(connection, body, chat=False)


def _complete(connection: "Connection", body: bytes, chat: bool) -> Answer | None:
    engine = connection.engine
    faults, happens = engine.faults, engine.random.random
    ask = read_ask(body, chat, engine.settings)
    if happens() < faults.error:
        raise ApiError(500, "this error was asked for", "InternalServerError")
    if happens() < faults.garbage:
        connection.write(b"\x16\x03" + engine.random.randbytes(510))  # no HTTP begins like this
        connection.close()
        return None
    if happens() < faults.hang:
        return None
    kind = StreamedAnswer if ask.stream else Answer
    answer = kind(engine, ask, connection, cut=happens() < faults.reset)
    engine.submit(answer)
    if isinstance(answer, StreamedAnswer):
        answer.begin()
    return answer


def _models(connection: "Connection", _: bytes) -> None:
    names = connection.engine.settings.listed_models
    connection.reply(200, replies.JSON, replies.models(names, connection.engine.started))


def _health(connection: "Connection", _: bytes) -> None:
    connection.reply(503 if connection.engine.faults.sick else 200, replies.JSON, b"")


def _metrics(connection: "Connection", _: bytes) -> None:
    metrics = connection.engine.metrics
    connection.reply(200, metrics.content_type, metrics.text())


def _faults(connection: "Connection", _: bytes) -> None:
    said = connection.engine.faults.model_dump_json()
    connection.reply(200, replies.JSON, said.encode())


def _set_faults(connection: "Connection", body: bytes) -> None:
    try:
        changes = json.loads(body)
    except ValueError:
        raise ApiError(400, 'the body is not JSON; give faults as {"error": 0.1}') from None
    engine = connection.engine
    engine.set_faults(engine.faults.with_these(changes))
    _faults(connection, b"")


def _curve(connection: "Connection", _: bytes) -> None:
    curve = connection.engine.curve
    said = json.dumps({"type": curve.type} | curve.parameters())
    connection.reply(200, replies.JSON, said.encode())


def _set_curve(connection: "Connection", body: bytes) -> None:
    connection.engine.set_curve(read_curve(body.decode(errors="replace"), place="the body"))
    _curve(connection, b"")


_ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/chat/completions": {"POST": _chat},
    "/v1/completions": {"POST": _completion},
    "/v1/models": {"GET": _models},
    "/health": {"GET": _health},
    "/metrics": {"GET": _metrics},
    "/faults": {"GET": _faults, "POST": _set_faults},
    "/curve": {"GET": _curve, "PUT": _set_curve},
}
