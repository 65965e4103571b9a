"""Detection of backends that close connections soon after a response without announcing it.

Some servers do (llama.cpp's after each stream, 0.02 to 8 ms later). A request that is written into
a connection which is being closed is lost, and a POST must not be sent twice. So a connection rests
after a response before it is used again, until the backend has shown that it keeps connections; and
from the first time that it closes one early, until it has shown it for longer.
"""

from typing import final

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
    """Of one backend, after one kind of response.

    Attributes:
        rest: How long a connection has to rest before it is used again, s; 0: not at all.
    """

    __slots__ = ("_left", "_longest", "rest")

    def __init__(self) -> None:
        self.rest = _REST
        self._longest = _REST
        self._left = _TO_BE_TRUSTED

    def kept(self) -> None:
        """A connection was still open after its rest."""
        if self.rest:
            self._left -= 1
            if self._left <= 0:
                self.rest = 0.0

    def closed(self, after: float) -> None:
        """The backend closed a connection, or was found to have, so many s after a response."""
        if after > _LONGEST_REST:
            return  # it had been idle for long
        self._longest = min(max(self._longest, _MARGIN * after), _LONGEST_REST)
        self.rest = self._longest
        self._left = _TO_BE_TRUSTED_AGAIN
