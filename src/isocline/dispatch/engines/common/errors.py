"""Errors at the nodes of an engine, apart from those that users' functions raise.

All are made from one message, and so can be pickled.
"""

from isocline.errors import IsoclineError


class EngineError(IsoclineError):
    """An engine cannot be started or used; the message says why."""


class ChunkError(IsoclineError):
    """A chunk was not delivered by any of its holders; the message has each one's answer."""


class UnreadError(ChunkError):
    """Like ChunkError, but one or more holders were gone or silent, and may answer later."""


class ResultError(IsoclineError):
    """The result of a function cannot be pickled."""


class RemoteError(IsoclineError):
    """Stand-in for an exception that cannot be pickled; the message has its type and text."""
