"""Pick: one request and its response, as the messages of one stream of a data plane tell of them.

The core chooses as soon as the frontend is known: at once where the head decides, else once the
model or the prompt was read. Until then, and while the core holds the request, its body is kept;
after that each part of it is passed on as it comes, as are those of the response.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

from isocline.errors import IsoclineError
from isocline.gateway.access_log import CLIENT_GONE, UNMATCHED, Access
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.actions import FULL, Cause, Reject
from isocline.gateway.core.prompts import Prompt
from isocline.gateway.core.rejections import OVERDUE, QUEUE_FULL
from isocline.gateway.core.request import PLAIN, Profile
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.error_responses import answer
from isocline.gateway.http.grammar import TOO_LARGE, BadMessageError
from isocline.gateway.http.model_reader import ModelReader
from isocline.gateway.http.request_head import RequestHead
from isocline.gateway.http.response_head import ResponseHead
from isocline.gateway.http.retry_after import seconds_of
from isocline.gateway.http.unreadable import UnreadableError
from isocline.gateway.proxy.body_buffer import BodyBuffer, Total
from isocline.gateway.proxy.context_reader import ContextReader
from isocline.gateway.proxy.first_token import FirstToken
from isocline.gateway.proxy.matching import Matcher, NeedsModel, NoMatch
from isocline.gateway.proxy.prompt_reader import (
    LONGEST,
    UNKNOWN_LENGTH,
    may_have_prompt,
    read_prompt,
    session_prompt,
)
from isocline.gateway.proxy.sharing import SharingReader
from isocline.gateway.proxy.token_ratios import TokenRatios
from isocline.gateway.proxy.token_usage import TokenUsage
from isocline.planes.picker import heads, protocol
from isocline.planes.picker.endpoints import Endpoints
from isocline.planes.picker.messages import FULL_DUPLEX_STREAMED, NO_BODY, ONEOF

_SHED, _UNAVAILABLE = 429, 503
_STATE = b"tracestate"
_LAST_EVENT = (b"data: [DONE]", b"data:[DONE]")


@final
class ProtocolError(IsoclineError):
    """A data plane's message that the protocol does not have here."""


class Decider(ABC):
    """Where a pick takes its events: to a core, whose actions come back as calls.

    Attributes:
        clock: Seconds; the core's times are of this clock.
        unix_time: Seconds since 1970, for dates.
        settings: Settings with which its picks begin and end.
        matcher: Conditions of the frontends.
        endpoints: Endpoints of the backends.
        sharing: Reader of priorities and tenants; None: the file has no rule for them.
        token_ratios: Tokens for each byte of text, by model.
        context_reader: Reader of ids and traces; None: neither is read.
    """

    clock: Callable[[], float]
    unix_time: Callable[[], float]
    settings: ProxySettings
    matcher: Matcher
    endpoints: Endpoints
    sharing: SharingReader | None
    token_ratios: TokenRatios
    context_reader: ContextReader | None

    @abstractmethod
    def only(self, head: RequestHead, subset: Iterable[str] | None) -> frozenset[int] | None:
        """Backends that a request may go to; None: all of its frontend."""

    @abstractmethod
    def arrived(self, pick: "Pick", frontend: int) -> None:
        """Pass on a request that has found its frontend; raises BadMessageError."""

    @abstractmethod
    def choice(self, pick: "Pick", backend: int) -> bytes:
        """Answer with a backend, and with the next best ones, in the order of the core's scores."""

    @abstractmethod
    def sent_on(self, number: int, backend: int) -> bool:
        """Pass on that another backend served; False where the frontend has no edge to it."""

    @abstractmethod
    def turned_away(self, number: int, now: float, status: int, wait: float | None) -> None:
        """Pass on a full backend's refusal, which goes to the client."""

    @abstractmethod
    def load(self, backend: int, value: bytes | None) -> None:
        """Pass on a load report in a response, if there is one."""

    @abstractmethod
    def finished(self, number: int, now: float, status: int, usage: Usage | None) -> None:
        """Pass on the end of a response."""

    @abstractmethod
    def cancelled(self, number: int) -> None:
        """Pass on that a request is no longer wanted."""

    @abstractmethod
    def observe(self, access: Access) -> None:
        """Pass a finished request to the observers."""


@final
class Pick:
    """One request, from its head to the end of its response.

    Attributes:
        bridge: Bridge that it began with, or that took it over while it waited.
        number: The core's number of the request; 0 while, or once, it does not know it.
        access: Record for the observers; None until the head has come.
        head: Head of the request; None until it has come, or if it is malformed.
        prompt: Its prompt, if it was read.
        only: Backends it may go to; None: all of its frontend.
        answers: Messages to be sent, in order; whoever sends them takes them out.
        wake: Called when there are answers outside of a call of `receive`.
        refused: Whether the data plane has been told to answer in a backend's place.
        over: Whether all is counted.
    """

    __slots__ = (
        "_asked",
        "_begun",
        "_body",
        "_body_ended",
        "_chosen",
        "_complete",
        "_first_token",
        "_had_state",
        "_last",
        "_listener",
        "_load",
        "_model_reader",
        "_response_mode",
        "_subset",
        "_tokens",
        "_trailers",
        "access",
        "answers",
        "bridge",
        "head",
        "number",
        "only",
        "over",
        "prompt",
        "refused",
        "wake",
    )

    def __init__(
        self, bridge: "Decider", listener: str, bodies: Total, wake: Callable[[], None]
    ) -> None:
        """Initialise; bodies that are kept are counted in `bodies`."""
        self.bridge = bridge
        self.wake = wake
        self.number = 0
        self.access: Access | None = None
        self.head: RequestHead | None = None
        self.prompt: Prompt | None = None
        self.only: frozenset[int] | None = None
        self.answers: list[bytes] = []
        self.refused = self.over = False
        self._asked = False  # the head has come
        self._listener = listener
        self._subset: list[str] | None = None
        self._had_state = False  # the request has a field tracestate
        self._body = BodyBuffer(bodies)
        self._body_ended = self._trailers = self._complete = False
        self._chosen = self._begun = False
        self._model_reader: ModelReader | None = None
        self._response_mode = FULL_DUPLEX_STREAMED
        self._tokens: TokenUsage | None = None
        self._first_token: FirstToken | None = None
        self._load: bytes | None = None  # report of the backend once the request is done
        self._last = b""  # part of the response

    @property
    def waits(self) -> bool:
        """Whether the core holds it, so that answers may come at any time."""
        return bool(self.number) and not self._chosen

    # Messages of the data plane

    def receive(self, message: Any) -> None:
        """Handle a ProcessingRequest; raises ProtocolError."""
        kind = message.WhichOneof(ONEOF)
        if kind is None:
            raise ProtocolError("a message of no kind that this picker knows")
        if not self._asked and kind != "request_headers":
            raise ProtocolError(f"{kind} before request_headers; set request_header_mode: SEND")
        _TAKES[kind](self, getattr(message, kind), message)

    def gone(self) -> None:
        """Handle the end of the stream: nothing more comes, and nothing can be sent."""
        if self.over or self.access is None:
            self.over = True
            return
        if self._begun and (self._response_mode == NO_BODY or self._after_last_event()):
            self._done()
            return
        number, self.number = self.number, 0
        if not self._begun:
            self.access.status = CLIENT_GONE
        self.access.reason = "the data plane ended the stream"
        if number:
            self.bridge.cancelled(number)
        self._end()

    # Actions of the core

    def choose(self, backend: int, attempt: int) -> None:
        """Answer with the endpoint of a backend, and pass on what has come of the body."""
        access, bridge = self.access, self.bridge
        assert access is not None
        access.backend, access.attempts, access.sent = backend, attempt, bridge.clock()
        self._chosen = True
        self.answers.append(bridge.choice(self, backend))
        data = self._body.read()
        if data or self._body_ended:
            self.answers += protocol.request_body(data, self._body_ended)
        if self._trailers:
            self.answers.append(protocol.REQUEST_TRAILERS)
        self._body.drop()
        self.wake()

    def reject(self, action: Reject) -> None:
        """Answer in a backend's place.

        Where the core gives up on a request that waited, or that there is no room for, the
        protocol has 429: the pool is up, and has too much to do.
        """
        self.number = 0
        too_many = QUEUE_FULL in action.reason or OVERDUE in action.reason
        self._refuse(_SHED if too_many else action.status, action.reason, action.retry_after)
        self.wake()

    def refuse(self, status: int, reason: str) -> None:
        """Answer a request that waits, and that the core does not know any more."""
        self._refuse(status, reason)
        self.wake()

    def moved(self, bridge: "Decider", frontend: int) -> None:
        """Wait at a frontend of a later bridge from now on."""
        assert self.head is not None
        assert self.access is not None
        self.bridge = bridge
        self.number = 0
        self.access.frontend, self.access.candidates = frontend, ()
        self.only = bridge.only(self.head, self._subset)
        if not bridge.settings.prompts:
            self.prompt = None

    # Steps of the request

    def _request_headers(self, headers: Any, message: Any) -> None:
        if self._asked:
            raise ProtocolError("request_headers twice in one stream")
        self._asked = True
        if message.observability_mode:
            raise ProtocolError("observability_mode takes no answers; set it to false")
        body_is_sent = True
        if message.HasField("protocol_config"):
            config = message.protocol_config
            _require_mode("request", config.request_body_mode)
            _require_mode("response", config.response_body_mode)
            self._response_mode = config.response_body_mode
            body_is_sent = config.request_body_mode != NO_BODY
        self._subset = protocol.subset_of(message)
        now, sizes = self.bridge.clock(), self.bridge.settings.sizes
        try:
            head = heads.request_head(headers, sizes)
            if head.length is not None and head.length > max(sizes.body, UNKNOWN_LENGTH):
                raise _too_long(sizes.body)
        except BadMessageError as error:
            self.access = Access("unknown", b"", b"", b"", now)
            self._refuse(error.status, error.reason)
            return
        self.head = head
        self.access = Access(heads.peer_of(head), head.method, head.target, head.host or b"", now)
        self._read_context(head)
        self._complete = headers.end_of_stream or not body_is_sent
        self._decide()

    def _read_context(self, head: RequestHead) -> None:
        """Read the request's id and trace, if that is asked for."""
        reader, access = self.bridge.context_reader, self.access
        if reader is None or access is None:
            return
        self._had_state = head.get(_STATE) is not None
        secure = head.forwarded.get(b"x-forwarded-proto") == b"https"
        access.request_id, access.trace = reader.read(head, secure)
        if access.trace is not None:
            access.trace.version = ""  # the gateway does not say

    def context_for(self, backend: int) -> tuple[list[tuple[bytes, bytes]], list[str]]:
        """Begin the span of an attempt, if the request is recorded.

        Returns:
            Fields of id and trace that its backend is to get beyond those of the request, and
            names of those that it is not to get.
        """
        reader, head, access = self.bridge.context_reader, self.head, self.access
        if reader is None or head is None or access is None:
            return [], []
        own, trace = head.own, access.trace
        if trace is not None and trace.sampled:
            own += trace.began(reader.new_span(), backend, self.bridge.clock())
        pairs = (line.partition(b": ") for line in own.split(b"\r\n") if line)
        added = [(name, value) for name, _, value in pairs]
        kept = head.get(_STATE) is not None or any(name == _STATE for name, _ in added)
        return added, [_STATE.decode()] if self._had_state and not kept else []

    def _request_body(self, body: Any, _: Any) -> None:
        data, end = body.body, body.end_of_stream
        if self.refused or self.access is None:
            return
        self.access.received += len(data)
        if self._chosen:
            self.answers += protocol.request_body(data, end)
            return
        sizes = self.bridge.settings.sizes
        self._body.add(data)
        self._body_ended = self._complete = end
        if self._body.size > sizes.body:
            self._abandon(TOO_LARGE, _too_long(sizes.body).reason)
        elif self._body.in_all > sizes.bodies:
            reason = f"the bodies of waiting requests hold more than {sizes.bodies} bytes"
            self._abandon(_UNAVAILABLE, f"{reason}; try again later")
        elif not self.number:
            self._decide()

    def _request_trailers(self, _: Any, __: Any) -> None:
        if self._chosen:
            self.answers.append(protocol.REQUEST_TRAILERS)
            return
        self._trailers = self._complete = True
        if not (self.refused or self.number):
            self._decide()

    def _decide(self) -> None:
        """Pass the request to the core, or refuse it, or wait for more of its body."""
        assert self.head is not None
        found = self._find(self.head)
        if isinstance(found, int) and self.bridge.settings.prompts:
            found = found if self._read_prompt(self.head) else None
        if found is None:
            return
        if isinstance(found, NoMatch):
            self._refuse(found.status, found.reason)
            return
        assert self.access is not None
        self.access.frontend = found
        self.only = self.bridge.only(self.head, self._subset)
        try:
            self.bridge.arrived(self, found)
        except BadMessageError as error:
            self._refuse(error.status, error.reason)

    def profile(self) -> Profile:
        """What the core has to know of the request; raises BadMessageError."""
        assert self.head is not None
        assert self.access is not None
        sharing = self.bridge.sharing
        if sharing is not None:
            read = sharing.profile(self.head, self.access.key, self.prompt)
            self.access.priority, self.access.tenant = read.priority, read.tenant
            return Profile(read.priority, read.tenant, self.prompt, self.only)
        if self.prompt is None and self.only is None:
            return PLAIN
        return Profile(prompt=self.prompt, only=self.only)

    def _find(self, head: RequestHead) -> int | NoMatch | None:
        """Return the frontend's number, the reason for none, or None if more must be read."""
        matcher = self.bridge.matcher
        if self._model_reader is None:
            found = matcher.by_head(self._listener, head)
            if not isinstance(found, NeedsModel):
                return found
        try:
            if self._model_reader is None:
                self._model_reader = ModelReader(head, self.bridge.settings.sizes)
            if not self._complete:
                self._model_reader.feed(self._body.unread())
                return None
            model = self._model_reader.end(self._body.unread())
        except UnreadableError as error:
            return matcher.by_model(self._listener, head, None, error)
        matched = matcher.by_model(self._listener, head, model, None)
        if isinstance(matched, int) and self.access is not None:
            self.access.model = model
        return matched

    def _read_prompt(self, head: RequestHead) -> bool:
        """Read the prompt, if there may be one; False as long as that needs more of the body."""
        settings = self.bridge.settings
        if settings.session:
            value = head.get(settings.session)
            if value is not None:
                self.prompt = session_prompt(value, head.length or UNKNOWN_LENGTH)
                return True
        if not may_have_prompt(head):
            return True
        if not self._complete and self._body.size < LONGEST:
            return False
        length = self._body.size if self._complete else head.length or 0
        self.prompt = read_prompt(self._body.read(), length, settings.token_block, settings.homes)
        return True

    # Steps of the response

    def _response_headers(self, headers: Any, message: Any) -> None:
        if not self._chosen or self.access is None or self.over:
            self.answers.append(protocol.RESPONSE_HEADERS)  # the data plane's own answer
            return
        self._settle(message)
        facts, bridge, access = heads.response_facts(headers), self.bridge, self.access
        now = bridge.clock()
        self._begun = True
        access.status, access.first_byte = facts.status, now
        if facts.status in FULL:
            wait = facts.retry_after and seconds_of(facts.retry_after, bridge.unix_time())
            bridge.turned_away(self.number, now, facts.status, wait or None)
        if facts.sized:
            self._load = facts.load
        else:
            bridge.load(access.backend, facts.load)
        if bridge.settings.tokens:
            self._tokens = TokenUsage(facts.stream)
        if facts.stream:
            self._first_token = FirstToken(chunked=False)
        if bridge.settings.picker.conformance:
            served = protocol.said_to_have_served(message)
            self.answers.append(protocol.response_head([(protocol.TEST_SERVED, served)]))
        else:
            self.answers.append(protocol.RESPONSE_HEADERS)
        if headers.end_of_stream:
            self._done()

    def _response_body(self, body: Any, _: Any) -> None:
        data, end = body.body, body.end_of_stream
        self.answers += protocol.response_body(data, end)
        if self.over or self.access is None or not self._begun:
            return
        self._last = data or self._last
        self.access.returned += len(data)
        if self._tokens is not None:
            self._tokens.feed(data)
        if self._first_token is not None and self._first_token.feed(data):
            self.access.first_token = self.bridge.clock()
            self._first_token = None
        if end:
            self._done()

    def _response_trailers(self, trailers: Any, _: Any) -> None:
        self.answers.append(protocol.RESPONSE_TRAILERS)
        if self._begun and not self.over:
            self._load = heads.load_in(trailers) or self._load
            self._done()

    def _settle(self, message: Any) -> None:
        """Count the request where the data plane says that it was served."""
        served = protocol.served_of(message)
        access = self.access
        if served is None or access is None:
            return
        backend = self.bridge.endpoints.number(served)
        if backend is None or backend == access.backend:
            return
        access.failures += ((access.backend, Cause.RESET),)
        if self.bridge.sent_on(self.number, backend):
            access.backend = backend
            if access.trace is not None and access.trace.attempts:
                access.trace.attempts[-1].backend = backend  # all endpoints get the same fields
            access.attempts += 1

    def _done(self) -> None:
        """Count a whole response."""
        assert self.access is not None
        access, bridge = self.access, self.bridge
        number, self.number = self.number, 0
        access.usage = self._usage()
        bridge.finished(number, bridge.clock(), access.status, access.usage)
        if self._load is not None:
            bridge.load(access.backend, self._load)
        self._end()

    def _usage(self) -> Usage | None:
        if self._tokens is None or self.head is None:
            return None
        if self.head.method != b"POST":
            return Usage(0, 0)
        return self._tokens.usage(self.bridge.token_ratios)

    def _after_last_event(self) -> bool:
        """Whether this is a stream of events after its last one; many clients leave then."""
        return self._last.rstrip().endswith(_LAST_EVENT)

    # Ends

    def _abandon(self, status: int, reason: str) -> None:
        """Withdraw the request from the core, if it is there, and refuse it."""
        number, self.number = self.number, 0
        if number:
            self.bridge.cancelled(number)
        self._refuse(status, reason)

    def _refuse(self, status: int, reason: str, retry_after: float | None = None) -> None:
        """Have the data plane answer with the router's own words."""
        assert self.access is not None
        self.refused = True
        whole = answer(status, reason, persistent=True, retry_after=retry_after)
        end = whole.index(b"\r\n\r\n") + 4
        fields = ResponseHead(whole[:end], self.bridge.settings.sizes.header_count).fields
        named = [(name, value) for name, value, _, _ in fields]
        self.answers.append(protocol.refusal(status, named, whole[end:], "isocline_picker"))
        self.access.status, self.access.reason = status, reason
        self.access.returned += len(whole) - end
        self._end()

    def _end(self) -> None:
        assert self.access is not None
        self.over = True
        self._body.drop()
        self.access.ended = self.bridge.clock()
        if self.access.frontend == UNMATCHED:
            self.access.backend = UNMATCHED
        self.bridge.observe(self.access)


_TAKES: Mapping[str, Callable[[Pick, Any, Any], None]] = {
    "request_headers": Pick._request_headers,
    "request_body": Pick._request_body,
    "request_trailers": Pick._request_trailers,
    "response_headers": Pick._response_headers,
    "response_body": Pick._response_body,
    "response_trailers": Pick._response_trailers,
}


def _require_mode(of: str, mode: int) -> None:
    if mode not in (NO_BODY, FULL_DUPLEX_STREAMED):
        raise ProtocolError(
            f"{of}_body_mode is number {mode}; the endpoint picker protocol has "
            "FULL_DUPLEX_STREAMED, or NONE where no body is read"
        )


def _too_long(most: int) -> BadMessageError:
    return BadMessageError(f"the body is longer than {most} bytes", TOO_LARGE)
