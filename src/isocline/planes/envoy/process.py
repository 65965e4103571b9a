"""Envoy's process: started, watched, started again when it has ended, drained, and ended with us.

It leads a group of its own, so that Ctrl-C is ours to act on. A guardian ends it, and removes its
files, which hold keys of certificates, should this process be killed.
"""

import asyncio
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import final

from isocline.errors import IsoclineError
from isocline.gateway.serve.log import LOG
from isocline.planes.envoy.admin_client import AdminClient, AdminError
from isocline.planes.envoy.bootstrap import STATISTICS
from isocline.structured_log import event
from isocline.subprocesses.guardian import Guardian
from isocline.subprocesses.supervise import Backoff, end_in_loop, ending

_START = 60.0  # s until it serves; usually 0.3
_LOOK = 0.02  # s between looks
_FIRST, _LONGEST = 0.05, 5.0  # s, pauses before restarts
_PROVEN = 10.0  # s after which a start counts as a good one
_GRACE = 5.0  # s from SIGTERM to SIGKILL
_FLUSH = 10  # ms between two writes of its logs, and so the age of what is known
_ACTIVE = f"^http\\.{STATISTICS}\\..*\\.downstream_rq_active$"
_LEVELS = {"warning": LOG.warning, "error": LOG.error, "critical": LOG.error}
_SENT = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT})  # by others, not for its fault
_LINE = re.compile(r"^(\w+) (.*)$")


class EnvoyError(IsoclineError):
    """Envoy cannot be started, or has ended."""


@final
class EnvoyProcess:
    """One Envoy at a time, from a bootstrap file.

    Attributes:
        admin: Client of its admin listener.
        restarts: Number of times it was started again.
    """

    def __init__(
        self, binary: Path, bootstrap: Path, admin: AdminClient, options: Sequence[str] = ()
    ) -> None:
        """Initialise without starting anything.

        Args:
            binary: Envoy's program.
            bootstrap: File in a folder that goes with this process, however that ends.
            admin: Client of the admin listener that the file opens.
            options: Further ones of its command line.
        """
        self.admin = admin
        self._folder = bootstrap.parent
        self.restarts = 0
        self._command = [
            str(binary),
            *("-c", str(bootstrap)),
            *("--disable-hot-restart", "--drain-strategy", "immediate"),
            *("--file-flush-interval-msec", str(_FLUSH)),
            *("--log-level", "warning", "--log-format", "%l %v"),
            *options,
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._complaint = ""  # the last one that may be why it ends
        self._serves = False
        self._relay: asyncio.Task[None] | None = None
        self._guardian = Guardian()
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Id of the process; None if it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it, and wait until it serves; raises EnvoyError."""
        self._complaint, self._serves = "", False
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            problem = error.strerror or error
            raise EnvoyError(f"{self._command[0]}: cannot be run: {problem}") from error
        self._process = process
        self._guardian.watch(process.pid, [str(self._folder)])
        assert process.stderr is not None
        self._relay = asyncio.create_task(self._read_log(process.stderr))
        try:
            async with asyncio.timeout(_START):
                while not await self.admin.is_live():
                    if process.returncode is not None:
                        raise EnvoyError(f"Envoy {await self._how(process)}")
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            await self.kill()
            why = self._complaint or "it does not say why"
            raise EnvoyError(f"Envoy does not serve after {_START:g} s: {why}") from None
        # Of what it has complained so far, it has not ended.
        self._complaint, self._serves = "", True

    async def keep_running(self, lost: Callable[[], None]) -> None:
        """Start it again whenever it ends by itself; `lost` is called when it has."""
        backoff = Backoff(_FIRST, _LONGEST)
        while True:
            began = monotonic()
            process = self._process
            assert process is not None
            await process.wait()
            if self._stopping:
                return
            lost()
            if monotonic() - began > _PROVEN:
                backoff.reset()
            fields = event("envoy.ended", status=process.returncode)
            LOG.error("Envoy %s; it is started again", await self._how(process), extra=fields)
            while True:
                await asyncio.sleep(backoff.pause())
                try:
                    await self.start()
                except EnvoyError as error:
                    LOG.error("%s", error, extra=event("envoy.failed", problem=str(error)))
                    continue
                break
            self.restarts += 1
            LOG.info("Envoy serves again", extra=event("envoy.restarted", pid=self.pid))

    async def announce(self) -> None:
        """Have it tell clients, and those who check its health, that it is about to stop."""
        with suppress(AdminError):
            await self.admin.post("/healthcheck/fail")

    async def drain(self, grace: float) -> bool:
        """Accept no new connections; whether requests under way have ended within `grace` s."""
        with suppress(AdminError):
            await self.admin.post("/drain_listeners")
        end = monotonic() + grace
        while monotonic() < end:
            if await self.active() == 0:
                return True
            await asyncio.sleep(_LOOK)
        return await self.active() == 0

    async def active(self) -> int:
        """Number of requests under way; 0 if it has ended."""
        try:
            return sum((await self.admin.counts(_ACTIVE)).values())
        except AdminError:
            return 0 if self.pid is None else 1

    async def stop(self) -> None:
        """End it; requests under way are cut."""
        self._stopping = True  # that it says so is no news
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            await end_in_loop(process, _GRACE)
        await self._ended()

    async def kill(self) -> None:
        """End it at once."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await self._ended()

    async def close(self) -> None:
        """End it, and the guardian."""
        await self.stop()
        await asyncio.to_thread(self._guardian.close)

    async def _how(self, process: asyncio.subprocess.Process) -> str:
        await self._ended()
        status = await process.wait()
        if not self._complaint or -status in _SENT:
            return ending(status)
        return f"{ending(status)}: {self._complaint}"

    async def _ended(self) -> None:
        if self._relay is not None:
            await self._relay
            self._relay = None
        if self._process is not None:
            self._guardian.forget(self._process.pid)

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        """Pass its log on to ours."""
        while True:
            try:
                raw = await stream.readline()
            except ValueError:  # longer than a line of a log should be
                continue
            if not raw:
                return
            found = _LINE.match(raw.decode(errors="replace").strip())
            level, text = found.groups() if found else ("warning", raw.decode(errors="replace"))
            if level in _LEVELS and not self._stopping:
                if level == "critical" or not self._serves:
                    self._complaint = text
                _LEVELS[level]("Envoy: %s", text, extra=event("envoy.said", level=level))
