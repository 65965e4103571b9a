"""Lookup of a request's frontend while a part of the body may still be on its way.

Where the body's model decides, the whole body is read first: of two fields `model` the last counts,
as for the backends, so that none can be hidden behind another, and the answer depends neither on
the order of the fields nor on how the body is cut on its way. A body that cannot have a model is
decided on at once.
"""

from isocline.gateway.access_log import UNMATCHED
from isocline.gateway.http.error_responses import CONTINUE
from isocline.gateway.http.model_reader import ModelReader
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.unreadable import UnreadableError
from isocline.gateway.proxy.exchange import Exchange
from isocline.gateway.proxy.matching import NeedsModel, NoMatch
from isocline.gateway.proxy.model_list import Directory, Models, model_list_answer, wants_models
from isocline.gateway.proxy.prompt_reader import (
    LONGEST,
    UNKNOWN_LENGTH,
    may_have_prompt,
    read_prompt,
    session_prompt,
)
from isocline.gateway.proxy.usage_request import asking, may_ask

_UNAVAILABLE = 503
_SOON = 1.0  # s, then what waits may have been sent


def find_frontend(exchange: Exchange) -> None:
    """Find the frontend, unless that is done, from the parts of the request so far.

    The request is then the decider's, or has an answer; where more of its body is needed, nothing
    happens yet.
    """
    if exchange.access.frontend == UNMATCHED:
        directory = exchange.decider.directory
        if directory is not None and wants_models(exchange.head):
            _list_models(exchange, directory)
        else:
            _route(exchange)


def _list_models(exchange: Exchange, directory: Directory) -> None:
    """Answer with the list of models, now or once the backends have sent theirs.

    Without any, the backends are no OpenAI-compatible servers, and the request is routed as any
    other.
    """
    decider, client, head = exchange.decider, exchange.client, exchange.head

    def takers(model: str) -> list[int]:
        return decider.matcher.takers(client.listener, head, model)

    def known(models: Models) -> None:
        if exchange.over:
            return  # the client has gone, or its time is over
        if models:
            exchange.reply(model_list_answer(head, models, client.cors, client.stays(head)))
        else:
            _route(exchange)

    directory.ask(takers, known)


def _route(exchange: Exchange) -> None:
    """Pass the request to the decider, or reject it, or wait for more of its body."""
    decider, head = exchange.decider, exchange.head
    settings = decider.settings
    at_once = decider.matcher.takes_all and not settings.residency
    found = 0 if at_once else _find(exchange)
    if settings.ask_usage and isinstance(found, int) and not _ask_usage(exchange):
        found = None
    if settings.prompts and isinstance(found, int) and not _read_prompt(exchange):
        found = None
    if found is None:
        if head.expects:  # a client that waits to be asked for the body is asked
            head.expects = False
            exchange.client.write(CONTINUE)
        exchange.due = decider.clock() + decider.times.idle
    elif isinstance(found, NoMatch):
        soon = _SOON if found.status == _UNAVAILABLE else None
        exchange.reply_error(found.status, found.reason, soon)
    else:
        exchange.access.frontend = found
        exchange.due = exchange.deadline
        decider.arrived(exchange, found)


def _find(exchange: Exchange) -> int | NoMatch | None:
    """Return the frontend's number, the reason for none, or None if more of the body is needed."""
    matcher, sizes = exchange.decider.matcher, exchange.decider.sizes
    listener, head, body = exchange.client.listener, exchange.head, exchange.body
    if exchange.model_reader is None:
        found = matcher.by_head(listener, head)
        wants_model = exchange.decider.settings.residency and may_name_model(head)
        if not isinstance(found, NeedsModel) and not (wants_model and isinstance(found, int)):
            return found
    try:
        if exchange.model_reader is None:
            exchange.model_reader = ModelReader(head, sizes)
        if exchange.complete:
            model = exchange.model_reader.end(body.unread())
            matched = matcher.by_model(listener, head, model, None)
            if isinstance(matched, int):
                exchange.access.model = model or ""
            return matched
        exchange.model_reader.feed(body.unread())
    except UnreadableError as error:
        return matcher.by_model(listener, head, None, error)
    if body.in_all > sizes.bodies:
        reason = f"the bodies of waiting requests hold more than {sizes.bodies} bytes"
        return NoMatch(f"{reason}; try again later", _UNAVAILABLE)
    return None


def may_name_model(head: RequestHead) -> bool:
    """Whether the body of a request may name a model."""
    return head.has_body and head.method == b"POST"


def _read_prompt(exchange: Exchange) -> bool:
    """Read the prompt, if there may be one; False as long as that needs more of the body."""
    head, session = exchange.head, exchange.decider.settings.session
    if session:
        value = head.get(session)
        if value is not None:
            exchange.prompt = session_prompt(value, head.length or UNKNOWN_LENGTH)
            return True
    if not may_have_prompt(head):
        return True
    body = exchange.body
    if not exchange.complete and body.size < LONGEST:
        return False
    settings = exchange.decider.settings
    exchange.prompt = read_prompt(
        body.read(), head.length or 0, settings.token_block, settings.homes
    )
    return True


def _ask_usage(exchange: Exchange) -> bool:
    """Ask for usage, if the client did not; False as long as that needs more of the body."""
    head, body = exchange.head, exchange.body
    if not may_ask(head, exchange.decider.sizes.replay):
        return True
    if not exchange.complete:
        return False
    asked = asking(body.read())
    if asked is not None:
        body.replace(asked)
        head.length = len(asked)
        exchange.usage_asked = True
    return True
