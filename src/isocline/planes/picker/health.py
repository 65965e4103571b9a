"""gRPC health checking protocol: the services of the endpoint picker protocol, asked or watched."""

from typing import final

from google.protobuf.message import DecodeError

from isocline.planes.picker.http2 import INVALID, NOT_FOUND, OK, Call, Stream
from isocline.planes.picker.messages import HealthCheckRequest, HealthCheckResponse
from isocline.planes.picker.protocol import SERVICE

LIVENESS, READINESS, OVERALL = "liveness", "readiness", ""
CHECK, WATCH = b"/grpc.health.v1.Health/Check", b"/grpc.health.v1.Health/Watch"
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3


@final
class Health:
    """Status of each service.

    A picker is alive as long as it answers, and ready while requests are welcome.
    """

    def __init__(self) -> None:
        self._statuses = {
            LIVENESS: _SERVING,
            READINESS: _NOT_SERVING,
            SERVICE: _NOT_SERVING,
            OVERALL: _NOT_SERVING,
        }
        self._watches: set[HealthCall] = set()

    def ready(self, ready: bool) -> None:
        """Say from now on whether requests are welcome."""
        status = _SERVING if ready else _NOT_SERVING
        if status == self._statuses[READINESS]:
            return
        for name in (READINESS, SERVICE, OVERALL):
            self._statuses[name] = status
        for watch in tuple(self._watches):
            watch.tell()

    def status(self, service: str) -> int | None:
        """Status of a service; None if there is none of this name."""
        return self._statuses.get(service)


@final
class HealthCall(Call):
    """One question, or one watch."""

    def __init__(self, health: Health, stream: Stream, watches: bool) -> None:
        self._health = health
        self._stream = stream
        self._watches = watches
        self._service: str | None = None
        self._told: int | None = None

    def message(self, data: bytes) -> None:
        try:
            self._service = HealthCheckRequest.FromString(data).service
        except DecodeError as error:
            self._stream.finish(INVALID, str(error))
            return
        if self._watches:
            self._health._watches.add(self)
            self.tell()
            return
        status = self._health.status(self._service)
        if status is None:
            self._stream.finish(NOT_FOUND, "no such service")
        else:
            self._say(status)
            self._stream.finish(OK)

    def half_closed(self) -> None:
        """Go on: a question, and a watch, are complete once they have been sent."""

    def broken(self) -> None:
        self._health._watches.discard(self)

    def tell(self) -> None:
        """Tell a watch of a status that it does not know."""
        status = self._health.status(self._service or OVERALL)
        status = _SERVICE_UNKNOWN if status is None else status
        if status != self._told:
            self._told = status
            self._say(status)

    def _say(self, status: int) -> None:
        self._stream.send([HealthCheckResponse(status=status).SerializeToString()])
