"""Interface of discovery sources: asked once, or run to report endpoints."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from isocline.errors import IsoclineError
from isocline.model.endpoint import Endpoint


class SourceError(IsoclineError):
    """A source gave no usable answer; the message gives the reason."""


class Reports(Protocol):
    """Receiver of one source's reports."""

    def found(self, endpoints: Sequence[Endpoint]) -> None:
        """Take all present endpoints; an empty sequence is also an answer."""

    def failed(self, problem: str) -> None:
        """Take the reason why there is no answer; the last answer stays valid."""


class Source(ABC):
    """Source of endpoints."""

    @abstractmethod
    async def once(self) -> Sequence[Endpoint]:
        """Ask once, and return all endpoints.

        Raises:
            SourceError: There is no answer.
        """

    @abstractmethod
    async def run(self, reports: Reports) -> None:
        """Report each answer and each failure until cancelled."""
