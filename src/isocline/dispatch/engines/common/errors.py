"""Errors at the nodes of an engine, apart from those that users' functions raise.

All are made from one message, and so can be pickled.
"""

from isocline.errors import IsoclineError


class EngineError(IsoclineError):
    """An engine cannot be started or used; the message says why."""


class ChunkError(IsoclineError):
    """A chunk could not be had from any of its holders; the message says what each answered."""


class UnreadError(ChunkError):
    """As ChunkError, and one or more holders were gone: they may be there again."""


class ResultError(IsoclineError):
    """What a function returned cannot be pickled."""


class RemoteError(IsoclineError):
    """In place of an exception that cannot be pickled; the message has its type and words."""
