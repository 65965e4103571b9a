"""The router before real inference servers of unlike speed, beside nginx.

    python -m benchmarks.real_servers --backends 127.0.0.1:18101,127.0.0.1:18102,127.0.0.1:18103 \
        --model mid --rate 4 --duration 60

Start the servers yourself: any that speak OpenAI's API, such as llama-server or vLLM, each with a
different speed (another model, fewer cores, or a CPU quota of a cgroup). Each contestant in turn
gets the same streamed requests in an open loop, on servers that have fallen idle: isocline, which
knows nothing but addresses and learns the curves from the requests of the warm-up and on, and
nginx with least_conn where it is installed (Debian: nginx-light). A run takes `--duration` s, and
at most `--timeout` s more for the last answers.

Beside the client's times stand the router's own: its time to first token should be the client's
within 10 %, and after each run its workloads 0, as the servers' own are.
"""

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import proxies
from benchmarks.listening import free_port, listening
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


def run_once(url: str, options: argparse.Namespace) -> LoadResult:
    """The same requests for each contestant."""
    settings = LoadSettings(
        url, options.model, streams=True, timeout=options.timeout, warmup=options.warmup
    )
    schedule = Schedule.poisson(
        options.rate, options.duration, options.prompt, options.tokens, options.seed
    )
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


def row(name: str, result: LoadResult) -> dict[str, Any]:
    first = result.first_token
    return {
        "name": name,
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", required=True, help="HOST:PORT, commas between")
    parser.add_argument("--model", default="mid")
    parser.add_argument("--rate", type=float, default=4.0, help="requests/s")
    parser.add_argument("--duration", type=float, default=60.0, help="s")
    parser.add_argument("--warmup", type=float, default=0.0, help="s that are not measured")
    parser.add_argument("--timeout", type=float, default=60.0, help="s")
    parser.add_argument("--prompt", type=int, default=20, help="tokens")
    parser.add_argument("--tokens", type=int, default=20, help="of each answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="keep all numbers")
    options = parser.parse_args()
    backends = options.backends.split(",")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, isocline(backends, Path(name)) as (url, said):
        rows.append(row("isocline", run_once(url, options)) | own_view(said))
    binary = proxies.found("nginx")
    if binary:
        wait_until_idle(backends, options.timeout)
        with (
            tempfile.TemporaryDirectory() as name,
            proxies.nginx(binary, "least_conn", backends, Path(name)) as url,
        ):
            rows.append(row("nginx least_conn", run_once(url, options)))
    for it in rows:
        print(
            f"{it['name']:<20} {it['completed']:>5} of {it['due']:<5} mean {it['mean']:.3f} s  "
            f"first token {it['first_token'] or float('nan'):.3f} s  p99 {it['p99']:.2f} s"
        )
    print({key: rows[0][key] for key in ("router_first_token", "workloads", "split")})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
