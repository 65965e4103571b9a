"""Zones with real sockets: requests stay in theirs, also after a reload."""

from pathlib import Path

from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker import Worker
from tests.gateway.proxies import ok, run, saying, serving
from tests.gateway.serve.test_worker import CURVE, HERE, ask


def write(folder: Path, zone: str, ports: dict[str, int]) -> Path:
    """A system file with a backend in each zone, and a frontend in one."""
    file = folder / "fleet.yaml"
    backends = "".join(
        f"  - {{name: {name}, url: 'http://127.0.0.1:{port}', zone: {name}/a, "
        f"report: orca, {CURVE}}}\n"
        for name, port in ports.items()
    )
    file.write_text(
        f"kind: routing\nbackends:\n{backends}"
        f'frontends: [{{name: all, zone: {zone}/a, backends: ["*"]}}]\n'
        "serve: {distance: {zone: 0.1, region: 5}, drain: 1}\n"
    )
    return file


def test_requests_stay_in_the_zone_that_the_file_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(saying(ok(b"eu"))) as eu, serving(saying(ok(b"us"))) as us:
            ports = {"eu": eu.port, "us": us.port}
            worker = Worker(read(write(tmp_path, "eu", ports), HERE))
            await worker.start()
            await ask(worker, 8)
            assert (len(eu.heads), len(us.heads)) == (8, 0)
            await worker.reload(read(write(tmp_path, "us", ports), HERE))
            await ask(worker, 5)
            assert (len(eu.heads), len(us.heads)) == (8, 5)
            await worker.stop(1.0)

    run(scenario())
