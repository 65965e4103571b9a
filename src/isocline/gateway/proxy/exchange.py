"""Exchange: one request and its response, between a client, the core and backends."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import final

from isocline.gateway.access_log import CLIENT_GONE, UNMATCHED, Access
from isocline.gateway.config import ProxySettings
from isocline.gateway.core.actions import Action, Cause, Close, Reject
from isocline.gateway.core.prompts import Prompt
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.error_responses import Answer, answer
from isocline.gateway.http.forwarded import Forwarded
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.model_reader import ModelReader
from isocline.gateway.http.request_head import IDEMPOTENT, RequestHead
from isocline.gateway.http.response_head import ResponseHead
from isocline.gateway.http.retry_after import seconds_of
from isocline.gateway.proxy.body_buffer import BodyBuffer, Total
from isocline.gateway.proxy.context_reader import ContextReader
from isocline.gateway.proxy.matching import Matcher
from isocline.gateway.proxy.model_list import Directory
from isocline.gateway.proxy.sides import BACKEND_IS_SLOW, NO_BACKEND_YET, BackendSide, ClientSide
from isocline.gateway.proxy.token_ratios import TokenRatios
from isocline.gateway.trace_context import Trace
from isocline.model.serving_settings import SizeLimits, TimeLimits

_REQUEST_TIMEOUT, _GATEWAY_TIMEOUT = 408, 504


class Decider(ABC):
    """Where an exchange takes its events: to a core, whose actions come back as calls.

    Attributes:
        clock: Seconds; the core's times are of this clock.
        unix_time: Seconds since 1970, for dates.
        settings, sizes, times: Settings with which its exchanges begin and end.
        matcher: Conditions of the frontends.
        directory: Models of the backends; None: requests for them are routed as others are.
        token_ratios: Tokens for each byte of text, by model.
        context_reader: Reader of ids and traces; None: neither is read.
    """

    clock: Callable[[], float]
    unix_time: Callable[[], float]
    settings: ProxySettings
    sizes: SizeLimits
    times: TimeLimits
    matcher: Matcher
    directory: Directory | None
    token_ratios: TokenRatios
    context_reader: ContextReader | None

    @abstractmethod
    def arrived(self, exchange: "Exchange", frontend: int) -> None:
        """Pass on a request that has found its frontend."""

    @abstractmethod
    def rewrite(self, backend: int, head: RequestHead, forwarded: Forwarded) -> bytes:
        """Rewrite a request's head for a backend."""

    @abstractmethod
    def finished(
        self, number: int, now: float, latency_known: bool, status: int, usage: Usage | None
    ) -> None:
        """Pass on the end of a response."""

    @abstractmethod
    def failed(
        self, number: int, cause: Cause, *, sent: bool, idempotent: bool, started: bool
    ) -> None:
        """Pass on a failure of the backend."""

    @abstractmethod
    def turned_away(
        self, number: int, now: float, status: int, wait: float | None, *, again: bool
    ) -> list[Action]:
        """Pass on a full backend's refusal; returns the actions, none to pass the response on."""

    @abstractmethod
    def model_missing(self, number: int, now: float, *, again: bool) -> list[Action]:
        """Pass on that the backend lacks the model; returns actions as `turned_away`."""

    @abstractmethod
    def cancelled(self, number: int) -> None:
        """Pass on a cancellation."""

    @abstractmethod
    def load(self, backend: int, value: bytes | None) -> None:
        """Pass on the load report in a response's head or trailers, if any."""

    @abstractmethod
    def observe(self, access: Access) -> None:
        """Pass a finished request to the observers."""

    @abstractmethod
    def act(self, actions: Iterable[Action]) -> None:
        """Carry out the core's actions."""


