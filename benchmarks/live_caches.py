"""Prefix caches live, by one router and by many: `python -m benchmarks.live_caches TRACE`.

A trace whose prompts have blocks, as Mooncake's, is sent through real sockets to emulated servers
with caches: half of the mixed fleet, at a load of 0.95 without caches. First through one router,
then through `--routers` processes that know nothing of each other, request by request in turn,
without homes and with them (docs/serve-caches.md). Beside them nginx and HAProxy, which hash a
header that names the session, by capacity, and vllm-router's `cache_aware` and `power_of_two`,
where they are installed. All see the same requests, one after the other. Rates are `--speed` times
those of the curves, and latencies one over that: a proxy takes 1 ms of them. The sessions that are
hashed are those of the trace, in 64 groups.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import yaml

from benchmarks import proxies
from benchmarks.listening import free_port, listening
from isocline.emulator import Settings
from isocline.loadgen import LoadSettings, Schedule
from isocline.loadgen.drive import Drive
from isocline.loadgen.tally import Tally
from isocline.model.curves import KneeCurve
from isocline.model.traffic import PromptBlocks, read_trace
from isocline.subprocesses.supervise import Child

IndexArray = npt.NDArray[np.int64]

BLOCK, LOAD, PREFILL = 512, 0.95, 0.1
GROUPS = 64  # of sessions
HEADER = "x-session-id"
TIMEOUT, START = 300.0, 120.0  # s
GOAL = 1.10  # of one router
THEIRS = (
    ("nginx, session hash", "nginx", f"hash $http_{HEADER.replace('-', '_')} consistent"),
    ("HAProxy, session hash", "haproxy", f"hdr({HEADER})\n  hash-type consistent"),
    ("vllm-router cache_aware", "vllm-router", "cache_aware"),
    ("vllm-router power_of_two", "vllm-router", "power_of_two"),
)
Url = str


class Server(NamedTuple):
    """Emulated server."""

    name: str
    peak: float  # tokens/s at speed 1
    knee: float
    sharpness: float
    blocks: int  # in its cache


H100, RTX, A10G = (17852.0, 65.0, 2.6, 4000), (2070.0, 36.0, 1.0, 400), (370.0, 8.7, 4.0, 400)
FLEET = (
    Server("h100", *H100),
    Server("rtx-1", *RTX),
    Server("rtx-2", *RTX),
    Server("a10g-1", *A10G),
    Server("a10g-2", *A10G),
)


class Load(NamedTuple):
    """Requests, and the group of each one's session."""

    schedule: Schedule
    group: IndexArray

    def of(self, kept: IndexArray) -> Schedule:
        """Some of the requests."""
        whole = self.schedule
        assert whole.blocks is not None
        return replace(
            whole,
            times=whole.times[kept],
            prompt_tokens=whole.prompt_tokens[kept],
            output_tokens=whole.output_tokens[kept],
            blocks=whole.blocks.taken(kept),
        )


def load_of(path: Path, requests: int, speed: float) -> Load:
    """The first requests of a trace, as fast as makes the load that of the benchmark."""
    trace = read_trace(path, tick=3.0)
    whole = Schedule.of_trace(trace)
    if whole.blocks is None:
        raise SystemExit(f"{path}: its prompts have no blocks; give Mooncake's trace")
    kept = np.arange(min(requests, whole.times.size))
    group = groups_of(whole.blocks.taken(kept))
    first = Load(replace(whole, block_tokens=BLOCK), group).of(kept)
    work = float((PREFILL * first.prompt_tokens + first.output_tokens).sum())
    duration = work / (LOAD * speed * sum(server.peak for server in FLEET))
    times = first.times * (duration / first.times[-1])
    return Load(replace(first, times=times, duration=duration), group)


def groups_of(blocks: PromptBlocks) -> IndexArray:
    """(n,) group of the session of each prompt: told by its first block that few have."""
    uses = np.bincount(blocks.ids, minlength=blocks.distinct)
    common = blocks.leading(uses[blocks.ids] > 0.01 * len(blocks))
    place = blocks.first[:-1] + np.minimum(common, np.maximum(blocks.counts - 1, 0))
    return np.asarray(blocks.ids[np.minimum(place, blocks.ids.size - 1)] * 7919 % GROUPS, np.int64)


def fleet(stack: ExitStack, speed: float) -> list[Url]:
    """Emulated servers with empty caches."""
    urls = []
    for server in FLEET:
        name = f"backend {server.name}"
        child = stack.enter_context(Child("isocline.demo.backend", name, "run this again"))
        curve = KneeCurve(speed * server.peak, server.knee, server.sharpness)
        cache = server.blocks * BLOCK
        child.tell(Settings(curve, prefill=PREFILL, cache_tokens=cache, block_size=BLOCK))
        urls.append(f"http://127.0.0.1:{child.hear()}")
    return urls


