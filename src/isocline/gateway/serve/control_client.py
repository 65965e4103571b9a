"""Client of the control calls, for the command line."""

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from time import monotonic, sleep
from typing import Any, final
from urllib.parse import quote, urlsplit

from isocline.errors import UsageError
from isocline.model.endpoint import port_problem, shown

_PATIENCE = 90.0  # s: a reload may compile a policy
_PERIOD = 0.2  # s between two queries of the requests in flight
_KEY = "give a key of serve.admin_control in ISOCLINE_ADMIN_KEY or --key-file"


@final
class ControlClient:
    """Client of one router's admin listener.

    Redirects are not followed, as their target would receive the key.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        """Initialise without a connection.

        Args:
            url: `http://HOST:PORT` of the admin listener, or `HOST:PORT`.
            key: Key of an operator; reads need none.
        """
        self._url = url if "://" in url else f"http://{url}"
        self._key = key

    def backends(self) -> list[dict[str, Any]]:
        """All backends with their controls and states."""
        found: list[dict[str, Any]] = self._call("GET", "/api/backends")["backends"]
        return found

    def backend(self, name: str) -> dict[str, Any]:
        """One backend with its controls and states."""
        found: dict[str, Any] = self._call("GET", f"/api/backends/{_quoted(name)}")
        return found

    def change(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change control fields of a backend; returns the answer."""
        found: dict[str, Any] = self._call("PATCH", f"/api/backends/{_quoted(name)}", values)
        return found

    def reload(self) -> dict[str, Any]:
        """Reload the system file; returns the answer."""
        found: dict[str, Any] = self._call("POST", "/api/reload", {})
        return found

    def forget(self, name: str) -> dict[str, Any]:
        """Discard the learned curve of a backend; returns the answer."""
        found: dict[str, Any] = self._call("POST", f"/api/curves/{_quoted(name)}/reset", {})
        return found

    def curves(self, name: str | None = None) -> dict[str, Any]:
        """Learned curves of one backend, or of all."""
        path = "/api/curves" if name is None else f"/api/curves/{_quoted(name)}"
        found: dict[str, Any] = self._call("GET", path)
        return found

    def curves_as_yaml(self, name: str | None = None) -> str:
        """Learned curves of one backend, or of all, in the YAML of a system file."""
        path = "/api/curves" if name is None else f"/api/curves/{_quoted(name)}"
        return ask(self._url, self._key, "GET", f"{path}?format=yaml").decode()

    def wait_until_idle(
        self, name: str, timeout: float, waits: Callable[[int], None] = lambda _: None
    ) -> bool:
        """Wait until a drained backend has no requests in flight, for at most `timeout` s.

        `waits` is called with the number of requests that remain. Returns whether all finished.
        """
        end, last = monotonic() + timeout, 0
        while True:
            seen = self.backend(name)
            # 1.0: every worker has applied the drain; one that has not may still send requests.
            drained = seen["state"].get("draining") == 1.0
            if drained and seen["in_flight"] == 0:
                return True
            if seen["in_flight"] and seen["in_flight"] != last:
                last = seen["in_flight"]
                waits(last)
            if monotonic() >= end:
                return False
            sleep(min(_PERIOD, max(end - monotonic(), 0.0)))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            return json.loads(ask(self._url, self._key, method, path, body))
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(_foreign(self._url)) from None


def ask(
    url: str, key: str | None, method: str, path: str, body: Mapping[str, Any] | None = None
) -> bytes:
    """Send one call, and return the body of the answer.

    Args:
        url: URL of the admin listener.
        key: Key of an operator, or None.
        method: HTTP method.
        path: Path and query.
        body: JSON object to send; None: no body.

    Raises:
        UsageError: The URL is invalid, there is no answer, or the answer reports an error.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        problem = port_problem(url) or "it is not an admin listener"
        raise UsageError(f"{shown(url)}: {problem}; give HOST:PORT, such as 127.0.0.1:9090")
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    if key is not None and not key.isprintable():
        raise UsageError(f"{url}: the key contains characters that are not printable; {_KEY}")
    connection = make(parts.hostname, port, timeout=_PATIENCE)
    # UTF-8, like the router's key file; http.client would encode as Latin-1.
    headers = {} if key is None else {"Authorization": f"Bearer {key}".encode()}
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = b"application/json"
    try:
        connection.request(method, parts.path.rstrip("/") + path, data, headers)
        response = connection.getresponse()
        status, answer = response.status, response.read()
    except ssl.SSLError as error:
        # The admin listener is plain HTTP; one behind a proxy may have TLS, and then a certificate.
        problem = f"it does not speak TLS as expected ({error.reason or error})"
        remedy = "give http://HOST:PORT where isocline serve itself listens"
        raise UsageError(f"{url}: {problem}; {remedy}") from None
    except (OSError, http.client.HTTPException) as error:
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
        remedy = "give the address that `isocline serve` calls admin"
        raise UsageError(f"{url}: {problem}; {remedy}") from None
    finally:
        connection.close()
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise UsageError(_problem(url, status, answer, wrong_key=key is not None))
    return answer


def _problem(url: str, status: int, answer: bytes, *, wrong_key: bool) -> str:
    try:
        message = json.loads(answer)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return _foreign(url)
    if status == HTTPStatus.UNAUTHORIZED:
        message = f"the router does not know this key; {_KEY}" if wrong_key else _KEY
    return f"{url}: {message}"


def _foreign(url: str) -> str:
    return f"{url}: this is not the admin listener of isocline serve; give its address"


def _quoted(name: str) -> str:
    return quote(name, safe="")
