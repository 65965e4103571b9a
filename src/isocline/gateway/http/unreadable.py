"""Error of a request's body from which no model can be read."""

from typing import Final, final

BAD_REQUEST, TOO_LARGE, UNSUPPORTED = 400, 413, 415
# Characters: a path, which is what local servers call their models by, has at most so many (Linux).
LONGEST_MODEL: Final = 4096
TOO_LONG: Final = f"`model` is longer than {LONGEST_MODEL} characters"


@final
class UnreadableError(Exception):
    """No model can be read from a body.

    Attributes:
        reason: Text for a person, which repeats nothing of the body.
        status: Status code for the client, if no frontend takes the request without a model.
    """

    def __init__(self, reason: str, status: int = BAD_REQUEST) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
