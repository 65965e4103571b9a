"""Chromium without a display, by its debugging protocol: what a reader of a page would meet."""

import base64
import json
import subprocess
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Self, final

from websockets.sync.client import ClientConnection, connect

_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
_PATIENCE = 60.0  # s, of a machine that is busy


@final
class Browser:
    """One page at a time; what it complains of is kept in `complaints`."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._numbers = 0
        self._loaded = False

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            self._folder = Path(starting.enter_context(folder))
            process = subprocess.Popen(
                ["chromium", *_OPTIONS, f"--user-data-dir={self._folder}", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            starting.callback(process.wait, _PATIENCE)
            starting.callback(process.terminate)
            self._page = starting.enter_context(self._connected())
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _connected(self) -> AbstractContextManager[ClientConnection]:
        port = self._folder / "DevToolsActivePort"
        until = time.monotonic() + _PATIENCE
        while not (port.exists() and port.read_text().count("\n")):
            assert time.monotonic() < until, "Chromium does not start"
            time.sleep(0.05)
        number, path = port.read_text().splitlines()
        address = f"ws://127.0.0.1:{number}"
        with connect(f"{address}{path}", proxy=None, max_size=None) as whole:
            whole.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            while (answer := json.loads(whole.recv(_PATIENCE))).get("id") != 1:
                """Events come between."""
        (page,) = (t for t in answer["result"]["targetInfos"] if t["type"] == "page")
        return connect(f"{address}/devtools/page/{page['targetId']}", proxy=None, max_size=None)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; returns its result."""
        self._numbers += 1
        number = self._numbers
        self._page.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._page.recv(_PATIENCE))
            if message.get("id") == number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, said = message.get("method"), message.get("params", {})
        if method in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.complaints.append(json.dumps(said))
        elif method == "Runtime.consoleAPICalled" and said["type"] in {"error", "warning"}:
            self.complaints.append(json.dumps(said["args"]))
        elif method == "Network.requestWillBeSent":
            address = said["request"]["url"]
            if not address.startswith(("file:", "data:", "about:")):
                self.complaints.append(f"asks for {address}")
        elif method == "Page.loadEventFired":
            self._loaded = True

    def open(self, path: Path, width: int = 900, *, dark: bool = False) -> None:
        """Load a file in a window so wide, pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.call("Page.navigate", url=path.as_uri())
        until = time.monotonic() + _PATIENCE
        while not self._loaded:
            assert time.monotonic() < until, "the page does not load"
            self._note(json.loads(self._page.recv(_PATIENCE)))

    def value(self, expression: str) -> Any:
        """Value of JavaScript in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"]["value"]

    def pdf(self) -> bytes:
        """The page on paper."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])
