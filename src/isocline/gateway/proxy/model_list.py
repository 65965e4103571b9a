"""`GET /v1/models` and `/v1/models/ID`, answered for all backends that a client may use."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from isocline.gateway.matching import MODELS, is_under, shown
from isocline.gateway.proxy.answers import answer, document
from isocline.gateway.proxy.request_head import RequestHead

if TYPE_CHECKING:
    from isocline.gateway.proxy.exchange import Exchange

OK, NOT_FOUND = 200, 404
Models = list[dict[str, Any]]


class Directory(Protocol):
    """Knows which models the backends have."""

    def ask(self, takers: Callable[[str], Sequence[int]], then: Callable[[Models], None]) -> None:
        """Call `then`, at once or later, with the models that these frontends give."""


def wants_models(head: RequestHead) -> bool:
    """Whether it is a question for models; almost all are not, which costs 60 ns."""
    return (
        head.target.startswith(MODELS)
        and is_under(head.target, MODELS)
        and head.method in (b"GET", b"HEAD")
        and not head.has_body
    )


def list_models(exchange: "Exchange", directory: Directory) -> None:
    """Answer, now or once the backends have said what they have.

    Where none of them says so, they are no OpenAI-compatible servers: the request is routed as any
    other is.
    """
    matcher, listener = exchange.router.matcher, exchange.downstream.listener
    head = exchange.head

    def takers(model: str) -> list[int]:
        return matcher.takers(listener, head, model)

    def then(models: Models) -> None:
        if exchange.downstream.exchange is not exchange:
            return  # the client has gone, or its time is over
        if models:
            _answer(exchange, models)
        else:
            exchange.route()

    directory.ask(takers, then)


def _answer(exchange: "Exchange", models: Models) -> None:
    head, downstream = exchange.head, exchange.downstream
    persistent, bodiless = downstream.stays(head), head.method == b"HEAD"
    path = head.target.partition(b"?")[0].removeprefix(MODELS).removeprefix(b"/")
    told: object = {"object": "list", "data": models}
    if path:
        name = unquote(path.decode("latin-1"))
        told = next((model for model in models if model["id"] == name), None)
        if told is None:
            reason = f"no backend has the model {shown(name)}; GET /v1/models lists those there are"
            data = answer(
                NOT_FOUND, reason, persistent=persistent, bodiless=bodiless, fields=downstream.cors
            )
            exchange.reply(NOT_FOUND, data, persistent, reason)
            return
    body = json.dumps(told).encode()
    data = document(OK, body, downstream.cors, persistent=persistent, bodiless=bodiless)
    exchange.reply(OK, data, persistent)
