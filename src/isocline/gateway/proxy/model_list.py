"""`GET /v1/models` and `/v1/models/ID`, answered for all backends that a client may use."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

from isocline.gateway.http.error_responses import Answer, answer, document
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.proxy.matching import MODELS, is_under, shown

OK, NOT_FOUND = 200, 404
Models = list[dict[str, Any]]


class Directory(Protocol):
    """Lists of models as the proxy asks for them."""

    def ask(self, takers: Callable[[str], Sequence[int]], then: Callable[[Models], None]) -> None:
        """Call `then`, at once or later, with the models that these frontends give."""


def wants_models(head: RequestHead) -> bool:
    """Whether a request is for models; almost all are not, which takes 60 ns."""
    return (
        head.target.startswith(MODELS)
        and is_under(head.target, MODELS)
        and head.method in (b"GET", b"HEAD")
        and not head.has_body
    )


def model_list_answer(head: RequestHead, models: Models, fields: bytes, persistent: bool) -> Answer:
    """Answer a request for the list, or for one of its entries.

    Args:
        head: Head of the request.
        models: Models that the client may use.
        fields: Further header lines.
        persistent: Whether the client connection stays open.
    """
    bodiless = head.method == b"HEAD"
    path = head.target.partition(b"?")[0].removeprefix(MODELS).removeprefix(b"/")
    found: object = {"object": "list", "data": models}
    if path:
        name = unquote(path.decode("latin-1"))
        found = next((model for model in models if model["id"] == name), None)
        if found is None:
            reason = f"no backend has the model {shown(name)}; GET /v1/models lists those there are"
            data = answer(
                NOT_FOUND, reason, persistent=persistent, bodiless=bodiless, fields=fields
            )
            return NOT_FOUND, data, reason
    body = json.dumps(found).encode()
    return OK, document(OK, body, fields, persistent=persistent, bodiless=bodiless), ""
