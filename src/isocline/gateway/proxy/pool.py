"""Pool of idle connections to one backend: which one is used next, and when.

Some servers close a connection after a response (llama.cpp's after each stream, 0.02 to 8 ms
later). A request that is written into a connection which is being closed is lost, and a POST must
not be sent twice. So a connection rests after a response before it is used again, until the backend
has shown that it keeps connections; and from the first time that it closes one early, until it has
shown it for longer.
"""

from collections import deque
from typing import Generic, TypeVar, final

from isocline.gateway.proxy.sides import BackendSide

# Six times the longest that was seen on an idle machine.
_REST = 0.05  # s
# A busy machine is slower: what is seen counts fourfold, up to a time after which a connection is
# of no more use than a new one.
_MARGIN, _LONGEST_REST = 4.0, 1.0
# In a row, of connections that were still open after their rest. A backend that is not known closes
# after all responses of a kind or after none; from one that has closed a share p of them is hidden
# with probability (1 - p)^1000, 4e-5 for p of 1 %.
_TO_BE_TRUSTED, _TO_BE_TRUSTED_AGAIN = 8, 1000


@final
class ClosingHabit:
    """Closing habit of one backend, after one kind of response.

    Attributes:
        rest: Time for which a connection rests before it is used again, s; 0: none.
    """

    __slots__ = ("_left", "_longest", "rest")

    def __init__(self) -> None:
        self.rest = _REST
        self._longest = _REST
        self._left = _TO_BE_TRUSTED

    def kept(self) -> None:
        """Record a connection that was still open after its rest."""
        if self.rest:
            self._left -= 1
            if self._left <= 0:
                self.rest = 0.0

    def closed(self, after: float) -> None:
        """Record a connection that the backend closed so many s after a response."""
        if after > _LONGEST_REST:
            return  # it had been idle for long
        self._longest = min(max(self._longest, _MARGIN * after), _LONGEST_REST)
        self.rest = self._longest
        self._left = _TO_BE_TRUSTED_AGAIN


# Of the time for which a backend says that it keeps connections: 4 s of uvicorn's 5.
_EARLIER = 0.8
Connection = TypeVar("Connection", bound=BackendSide)


@final
class Pool(Generic[Connection]):
    """The idle connections to one backend. Times are s of one clock, the caller's.

    The connection used last is used first: the others grow old, and are closed before the backend
    closes them under a request. If the backend may close them after a response, they rest first.
    """

    def __init__(self, most: int, longest: float) -> None:
        """Initialise for at most `most` connections, each idle for at most `longest`, s."""
        self._most = most
        self._longest = longest
        self._keep = longest
        self._idle: deque[Connection] = deque()
        # Servers differ after responses of known length and after others: streams.
        self._resting: tuple[deque[Connection], deque[Connection]] = deque(), deque()
        self._habits = ClosingHabit(), ClosingHabit()
        self._closed = False

    @property
    def idle(self) -> int:
        """Idle connections."""
        return len(self._idle) + len(self._resting[0]) + len(self._resting[1])

    def take(self, now: float) -> Connection | None:
        """Take a connection that is open as far as is known, or None."""
        if self._resting[0] or self._resting[1]:
            self._wake(now)
        while self._idle:
            connection = self._idle.pop()
            if connection.due < now:
                connection.close()
            elif connection.is_quiet():
                return connection
            else:
                self.found_closed(connection, now)
                connection.abort()
        return None

    def give(self, connection: Connection, now: float, streamed: bool = False) -> None:
        """Keep a connection for the next request, if there is space.

        `streamed`: its last response had no length.
        """
        if self._closed or self.idle >= self._most:
            connection.close()
            return
        connection.due = now + self._keep
        connection.released = now
        connection.streamed = streamed
        if connection.uses and self._habits[streamed].rest:
            self._resting[streamed].append(connection)
        else:
            self._idle.append(connection)

    def keeps(self, seconds: float) -> None:
        """Record the time for which the backend keeps an idle connection (Keep-Alive: timeout)."""
        self._keep = min(self._longest, _EARLIER * seconds)

    def found_closed(self, connection: Connection, now: float) -> None:
        """Record that the backend has closed a connection that was idle from its point of view."""
        self._habits[connection.streamed].closed(now - connection.released)

    def forget(self, connection: Connection, now: float) -> None:
        """Forget an idle connection that is gone."""
        for waiting in (self._idle, *self._resting):
            if connection in waiting:
                waiting.remove(connection)
                self.found_closed(connection, now)

    def sweep(self, now: float) -> None:
        """Close those that have waited too long: the oldest are first."""
        self._wake(now)
        while self._idle and self._idle[0].due < now:
            self._idle.popleft().close()

    def close(self) -> None:
        """Keep none from now on; connections in use go on until they are done."""
        self._closed = True
        for waiting in (self._idle, *self._resting):
            while waiting:
                waiting.pop().close()

    def _wake(self, now: float) -> None:
        """Release rested connections for use, if they are still open."""
        for streamed, resting in enumerate(self._resting):
            habit = self._habits[streamed]
            while resting and resting[0].released + habit.rest <= now:
                connection = resting.popleft()
                if connection.is_quiet():
                    habit.kept()
                    self._idle.append(connection)
                else:
                    self.found_closed(connection, now)
                    connection.abort()
