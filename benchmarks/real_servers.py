"""The router before real inference servers of unlike speed: latency beside nginx, and capacity.

    python -m benchmarks.real_servers latency --llama-server PROGRAM --gguf MODEL
    python -m benchmarks.real_servers latency --backends 127.0.0.1:18101,127.0.0.1:18102
    python -m benchmarks.real_servers capacity --llama-server PROGRAM --gguf MODEL --quotas 0.2

Servers are any that speak OpenAI's API and were started by hand (`--backends`), or llama-servers
with CPU quotas that are started here (`real_fleet`, which needs Linux and root).

**latency**: each contestant in turn gets the same streamed requests in an open loop, on servers
that have fallen idle, in `--rounds` that alternate, so that what drifts hits both: isocline, which
knows nothing but addresses and learns from the first request on, and nginx with least_conn where
it is installed (Debian: nginx-light). The load is `--load` of the capacity, which a closed loop of
`--clients` to each server measures first, or `--rate`. Beside the client's times stand the router's
own: its time to first token should be the client's within 10 %, and after each round its workloads
0, as the servers' own are.

**capacity**: of the first server alone. A closed loop of `--clients` straight to it measures its
rate; then closed loops of fewer up to as many clients go through isocline, which learns; half way
and at the end the server is measured again, which says how far its capacity drifts on this machine.
The interval of the learned capacity should hold the measured ones, if those agree.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import proxies
from benchmarks.closed_loop import ClosedLoop
from benchmarks.listening import free_port, listening
from benchmarks.real_fleet import llama_servers
from isocline.loadgen import LoadResult, LoadSettings, Schedule, run_load


@contextmanager
def isocline(backends: Sequence[str], folder: Path) -> Iterator[tuple[str, str]]:
    """(URL of the router, URL of its statistics)."""
    file, port, admin = folder / "fleet.yaml", free_port(), free_port()
    lines = [f"  - {{name: b{i}, url: 'http://{one}'}}" for i, one in enumerate(backends)]
    serve = f"serve: {{listen: '127.0.0.1:{port}', admin: '127.0.0.1:{admin}'}}"
    entries = "\n".join(["kind: routing", "backends:", *lines])
    file.write_text(f'{entries}\nfrontends: [{{name: all, backends: ["*"]}}]\n{serve}\n')
    with listening([sys.executable, "-m", "isocline", "serve", str(file)], port):
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}/statistics"


def run_once(url: str, options: argparse.Namespace, rate: float, seed: int) -> LoadResult:
    """The same requests for each contestant of a round."""
    settings = LoadSettings(
        url, options.model, streams=True, timeout=options.timeout, warmup=options.warmup
    )
    schedule = Schedule.poisson(rate, options.duration, options.prompt, options.tokens, seed)
    return run_load(settings, schedule)


def wait_until_idle(backends: Sequence[str], patience: float) -> None:
    """Until no server holds a request any more, as far as its metrics say."""
    from isocline.gateway.load_reports import jobs_in_metrics

    end = time.monotonic() + patience
    while time.monotonic() < end:
        pages = [_read(f"http://{one}/metrics") for one in backends]
        if not any(page and jobs_in_metrics(page) for page in pages):
            return
        time.sleep(0.5)


def _read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return str(answer.read().decode(errors="replace"))
    except OSError:
        return ""


def row(name: str, round_: int, result: LoadResult) -> dict[str, Any]:
    first = result.first_token
    return {
        "name": name,
        "round": round_,
        "completed": result.completed,
        "due": result.due,
        "mean": result.latency.mean,
        "first_token": first.mean if first else None,
        "p99": result.latency.p99,
        "errors": result.errors,
    }


def own_view(statistics: str) -> dict[str, Any]:
    """What the router says of the same requests, the warm-up included."""
    said = json.loads(_read(statistics))
    return {
        "router_first_token": said["frontends"][0]["requests"]["first_token"]["mean"],
        "workloads": {it["name"]: it["workload"] for it in said["backends"]},
        "split": {it["name"]: it["requests"]["total"] for it in said["backends"]},
    }


def capacities(backends: Sequence[str], options: argparse.Namespace) -> list[float]:
    """Answers per second of each server alone, in closed loops straight to it."""
    return [
        loop_to(f"http://{one}", options).rate(options.clients, options.seconds) for one in backends
    ]


def loop_to(url: str, options: argparse.Namespace) -> ClosedLoop:
    return ClosedLoop(url, options.model, options.prompt, options.tokens, options.timeout)


def latency(backends: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of both contestants in turn."""
    rate = options.rate
    if rate is None:
        alone = capacities(backends, options)
        rate = options.load * sum(alone)
        print(f"capacities {', '.join(f'{it:.2f}' for it in alone)} requests/s; load {rate:.2f}")
    rows: list[dict[str, Any]] = []
    binary = proxies.found("nginx")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, said = stack.enter_context(isocline(backends, folder))
        contestants = {"isocline": url}
        if binary:
            other = proxies.nginx(binary, "least_conn", backends, folder)
            contestants["nginx least_conn"] = stack.enter_context(other)
        for number in range(options.rounds):
            for name, address in contestants.items():
                wait_until_idle(backends, options.timeout)
                result = run_once(address, options, rate, options.seed + number)
                rows.append(row(name, number + 1, result))
                if name == "isocline":
                    rows[-1] |= own_view(said)
                print(_line(f"{name}, {number + 1}", rows[-1]), flush=True)
    for name in contestants:
        print(_line(f"{name}, all", pooled([it for it in rows if it["name"] == name])))
    print({key: rows[-2 if binary else -1][key] for key in ("router_first_token", "workloads")})
    return rows


