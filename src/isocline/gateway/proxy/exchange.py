"""Exchange: one request and its response, between a client, the core and backends."""

from typing import TYPE_CHECKING, final

from isocline.gateway.access_log import CLIENT_GONE, UNMATCHED, Access
from isocline.gateway.core.actions import Cause, Close, Reject
from isocline.gateway.core.request_cost import Usage
from isocline.gateway.http.error_responses import CONTINUE, Answer, answer
from isocline.gateway.http.grammar import BadMessageError
from isocline.gateway.http.request_head import IDEMPOTENT, RequestHead
from isocline.gateway.http.response_head import ResponseHead
from isocline.gateway.http.retry_after import seconds_of
from isocline.gateway.proxy.body_buffer import BodyBuffer
from isocline.gateway.proxy.frontend_lookup import UNAVAILABLE, FrontendLookup
from isocline.gateway.proxy.matching import NoMatch
from isocline.gateway.proxy.model_list import Directory, Models, model_list_answer, wants_models
from isocline.gateway.proxy.read_pauses import BACKEND_IS_SLOW, NO_BACKEND_YET
from isocline.gateway.proxy.usage_request import asking, may_ask

if TYPE_CHECKING:
    from isocline.gateway.proxy.backend_connection import BackendConnection
    from isocline.gateway.proxy.client_connection import ClientConnection
    from isocline.gateway.proxy.core_bridge import CoreBridge

_SOON = 1.0  # s, then what waits may have been sent