@final
class Exchange:
    """One request from its head to the end of its response, through retries if need be.

    Attributes:
        decider: Decider that it began with, or that took it over while it waited.
        client: Client connection.
        backend: Connection to a backend, while there is one.
        head: Head of the request.
        body: Its body as far as it has come, in the framing in which it is passed on.
        complete: Whether the whole request has come.
        model_reader: Reader of the body's model, if the frontend depends on it.
        sending: Whether the core has named a backend that has not failed.
        access: Record for the access log.
        prompt: Its prompt, if it was read.
        number: The core's number of the request; 0 while, or once, it does not know it.
        usage_asked: Whether the router asked for usage, and not the client.
        answered: Whether a byte of the backend's response has come in this attempt.
        begun: Whether a part of the final response has gone to the client.
        over: Whether all is done: nothing more goes to the client.
        due: End of the limit on the current step, s.
        deadline: End of the limit on the whole exchange, s.
    """

    __slots__ = (
        "_detail",
        "_own",
        "_sent",
        "access",
        "answered",
        "backend",
        "begun",
        "body",
        "client",
        "complete",
        "deadline",
        "decider",
        "due",
        "head",
        "model_reader",
        "number",
        "over",
        "prompt",
        "sending",
        "usage_asked",
    )

    def __init__(
        self, decider: Decider, client: ClientSide, head: RequestHead, bodies: Total
    ) -> None:
        """Initialise; its body is counted in `bodies` while it is kept."""
        now = decider.clock()
        self.decider = decider
        self.client = client
        self.head = head
        self.backend: BackendSide | None = None
        self.complete = not head.has_body
        self.body = BodyBuffer(bodies)
        self.model_reader: ModelReader | None = None
        self.prompt: Prompt | None = None
        self._own = b""  # lines for a backend that do not depend on the attempt
        self._detail = ""  # of the last attempt's failure, for the log
        self.sending = self.usage_asked = self.over = False
        self._sent = False  # something may have reached a backend
        self.access = Access(client.forwarded.peer, head.method, head.target, head.host or b"", now)
        reader = decider.context_reader
        if reader is not None:
            read = reader.read(head, client.forwarded.secure)
            self.access.request_id, self.access.trace = read
        self.number = 0
        self.answered = self.begun = False
        self.deadline = self.due = now + decider.times.total

    # Events of the client connection

    def request_data(self, data: bytes, complete: bool) -> None:
        """Handle more of the request's body, in the framing in which it is passed on."""
        self.complete = complete
        self.access.received += len(data)
        body, most = self.body, self.decider.sizes.replay
        body.add(data)
        backend = self.backend
        if backend is not None:
            if body.size > most:
                body.drop()
            backend.write_more(data)
            self._limit_backend(self.decider.clock())
        elif body.size > most and self.access.frontend != UNMATCHED:
            self._pause_if_full()

    def client_gone(self) -> None:
        """Handle the end of the client's connection: the response is no longer wanted.

        After the last event of a stream the request counts as served.
        """
        backend = self.backend
        if backend is None or not backend.after_last_event():
            self._cancel(CLIENT_GONE, "the client closed its connection")
            return
        self.backend = None
        self.sending = False
        backend.abort()
        self.done(self.decider.clock(), usage=backend.usage())

    def refused(self, error: BadMessageError) -> bool:
        """Handle a malformed or too long body; returns whether a response had begun."""
        self._cancel(error.status, error.reason)
        return self.begun

    def reply(self, reply: Answer) -> None:
        """Answer without a backend; the answer decides whether the connection stays open."""
        client, access = self.client, self.access
        persistent = client.stays(self.head)
        access.status, data, access.reason = reply
        access.returned += len(data)
        client.write(data)
        now = self.decider.clock()
        self._end(now)
        client.exchange_done(persistent, now)

    def reply_error(
        self,
        status: int,
        reason: str,
        retry_after: float | None = None,
        detail: str = "",
        limit: str = "",
    ) -> None:
        """Answer with an error of the router's own.

        `detail` is for the log alone; `limit` is that of a key which is reached, see `answer`.
        """
        client, head = self.client, self.head
        data = answer(
            status,
            reason,
            persistent=client.stays(head),
            bodiless=head.method == b"HEAD",
            retry_after=retry_after,
            fields=client.cors + client.limit_lines,
            limit=limit,
        )
        self.reply((status, data, _with(reason, detail)))

    # Actions of the core

    def send(self, backend: int, attempt: int) -> None:
        """Begin an attempt at a backend, which `connected` or `not_connected` goes on with."""
        self.sending = True
        self.access.backend = backend
        self.access.attempts = attempt
        self.answered = False
        if self.access.trace is not None:
            self._trace_attempt(self.access.trace, backend)

    def reject(self, action: Reject) -> None:
        """Answer in the backend's place."""
        self.number = 0
        self.reply_error(action.status, action.reason, action.retry_after, self._detail)

    def break_off(self, action: Close) -> None:
        """Break off a response that cannot be completed."""
        self.number = 0
        self.access.reason = _with(action.reason, self._detail)
        self._end(self.decider.clock())
        self.client.break_off()

    # Events of the backend connection

    def connected(self, attempt: int, backend: BackendSide, now: float) -> bool:
        """Write the parts of the request so far to a connection that is open now.

        Returns whether the connection is wanted: it may come too late for this request.
        """
        access = self.access
        if not self.sending or attempt != access.attempts or self.backend is not None:
            return False
        self.backend = backend
        access.sent = now
        self._sent = True
        client, body = self.client, self.body
        head = self.decider.rewrite(access.backend, self.head, client.forwarded)
        if body.size > self.decider.sizes.replay:
            backend.write(head)
            for part in body.parts:  # as they came: a long body is not copied
                backend.write(part)
            body.drop()
        else:
            backend.write(head + body.read() if body.size else head)
        if client.paused:
            client.resume(NO_BACKEND_YET)
        if client.write_paused:
            backend.pause()
        self._limit_backend(now)
        return True

    def not_connected(self, attempt: int, cause: Cause, detail: str) -> None:
        """Handle a failure to open a connection."""
        if self.sending and attempt == self.access.attempts and self.backend is None:
            self.failed(cause, detail)

    def interim(self) -> None:
        """Handle a 1xx: a sign of life, but the final response still has to begin in time."""
        if not self.complete:
            self.due = self.decider.clock() + self.decider.times.idle

    def first_byte(self) -> None:
        """Handle the begin of the final response."""
        now = self.decider.clock()
        self.access.first_byte = now
        self.due = now + self.decider.times.idle

    def respond(self, data: bytes) -> None:
        """Pass on a part of the response, framed for the client."""
        access, client = self.access, self.client
        if data:
            access.returned += len(data)
            client.write(data)
        if not client.write_paused:
            self.due = self.decider.clock() + self.decider.times.idle

    def done(self, now: float, latency_known: bool = True, usage: Usage | None = None) -> None:
        """Handle the end of the response."""
        self.backend = None
        self.access.usage = usage
        number, self.number = self.number, 0
        self._end(now)
        self.decider.finished(number, now, latency_known, self.access.status, usage)

    def turned_away(self, head: ResponseHead, data: bytes) -> bool:
        """Handle a full backend's refusal, none of which has gone to the client.

        `data` follows the head. Returns whether another backend gets the request.
        """
        decider = self.decider
        said, now = head.retry_after(), decider.clock()
        wait = None if said is None else seconds_of(said, decider.unix_time())
        actions = decider.turned_away(self.number, now, head.status, wait, again=self.body.whole)
        return self._go_elsewhere(head, data, actions)

    def needs_model(self) -> bool:
        """Whether its backend may lack the model that it asks for."""
        return self.decider.settings.residency and bool(self.access.model)

    def model_missing(self, head: ResponseHead, data: bytes) -> bool:
        """Handle a 404 that names the model, none of which has gone to the client.

        `data` follows the head. Returns whether the request goes to another backend, or waits.
        """
        if self.access.model.encode() not in data:
            return False
        again, now = self.complete and self.body.whole, self.decider.clock()
        actions = self.decider.model_missing(self.number, now, again=again)
        return self._go_elsewhere(head, data, actions)

    def _go_elsewhere(self, head: ResponseHead, data: bytes, actions: list[Action]) -> bool:
        """Leave a backend that has refused, unless there are no actions for that."""
        decider, access, backend = self.decider, self.access, self.backend
        now = decider.clock()
        if not actions or backend is None:
            return False
        access.refusals += ((access.backend, head.status),)
        if access.trace is not None:
            access.trace.ended(now, head.status, "")
        self.backend = None
        self.sending = False
        self.due = self.deadline
        # The connection is kept where its response has been read to its end.
        whole = self.complete and head.persistent and head.length == len(data)
        backend.release(now, reusable=whole, streamed=False)
        self.client.resume(BACKEND_IS_SLOW)
        decider.act(actions)
        return True

    def can_repeat(self) -> bool:
        """Whether the request is kept whole and nothing of a response has gone to the client."""
        return self.complete and self.body.whole and not self.begun

    def failed(self, cause: Cause, detail: str = "", received: bool = True) -> None:
        """Handle a failure of the backend; the core decides on a retry.

        `detail` is for the log alone, as it may name internals. Without `received` the backend has
        stated that it did not get the request.
        """
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.abort()
        self.sending = False
        self.due = self.deadline
        self._detail = detail
        self.access.reason = _with(cause.reason, detail)
        self.access.failures += ((self.access.backend, cause),)
        if self.access.trace is not None:
            status = self.access.status if self.begun else 0
            self.access.trace.ended(self.decider.clock(), status, cause.name.lower())
        self.decider.failed(
            self.number,
            cause,
            sent=self._sent,
            idempotent=(not received or self._is_repeatable(cause)) and self.body.whole,
            started=self.begun,
        )

    # Time

    def overdue(self, now: float) -> None:
        """Fail according to which limit has expired."""
        if now >= self.deadline:
            if self.sending:
                self.failed(Cause.TOTAL_TIMEOUT)
            else:
                self._abandon(_GATEWAY_TIMEOUT, Cause.TOTAL_TIMEOUT.reason)
        elif self.client.write_paused:
            self._cancel(self.access.status, "the client took its response too slowly")
            self.client.break_off()
        elif self.begun:
            self.failed(Cause.IDLE_TIMEOUT)
        elif self.complete:
            self.failed(Cause.FIRST_BYTE_TIMEOUT)
        elif self.client.paused:
            self.failed(Cause.IDLE_TIMEOUT)  # the backend does not take the request
        else:
            self._abandon(_REQUEST_TIMEOUT, "the body of the request took too long")

    # Steps

    def _trace_attempt(self, trace: Trace, backend: int) -> None:
        """Begin the span of an attempt, and name it to the backend, if the request is recorded."""
        reader = self.decider.context_reader
        if reader is None or not trace.sampled:
            return
        head = self.head
        if not trace.attempts:
            self._own = head.own  # for every attempt
        head.own = self._own + trace.began(reader.new_span(), backend, self.decider.clock())

    def _is_repeatable(self, cause: Cause) -> bool:
        """Whether the request may reach a backend twice, by its method or frontend's setting."""
        if self.head.method in IDEMPOTENT:
            return True
        rule = self.decider.settings.frontends[self.access.frontend]
        return rule.resend_unanswered and cause is Cause.STALE

    def _pause_if_full(self) -> None:
        """Stop reading a body that waits for a backend once all bodies take half of `sizes.bodies`.

        The other half is for requests whose model is being read. Reading does not stop sooner, as
        the end of a connection is noticed only after all bytes before it have been read.
        """
        if self.body.in_all > self.decider.sizes.bodies // 2:
            self.client.pause(NO_BACKEND_YET)

    def _limit_backend(self, now: float) -> None:
        """Set the backend's limit: bytes must move and, after the request, an answer come."""
        times = self.decider.times
        waits = self.complete and not self.begun
        self.due = now + (times.first_byte if waits else times.idle)

    def _abandon(self, status: int, reason: str) -> None:
        """Withdraw the request from core and backend, and answer."""
        self._withdraw()
        self.reply_error(status, reason)

    def _cancel(self, status: int, reason: str) -> None:
        """Withdraw the request without an answer."""
        self.access.status, self.access.reason = status, reason
        self._withdraw()
        self._end(self.decider.clock())

    def _withdraw(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.abort()
        self.sending = False
        number, self.number = self.number, 0
        if number:
            self.decider.cancelled(number)

    def _end(self, now: float) -> None:
        self.over = True
        self.sending = False
        self.body.drop()
        self.access.ended = now
        self.decider.observe(self.access)


def _with(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason
