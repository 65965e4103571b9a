"""One request and its response: between a client, the core that decides, and a backend."""

from time import monotonic
from typing import TYPE_CHECKING, final

from isocline.gateway.access_log import CLIENT_GONE, UNMATCHED, Access
from isocline.gateway.actions import Cause, Close, Reject
from isocline.gateway.matching import NoMatch
from isocline.gateway.proxy.answers import CONTINUE, answer
from isocline.gateway.proxy.framing import Framing
from isocline.gateway.proxy.kept import Kept
from isocline.gateway.proxy.pauses import BACKEND_IS_SLOW, NO_BACKEND_YET
from isocline.gateway.proxy.placing import frontend_of
from isocline.gateway.proxy.reframe import reframe
from isocline.gateway.proxy.request_head import IDEMPOTENT, RequestHead
from isocline.gateway.proxy.response_head import ResponseHead
from isocline.gateway.proxy.strict import BadMessageError
from isocline.gateway.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from isocline.gateway.proxy.downstream import Downstream
    from isocline.gateway.proxy.router import Router
    from isocline.gateway.proxy.upstream import Upstream

NOT_FOUND, REQUEST_TIMEOUT, GATEWAY_TIMEOUT = 404, 408, 504


@final
class Exchange:
    """One request from its head to the end of its response, through retries if need be.

    Attributes:
        access: What the access log will say.
        number: The core's number of the request; 0 while, or once, it does not know it.
        answered: A byte of the backend's response has come, in this attempt.
        begun: A part of the final response has gone to the client.
        due: When the limit on the time of the current step ends, s.
    """

    __slots__ = (
        "_complete",
        "_deadline",
        "_downstream",
        "_head",
        "_kept",
        "_persistent",
        "_reusable",
        "_router",
        "_sending",
        "_sent",
        "_upstream",
        "access",
        "answered",
        "begun",
        "due",
        "number",
    )

    def __init__(self, router: "Router", downstream: "Downstream", head: RequestHead) -> None:
        now = monotonic()
        self._router = router
        self._downstream = downstream
        self._head = head
        self._upstream: Upstream | None = None
        self._complete = not head.has_body  # the request has come whole
        self._kept = Kept()
        self._sending = False  # the core has named a backend that has not failed
        self._sent = False  # something may have reached a backend
        self._persistent = self._reusable = False  # the client's connection, the backend's
        self.access = Access(downstream.way.peer, head.method, head.target, head.host or b"", now)
        self.number = 0
        self.answered = self.begun = False
        self._deadline = self.due = now + router.times.total

    # What the client's connection says

    def request_data(self, data: bytes, complete: bool) -> None:
        """More of the request's body, in the framing in which it goes on."""
        self._complete = complete
        self.access.received += len(data)
        kept = self._kept
        kept.add(data)
        upstream, sizes = self._upstream, self._router.sizes
        if upstream is not None:
            kept.drop_beyond(sizes.replay)
            upstream.write(data)
            self._watch_backend(monotonic())
        elif self.access.frontend != UNMATCHED and kept.size > sizes.replay:
            self._downstream.pause(NO_BACKEND_YET)

    def match(self) -> None:
        """Find the frontend, if that was not done, with what of the request has come."""
        router, access, head = self._router, self.access, self._head
        if access.frontend != UNMATCHED:
            return
        listener = self._downstream.listener
        kept, complete = self._kept, self._complete
        found = frontend_of(router.matcher, listener, head, kept, complete, router.sizes)
        if found is None:
            if head.expects:  # a client that waits to be asked for the body is asked
                head.expects = False
                self._downstream.write(CONTINUE)
            self._limit(monotonic(), router.times.idle)
        elif isinstance(found, NoMatch):
            self._reply(NOT_FOUND, found.reason)
        else:
            access.frontend = found
            self.due = self._deadline
            router.arrived(self, found)

    def client_gone(self) -> None:
        """The client closed its connection: nobody waits for the response."""
        self.access.status = CLIENT_GONE
        self.access.reason = "the client closed its connection"
        self._cancel()

    def refused(self, error: BadMessageError) -> bool:
        """The request's body is malformed or too long; says whether a response had begun."""
        self.access.status = error.status
        self.access.reason = error.reason
        self._cancel()
        return self.begun

    def pause_response(self) -> None:
        """The client takes its response slowly."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume_response(self) -> None:
        """The client has caught up."""
        if self._upstream is not None:
            self._upstream.resume()

    # What the core says

    def send(self, backend: int, attempt: int) -> None:
        """Send it to a backend."""
        self._sending = True
        self.access.backend = backend
        self.access.attempts = attempt
        self.answered = False
        pool = self._router.pools[backend]
        upstream = pool.take()
        if upstream is None:
            pool.open(self, attempt)
        else:
            self.connected(attempt, upstream)

    def reject(self, action: Reject) -> None:
        """Answer in the backend's place."""
        self.number = 0
        self._reply(action.status, action.reason, action.retry_after)

    def break_off(self, action: Close) -> None:
        """The response cannot be completed."""
        self.number = 0
        self.access.reason = action.reason
        self._end(monotonic())
        self._downstream.exchange = None
        self._downstream.abort()

    # What the connection to the backend says

    def connected(self, attempt: int, upstream: "Upstream") -> None:
        """A connection is there: write what there is of the request."""
        now = monotonic()
        if not self._sending or attempt != self.access.attempts or self._upstream is not None:
            upstream.pool.give(upstream, now)  # it came too late for this request
            return
        self._upstream = upstream
        upstream.exchange = self
        self.access.sent = now
        self._sent = True
        head = upstream.pool.rewrite(self._head, self._downstream.way)
        body = self._kept.read()
        upstream.write(head + body if body else head)
        self._kept.drop_beyond(self._router.sizes.replay)
        self._downstream.resume(NO_BACKEND_YET)
        if self._downstream.write_paused:
            self.pause_response()
        self._watch_backend(now)

    def not_connected(self, attempt: int, cause: Cause) -> None:
        """No connection could be opened."""
        if self._sending and attempt == self.access.attempts and self._upstream is None:
            self.failed(cause)

    def pause_request(self) -> None:
        """The backend takes the request slowly."""
        self._downstream.pause(BACKEND_IS_SLOW)

    def resume_request(self) -> None:
        """The backend has caught up."""
        self._downstream.resume(BACKEND_IS_SLOW)

    def first_byte(self) -> None:
        """The response begins."""
        if not self.answered:
            now = monotonic()
            self.answered = True
            self.access.first_byte = now
            self._limit(now, self._router.times.idle)

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response; 100 only to a client that waits for it (RFC 9110, Section 15.2)."""
        if self._head.version == 1 and (head.status != 100 or self._head.expects):
            self._downstream.write(head.forward(b""))

    def switched(self, head: ResponseHead, data: bytes) -> None:
        """101: from here on, bytes pass both ways as they come (RFC 9110, Section 7.8)."""
        upstream, downstream = self._upstream, self._downstream
        assert upstream is not None
        if head.upgrade is None or head.upgrade not in self._head.upgrade:
            self.failed(Cause.MALFORMED)
            return
        self.begun = True
        self.access.status = head.status
        self.access.upgraded = True
        added = b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
        downstream.write(head.forward(added) + data)
        self._upstream = upstream.exchange = None
        held = downstream.leave()
        tunnels = downstream.proxy.tunnels
        seconds = self._router.times.tunnel
        Tunnel(self, tunnels, seconds, downstream.transport, upstream.transport).begin(held)

    def response_head(self, head: ResponseHead) -> tuple[Framing | None, bytes]:
        """(framing of the body, None if there is none; the head as the client gets it)."""
        self._router.load(self.access.backend, head.load)
        self.begun = True
        self.access.status = head.status
        self._reusable = head.persistent
        framing, added, by_close = reframe(self._head, head, self._router.sizes)
        self._persistent = self._complete and not by_close and self._downstream.stays(self._head)
        if not self._persistent:
            added += b"Connection: close\r\n"
        elif self._head.version == 0:
            added += b"Connection: keep-alive\r\n"
        return framing, head.forward(added)

    def response_data(self, data: bytes) -> None:
        """More of the response, as the client gets it."""
        if data:
            self.access.returned += len(data)
            self._downstream.write(data)
        if not self._downstream.write_paused:
            self._limit(monotonic(), self._router.times.idle)

    def response_done(self, framing: Framing | None, clean: bool) -> None:
        """The response is complete; `clean`: nothing came after it."""
        now = monotonic()
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        if self._downstream.write_paused:
            upstream.resume()
        if framing is not None and framing.trailers:
            self._router.load_in_trailers(self.access.backend, framing.trailers)
        upstream.release(now, reusable=clean and self._reusable and self._complete)
        number, self.number = self.number, 0
        self._end(now)
        self._downstream.exchange_done(self._persistent, now)
        self._router.finished(number, now, True, self.access.status)

    def failed(self, cause: Cause, detail: str = "") -> None:
        """The backend did not do it; the core says whether another one should."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        self._sending = False
        self.due = self._deadline
        self.access.reason = detail or cause.reason
        self._router.failed(
            self.number,
            cause,
            sent=self._sent,
            idempotent=self._head.method in IDEMPOTENT and self._kept.whole,
            started=self.begun,
        )

    # What the clock says

    def overdue(self, now: float) -> None:
        """A limit on time is over: whoever has not done what it had to is told."""
        if now >= self._deadline:
            if self._sending:
                self.failed(Cause.TOTAL_TIMEOUT)
            else:
                self._abandon(GATEWAY_TIMEOUT, Cause.TOTAL_TIMEOUT.reason)
        elif self._downstream.write_paused:
            self._cancel()
            self.access.reason = "the client took its response too slowly"
            self._downstream.exchange = None
            self._downstream.abort()
        elif self.answered:
            self.failed(Cause.IDLE_TIMEOUT)
        elif self._complete:
            self.failed(Cause.FIRST_BYTE_TIMEOUT)
        elif self._downstream.is_paused:
            self.failed(Cause.IDLE_TIMEOUT)  # the backend does not take the request
        else:
            self._abandon(REQUEST_TIMEOUT, "the body of the request took too long")

    # What the tunnel says

    def tunnel_closed(self, received: int, returned: int) -> None:
        """An upgraded connection has ended."""
        self.access.received += received
        self.access.returned += returned
        number, self.number = self.number, 0
        now = monotonic()
        self._end(now)
        self._router.finished(number, now, False, self.access.status)

    # Steps

    def _limit(self, now: float, seconds: float) -> None:
        """The next thing has to happen in so many seconds, all of it before the deadline."""
        due = now + seconds
        self.due = min(self._deadline, due)

    def _watch_backend(self, now: float) -> None:
        """Once the backend has the whole request it has to answer; before, bytes have to move."""
        times = self._router.times
        waits = self._complete and not self.answered
        self._limit(now, times.first_byte if waits else times.idle)

    def _reply(self, status: int, reason: str, retry_after: float | None = None) -> None:
        downstream, head = self._downstream, self._head
        persistent = downstream.stays(head)
        bodiless = head.method == b"HEAD"
        data = answer(
            status, reason, persistent=persistent, bodiless=bodiless, retry_after=retry_after
        )
        self.access.status = status
        self.access.reason = reason
        self.access.returned += len(data)
        downstream.write(data)
        now = monotonic()
        self._end(now)
        downstream.exchange_done(persistent, now)

    def _abandon(self, status: int, reason: str) -> None:
        """Take it back from core and backend, and answer."""
        self._withdraw()
        self._reply(status, reason)

    def _cancel(self) -> None:
        """Take it back; nobody is there to be answered."""
        self._withdraw()
        self._end(monotonic())

    def _withdraw(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        self._sending = False
        number, self.number = self.number, 0
        if number:
            self._router.cancelled(number)

    def _end(self, now: float) -> None:
        self._sending = False
        self.access.ended = now
        self._router.observe(self.access)
