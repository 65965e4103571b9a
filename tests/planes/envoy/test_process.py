"""Process of Envoy: what is said of its end, with a stand-in that complains and ends as asked."""

import asyncio
import sys
from pathlib import Path

import pytest

from isocline.planes.envoy.admin_client import AdminClient, AdminError
from isocline.planes.envoy.process import EnvoyError, EnvoyProcess
from tests.live.processes import soon

PROGRAM = f"""#!{sys.executable} -S
import http.server, os, signal, socketserver, sys
from pathlib import Path

class Admin(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"LIVE")

    def do_POST(self):
        what, _, said = self.path.strip("/").partition("/")
        print(said.replace("/", " "), file=sys.stderr, flush=True)
        os.kill(os.getpid(), getattr(signal, what))

    def log_message(self, *_):
        pass

print("warning there is no limit", file=sys.stderr, flush=True)
if "--no" in sys.argv:
    sys.exit("error it cannot start")
path = str(Path(sys.argv[2]).with_name("admin.sock"))
socketserver.UnixStreamServer(path, Admin).serve_forever()
"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("SIGKILL/critical/of/late", "Envoy was killed by SIGKILL, often for lack of memory; it"),
        ("SIGABRT/critical/of/late", "Envoy was killed by SIGABRT: of late; it is started again"),
        ("SIGABRT/warning/of/late", "Envoy was killed by SIGABRT; it is started again"),
    ],
)
def test_an_end_is_said_with_its_reason_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: str, said: str
) -> None:
    """What it complained of before, or what somebody else ended it for, is none."""

    async def scenario() -> None:
        process, admin = made(tmp_path)
        await process.start()
        running = asyncio.create_task(process.keep_running(lambda: None))
        try:
            with pytest.raises(AdminError):
                await admin.post(f"/{asked}")
            await soon(lambda: "is started again" in caplog.text, "nothing is said")
            assert said in caplog.text
        finally:
            running.cancel()
            await process.close()

    asyncio.run(scenario())


def test_a_start_that_fails_is_said_with_the_last_complaint(tmp_path: Path) -> None:
    async def scenario() -> None:
        process, _ = made(tmp_path, "--no")
        try:
            with pytest.raises(EnvoyError, match="Envoy ended with status 1: it cannot start"):
                await process.start()
        finally:
            await process.close()

    asyncio.run(scenario())


def made(folder: Path, *options: str) -> tuple[EnvoyProcess, AdminClient]:
    program, files = folder / "envoy", folder / "files"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    files.mkdir()
    admin = AdminClient(files / "admin.sock")
    return EnvoyProcess(program, files / "bootstrap.json", admin, options), admin