def file_of(urls: Sequence[Url], speed: float, mean: float) -> Mapping[str, object]:
    """System file of a router; it counts what it sent, as no other load is told."""
    backends = [
        {
            "name": server.name,
            "url": url,
            "report": "vllm",
            "curve": {
                "type": "knee",
                "peak": speed * server.peak,
                "knee": server.knee,
                "sharpness": server.sharpness,
            },
            "prefix_cache": {"tokens": server.blocks * BLOCK},
        }
        for server, url in zip(FLEET, urls, strict=True)
    ]
    return {
        "kind": "routing",
        "work": {"unit": "tokens", "mean": mean, "prefill": PREFILL, "decode": 1.0},
        "prefix_cache": {"tokens": BLOCK},
        "backends": backends,
        "frontends": [{"name": "all", "backends": ["*"]}],
    }


def ours(stack: ExitStack, count: int, homes: bool, file: Mapping[str, object]) -> list[Url]:
    """So many router processes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump({**file, "serve": {"cache_homes": homes}}))
    urls = []
    for _ in range(count):
        port = free_port()
        command = [sys.executable, "-m", "isocline", "serve", str(path)]
        command += ["--listen", f"127.0.0.1:{port}"]
        stack.enter_context(listening(command, port, within=START))
        urls.append(f"http://127.0.0.1:{port}")
    return urls


def weighted(program: str, urls: Sequence[Url]) -> list[str]:
    """Addresses for another router, with weights by capacity where it has any."""
    form = {"nginx": "{} weight={:.0f}", "haproxy": "{} weight {:.0f}"}.get(program, "{}")
    peak = max(server.peak for server in FLEET)
    return [
        form.format(url.removeprefix("http://"), max(200.0 * server.peak / peak, 1.0))
        for server, url in zip(FLEET, urls, strict=True)
    ]


async def sent(parts: Sequence[tuple[LoadSettings, Schedule]]) -> Tally:
    """All parts at once."""
    drives = [Drive(settings, schedule) for settings, schedule in parts]
    start = asyncio.get_running_loop().time() + 0.2
    total = Tally()
    for tally in await asyncio.gather(*(drive.run(start) for drive in drives)):
        total += tally
    return total


def in_turn(load: Load, urls: Sequence[Url]) -> list[tuple[LoadSettings, Schedule]]:
    """Each request to the next router."""
    every = np.arange(load.schedule.times.size)
    return [
        (LoadSettings(url, timeout=TIMEOUT), load.of(every[i :: len(urls)]))
        for i, url in enumerate(urls)
    ]


def by_session(load: Load, url: Url) -> list[tuple[LoadSettings, Schedule]]:
    """All requests to one router, with the session's name in a header."""
    return [
        (
            LoadSettings(url, timeout=TIMEOUT, headers=(f"{HEADER}: {group}",)),
            load.of(np.flatnonzero(load.group == group)),
        )
        for group in np.unique(load.group).tolist()
    ]


def contestants(
    load: Load, routers: int, speed: float
) -> Iterator[tuple[str, list[tuple[LoadSettings, Schedule]]]]:
    """Label and load of each, while it and a fresh fleet run."""
    first = load.schedule
    mean = float((PREFILL * first.prompt_tokens + first.output_tokens).mean())
    one = "gmsr_secant, one router"
    for label, count, homes in (
        (one, 1, False),
        (f"gmsr_secant, {routers} routers without homes", routers, False),
        (f"gmsr_secant, {routers} routers with homes", routers, True),
    ):
        with ExitStack() as stack:
            file = file_of(fleet(stack, speed), speed, mean)
            yield label, in_turn(load, ours(stack, count, homes, file))
    start = {"nginx": proxies.nginx, "haproxy": proxies.haproxy, "vllm-router": proxies.vllm_router}
    for label, program, method in THEIRS:
        binary = proxies.found(program)
        if binary is None:
            print(f"{label}: not installed", file=sys.stderr)
            continue
        with ExitStack() as stack:
            addresses = weighted(program, fleet(stack, speed))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = stack.enter_context(start[program](binary, method, addresses, folder))
            yield label, by_session(load, url)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--routers", type=int, default=16)
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    load = load_of(chosen.trace, chosen.requests, chosen.speed)
    print(f"{load.schedule.times.size:,} requests in {load.schedule.duration:.0f} s", flush=True)
    print("| router | mean, s | of one router | p99, s | failed | sent late by, ms |")
    print("|---" * 6 + "|")
    found: dict[str, dict[str, float]] = {}
    for label, parts in contestants(load, chosen.routers, chosen.speed):
        tally = asyncio.run(sent(parts))
        mean = tally.latency.mean
        found[label] = {
            "mean": mean,
            "ratio": mean / next(iter(found.values()), {"mean": mean})["mean"],
            "p99": tally.latency.quantile(0.99),
            "failed": tally.due - tally.completed,
            "lag": tally.lag.mean,
        }
        row = found[label]
        print(
            f"| {label} | {mean:.3f} | {row['ratio']:.2f} | {row['p99']:.2f} | {row['failed']:g} "
            f"| {1e3 * row['lag']:.1f} |",
            flush=True,
        )
        if chosen.json:
            chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    homes = next(row for label, row in found.items() if label.endswith("with homes"))
    word = "met" if homes["ratio"] <= GOAL else "not met"
    print(f"\nMany routers with homes: {homes['ratio']:.2f} of one; goal {GOAL:.2f}: {word}")


if __name__ == "__main__":
    main()