def pooled(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over rounds, by their requests; of the 99th percentiles the mean."""
    weights = [it["completed"] for it in rows]
    means = {
        key: statistics.fmean([it[key] for it in rows], weights=weights)
        for key in ("mean", "first_token", "p99")
    }
    return means | {"completed": sum(weights), "due": sum(it["due"] for it in rows)}


def _line(name: str, it: dict[str, Any]) -> str:
    return (
        f"{name:<22} {it['completed']:>5} of {it['due']:<5} mean {it['mean']:.3f} s  "
        f"first token {it['first_token'] or float('nan'):.3f} s  p99 {it['p99']:.2f} s"
    )


def capacity(backends: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One server measured, learned, and measured again."""
    backend = backends[:1]
    rates = capacities(backend, options)
    with tempfile.TemporaryDirectory() as name, isocline(backend, Path(name)) as (url, said):
        loop, learned = loop_to(url, options), {}
        for clients in sorted({1, 2, 3, 4, 6, options.clients}):
            if clients <= options.clients:
                learned[clients] = loop.rate(clients, options.seconds, ramp=0.5)
            if clients == options.clients // 2:
                rates += capacities(backend, options)
        time.sleep(1.0)  # for the last fit
        curve = json.loads(_read(said))["backends"][0]["curve"]
    rates += capacities(backend, options)
    low, high = curve["capacity_low"], curve["capacity_high"]
    held = [low <= it and (high is None or it <= high) for it in rates]
    alone = ", ".join(f"{rate:.2f}" for rate in rates)
    print(f"straight to it, {options.clients} clients, one after the other: {alone} requests/s")
    print("through the router:", {n: round(it, 2) for n, it in learned.items()})
    print(
        f"learned from {curve['completions']:.0f} completions, seen up to {curve['seen_jobs']}: "
        f"capacity {low:.2f} to {'no end' if high is None else f'{high:.2f}'}; holds: {held}"
    )
    return [{"measured": rates, "through": learned, "curve": curve, "held": held}]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["latency", "capacity"])
    parser.add_argument("--backends", help="HOST:PORT, commas between")
    parser.add_argument("--llama-server", type=Path, help="the program, in place of --backends")
    parser.add_argument("--gguf", type=Path, help="its model")
    parser.add_argument("--quotas", default="0.3,0.15,0.08", help="cores of each llama-server")
    parser.add_argument("--model", default="mid")
    parser.add_argument("--rate", type=float, help="requests/s; in place of --load")
    parser.add_argument("--load", type=float, default=0.6, help="of the measured capacity")
    parser.add_argument("--rounds", type=int, default=3, help="of each contestant")
    parser.add_argument("--duration", type=float, default=60.0, help="s, of a round")
    parser.add_argument("--warmup", type=float, default=5.0, help="s that are not measured")
    parser.add_argument("--clients", type=int, default=8, help="of closed loops")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each closed loop")
    parser.add_argument("--timeout", type=float, default=60.0, help="s")
    parser.add_argument("--prompt", type=int, default=20, help="tokens")
    parser.add_argument("--tokens", type=int, default=20, help="of each answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="keep all numbers")
    options = parser.parse_args()
    if bool(options.backends) == bool(options.llama_server):
        parser.error("give either --backends or --llama-server")
    if options.llama_server and not options.gguf:
        parser.error("--llama-server needs --gguf, its model")
    with ExitStack() as stack:
        backends = options.backends.split(",") if options.backends else None
        if backends is None:
            quotas = [float(it) for it in options.quotas.split(",")]
            servers = llama_servers(options.llama_server, options.gguf, quotas)
            backends = stack.enter_context(servers)
        measure = latency if options.what == "latency" else capacity
        rows = measure(backends, options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