@final
class Exchange:
    """One request from its head to the end of its response, through retries if need be.

    Attributes:
        router: Bridge that it began with.
        downstream: Client connection.
        head: Head of the request.
        upstream: Backend connection, while there is one.
        complete: Whether the whole request has come.
        sending: Whether the core has named a backend that has not failed.
        access: Record for the access log.
        number: The core's number of the request; 0 while, or once, it does not know it.
        usage_asked: Whether the router asked for usage, and not the client.
        answered: Whether a byte of the backend's response has come in this attempt.
        begun: Whether a part of the final response has gone to the client.
        due: End of the limit on the current step, s.
        deadline: End of the limit on the whole exchange, s.
    """

    __slots__ = (
        "_detail",
        "_kept",
        "_placing",
        "_sent",
        "access",
        "answered",
        "begun",
        "complete",
        "deadline",
        "downstream",
        "due",
        "head",
        "number",
        "router",
        "sending",
        "upstream",
        "usage_asked",
    )

    def __init__(
        self, router: "CoreBridge", downstream: "ClientConnection", head: RequestHead
    ) -> None:
        now = router.clock()
        self.router = router
        self.downstream = downstream
        self.head = head
        self.upstream: BackendConnection | None = None
        self.complete = not head.has_body
        self._kept = BodyBuffer(downstream.proxy.bodies)
        self._detail = ""  # of the last attempt's failure, for the log
        self._placing: FrontendLookup | None = None
        self.sending = self.usage_asked = False
        self._sent = False  # something may have reached a backend
        self.access = Access(downstream.way.peer, head.method, head.target, head.host or b"", now)
        self.number = 0
        self.answered = self.begun = False
        self.deadline = self.due = now + router.times.total

    # Events of the client connection

    def request_data(self, data: bytes, complete: bool) -> None:
        """Handle more of the request's body, in the framing in which it is passed on."""
        self.complete = complete
        self.access.received += len(data)
        kept = self._kept
        kept.add(data)
        upstream, sizes = self.upstream, self.router.sizes
        if upstream is not None:
            if kept.size > sizes.replay:
                kept.drop()
            upstream.write_more(data)
            self._watch_backend(self.router.clock())
        elif self.access.frontend != UNMATCHED and kept.size > sizes.replay:
            self._pause_if_full(kept)

    def match(self) -> None:
        """Find the frontend, unless that is done, from the parts of the request so far."""
        if self.access.frontend == UNMATCHED:
            directory = self.router.directory
            if directory is not None and wants_models(self.head):
                self._list_models(directory)
            else:
                self.route()

    def route(self) -> None:
        """Look the frontend up."""
        router, access, head = self.router, self.access, self.head
        found = 0 if router.matcher.takes_all else self._place()
        if router.settings.ask_usage and isinstance(found, int) and not self._ask_usage():
            found = None
        if found is None:
            if head.expects:  # a client that waits to be asked for the body is asked
                head.expects = False
                self.downstream.write(CONTINUE)
            self.due = router.clock() + router.times.idle
        elif isinstance(found, NoMatch):
            soon = _SOON if found.status == UNAVAILABLE else None
            self._reply(found.status, found.reason, soon)
        else:
            access.frontend = found
            self.due = self.deadline
            router.arrived(self, found)

    def _list_models(self, directory: Directory) -> None:
        """Answer with the list of models, now or once the backends have sent theirs."""
        matcher, listener, head = self.router.matcher, self.downstream.listener, self.head

        def takers(model: str) -> list[int]:
            return matcher.takers(listener, head, model)

        directory.ask(takers, self._models_known)

    def _models_known(self, models: Models) -> None:
        """Answer with these models or, if there are none, route the request as any other.

        Without any, the backends are no OpenAI-compatible servers.
        """
        downstream = self.downstream
        if downstream.exchange is not self:
            return  # the client has gone, or its time is over
        if models:
            persistent = downstream.stays(self.head)
            self.reply(model_list_answer(self.head, models, downstream.cors, persistent))
        else:
            self.route()

    def _place(self) -> int | NoMatch | None:
        placing = self._placing
        if placing is None:
            router = self.router
            placing = FrontendLookup(
                router.matcher, self.downstream.listener, self.head, router.sizes
            )
            self._placing = placing
        return placing.find(self._kept, self.complete)

    def _ask_usage(self) -> bool:
        """Ask for usage, if the client did not; False as long as that needs more of the body."""
        head, kept = self.head, self._kept
        if not may_ask(head, self.router.sizes.replay):
            return True
        if not self.complete:
            return False
        body = asking(kept.read())
        if body is not None:
            kept.replace(body)
            head.length = len(body)
            self.usage_asked = True
        return True

    def client_gone(self) -> None:
        """Handle the end of the client's connection: the response is no longer wanted.

        After the last event of a stream the request counts as served.
        """
        upstream = self.upstream
        response = None if upstream is None else upstream.response
        if upstream is None or response is None or not response.said_all:
            self._cancel(CLIENT_GONE, "the client closed its connection")
            return
        self.upstream = None
        self.sending = False
        upstream.abort()
        self.done(self.router.clock(), usage=response.usage())

    def refused(self, error: BadMessageError) -> bool:
        """Handle a malformed or too long body; returns whether a response had begun."""
        self._cancel(error.status, error.reason)
        return self.begun

    def reply(self, reply: Answer) -> None:
        """Answer without a backend; the answer decides whether the connection stays open."""
        downstream, access = self.downstream, self.access
        persistent = downstream.stays(self.head)
        access.status, data, access.reason = reply
        access.returned += len(data)
        downstream.write(data)
        now = self.router.clock()
        self._end(now)
        downstream.exchange_done(persistent, now)

    # Actions of the core

    def send(self, backend: int, attempt: int) -> None:
        """Send the request to a backend."""
        self.sending = True
        self.access.backend = backend
        self.access.attempts = attempt
        self.answered = False
        pool = self.router.pools[backend]
        upstream = pool.take(self.router.clock())
        if upstream is None:
            pool.open(self, attempt)
        else:
            self.connected(attempt, upstream)

    def reject(self, action: Reject) -> None:
        """Answer in the backend's place."""
        self.number = 0
        self._reply(action.status, action.reason, action.retry_after, self._detail)

    def break_off(self, action: Close) -> None:
        """Break off a response that cannot be completed."""
        self.number = 0
        self.access.reason = _with(action.reason, self._detail)
        self._end(self.router.clock())
        self.downstream.exchange = None
        self.downstream.abort()

    # Events of the backend connection

    def connected(self, attempt: int, upstream: "BackendConnection") -> None:
        """Write the parts of the request so far to a connection that is open now."""
        now = self.router.clock()
        if not self.sending or attempt != self.access.attempts or self.upstream is not None:
            upstream.pool.give(upstream, now)  # it came too late for this request
            return
        self.upstream = upstream
        upstream.exchange = self
        self.access.sent = now
        self._sent = True
        head = upstream.pool.rewrite(self.head, self.downstream.way)
        kept, downstream = self._kept, self.downstream
        if kept.size > self.router.sizes.replay:
            upstream.write(head)
            for part in kept.parts:  # as they came: a long body is not copied
                upstream.write(part)
            kept.drop()
        else:
            upstream.write(head + kept.read() if kept.size else head)
        if downstream.is_paused:
            downstream.resume(NO_BACKEND_YET)
        if downstream.write_paused:
            upstream.pause()
        self._watch_backend(now)

    def not_connected(self, attempt: int, cause: Cause, detail: str) -> None:
        """Handle a failure to open a connection."""
        if self.sending and attempt == self.access.attempts and self.upstream is None:
            self.failed(cause, detail)

    def interim(self) -> None:
        """Handle a 1xx: a sign of life, but the final response still has to begin in time."""
        if not self.complete:
            self.due = self.router.clock() + self.router.times.idle

    def first_byte(self) -> None:
        """Handle the begin of the final response."""
        now = self.router.clock()
        self.access.first_byte = now
        self.due = now + self.router.times.idle

    def respond(self, data: bytes) -> None:
        """Pass on a part of the response, framed for the client."""
        access, downstream = self.access, self.downstream
        if data:
            access.returned += len(data)
            downstream.write(data)
        if not downstream.write_paused:
            self.due = self.router.clock() + self.router.times.idle

    def done(self, now: float, latency_known: bool = True, usage: Usage | None = None) -> None:
        """Handle the end of the response."""
        self.upstream = None
        number, self.number = self.number, 0
        self._end(now)
        self.router.finished(number, now, latency_known, self.access.status, usage)

    def turned_away(self, head: ResponseHead, data: bytes) -> bool:
        """Handle a full backend's refusal, none of which has gone to the client.

        `data` follows the head. Returns whether another backend gets the request.
        """
        router, access, upstream = self.router, self.access, self.upstream
        said, now = head.retry_after(), router.clock()
        wait = None if said is None else seconds_of(said, router.unix_time())
        actions = router.turned_away(self.number, now, head.status, wait, again=self._kept.whole)
        if not actions or upstream is None:
            return False
        access.refusals += ((access.backend, head.status),)
        self.upstream = None
        self.due = self.deadline
        # The connection is kept where its response has been read to its end.
        whole = self.complete and head.persistent and head.length == len(data)
        upstream.release(now, reusable=whole, streamed=False)
        self.downstream.resume(BACKEND_IS_SLOW)
        router.act(actions)
        return True

    def can_repeat(self) -> bool:
        """Whether the request is kept whole and nothing of a response has gone to the client."""
        return self.complete and self._kept.whole and not self.begun

    def failed(self, cause: Cause, detail: str = "", received: bool = True) -> None:
        """Handle a failure of the backend; the core decides on a retry.

        `detail` is for the log alone, as it may name internals. Without `received` the backend has
        stated that it did not get the request.
        """
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        self.sending = False
        self.due = self.deadline
        self._detail = detail
        self.access.reason = _with(cause.reason, detail)
        self.access.failures += ((self.access.backend, cause),)
        self.router.failed(
            self.number,
            cause,
            sent=self._sent,
            idempotent=(not received or self._may_go_again(cause)) and self._kept.whole,
            started=self.begun,
        )

    # Timeouts

    def abandon(self, status: int, reason: str) -> None:
        """Withdraw the request from core and backend, and answer."""
        self._withdraw()
        self._reply(status, reason)

    def drop(self, reason: str) -> None:
        """Withdraw the request, and abort the client connection."""
        self._cancel(self.access.status, reason)
        self.downstream.exchange = None
        self.downstream.abort()

    # Steps

    def _may_go_again(self, cause: Cause) -> bool:
        """Whether the request may reach a backend twice, by its method or frontend's setting."""
        if self.head.method in IDEMPOTENT:
            return True
        rule = self.router.settings.frontends[self.access.frontend]
        return rule.resend_unanswered and cause is Cause.STALE

    def _pause_if_full(self, kept: BodyBuffer) -> None:
        """Stop reading a body that waits for a backend once all bodies take half of `sizes.bodies`.

        The other half is for requests whose model is being read. Reading does not stop sooner, as
        the end of a connection is noticed only after all bytes before it have been read.
        """
        if kept.in_all > self.router.sizes.bodies // 2:
            self.downstream.pause(NO_BACKEND_YET)

    def _watch_backend(self, now: float) -> None:
        """Set the backend's limit: bytes must move and, after the request, an answer come."""
        times = self.router.times
        waits = self.complete and not self.begun
        self.due = now + (times.first_byte if waits else times.idle)

    def _reply(
        self, status: int, reason: str, retry_after: float | None = None, detail: str = ""
    ) -> None:
        downstream, head = self.downstream, self.head
        persistent = downstream.stays(head)
        data = answer(
            status,
            reason,
            persistent=persistent,
            bodiless=head.method == b"HEAD",
            retry_after=retry_after,
            fields=downstream.cors,
        )
        self.reply((status, data, _with(reason, detail)))

    def _cancel(self, status: int, reason: str) -> None:
        """Withdraw the request without an answer."""
        self.access.status, self.access.reason = status, reason
        self._withdraw()
        self._end(self.router.clock())

    def _withdraw(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()
        self.sending = False
        number, self.number = self.number, 0
        if number:
            self.router.cancelled(number)

    def _end(self, now: float) -> None:
        self.sending = False
        self._kept.drop()
        self.access.ended = now
        self.router.observe(self.access)


def _with(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason
