"""TLS context of a listener that answers clients which speak plain HTTP.

Without it such a client is cut off without a word, as no handshake is possible. OpenSSL recognises
the beginning of an HTTP request in its place. The answer is nginx's: 400, in plain text.
"""

import ssl
from typing import Any, final

_BODY = b"This port speaks TLS, and a plain HTTP request came. Use https:// in the URL.\n"
_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_BODY), _BODY)
)


@final
class ListenerContext(ssl.SSLContext):
    """TLS 1.2 or later for HTTP/1.1, on the server's side."""

    def __new__(cls) -> "ListenerContext":
        """Initialise as `ssl.create_default_context` does for servers."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.sslobject_class = _Handshake
        return context

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *more: Any, **named: Any
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *more, **named)
        assert isinstance(made, _Handshake)
        made.outgoing = outgoing
        return made


@final
class _Handshake(ssl.SSLObject):
    """Connection in memory, as event loops drive it.

    Attributes:
        outgoing: Buffer whose bytes go to the peer as they are.
    """

    outgoing: ssl.MemoryBIO
    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Do the handshake; after plain HTTP first ask for more, so that the loop sends the answer.

        An event loop sends nothing more after an error.
        """
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if error.reason != "HTTP_REQUEST":
                raise
            self._failed = error
            self.outgoing.write(_ANSWER)
            raise ssl.SSLWantReadError from None
