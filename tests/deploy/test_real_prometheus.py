"""A real Prometheus scrapes a real router, and each panel of each dashboard has data.

Two targets: the router, in OpenMetrics, which Prometheus asks for by itself; and a relay that asks
it for the text format. A third one exposes a snapshot in which nothing is missing, for panels of
what a healthy router does not have: refusals, limits, caches.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml

from isocline.gateway.metrics import merged
from isocline.gateway.metrics.prometheus_format.exposition import exposed
from tests.cli.served import PATIENCE, Served, served
from tests.deploy.promql import DEPLOY, rules
from tests.deploy.test_dashboards import queries
from tests.gateway.metrics.test_exposition import account, everything
from tests.gateway.proxies import refusing_port
from tests.live.processes import until
from tests.running import running

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus (Debian: prometheus)")

REQUESTS = 300  # in 12 s: more than the 100 in a minute that a gap needs
TEXT_FORMAT = "text/plain;version=0.0.4"

# Panels that are empty for a router that nothing is wrong with, or whose curves have not been seen
# to bend. The complete snapshot has them.
EMPTY_WHEN_WELL = {
    "Closed for",
    "Failed attempts, by cause",
    "Jobs now, and how many it may hold",
    "Load may grow by",
    "Capacity",
    "Served, of the capacity",
    "Refusals, by status",
    "Prompt tokens that were cached",
    "Latency that one more connection would save",
    "How sure",
    "Where it goes",
    "Mean latency over the least possible",
    "Workloads",
}


@dataclass
class Prometheus:
    """A Prometheus, asked through its API."""

    port: int

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}"
        with urlopen(url, timeout=PATIENCE) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def healths(self) -> list[str]:
        """Whether targets answer: up, down or unknown."""
        return [it["health"] for it in self.get("targets")["activeTargets"]]

    def names(self, job: str) -> set[str]:
        """Names of a target's series, now."""
        found = self.values(f'{{job="{job}", __name__=~"isocline_.+|process_.+"}}')
        return {it["metric"]["__name__"] for it in found}

    def values(self, expression: str) -> list[dict[str, Any]]:
        """Series of a query, now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def wait_for(self, expression: str, value: float | None = None) -> None:
        """Wait until a query has series, or this value."""

        def there() -> bool:
            found = self.values(expression)
            numbers = [float(it["value"][1]) for it in found]
            return bool(found) if value is None else numbers == [value]

        until(there, lambda: f"{expression} is {self.values(expression)}, not {value}")


class Server(ThreadingHTTPServer):
    """One that says nothing of a Prometheus that ends in the midst of a scrape."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def exposing(text: Callable[[str], tuple[bytes, str]]) -> Iterator[int]:
    """A server whose every answer is (body, content type) for an Accept field; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = text(self.headers.get("Accept", ""))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def growing() -> Callable[[str], tuple[bytes, str]]:
    """The complete snapshot; its counts are greater each time."""
    seen, optimality = everything(), account()
    cached = replace(seen.backends["b0"], prompt_tokens=100, cached_tokens=60)
    one = replace(seen, backends=seen.backends | {"b0": cached})
    so_far = [one]

    def text(accept: str) -> tuple[bytes, str]:
        so_far[0] = merged([so_far[0], one])
        return exposed(so_far[0], optimality, accept)

    return text


def fetched(url: str, accept: str) -> tuple[bytes, str]:
    with urlopen(Request(url, headers={"Accept": accept}), timeout=PATIENCE) as answer:
        return answer.read(), answer.headers["Content-Type"]


def backend(stack: ExitStack, folder: Path, name: str, curve: str) -> str:
    """The URL of an emulated server, which ends with the stack."""
    said = folder / name
    command = [sys.executable, "-m", "isocline", "backend", "--listen=127.0.0.1:0", "--model=m"]
    output = stack.enter_context(said.open("w"))
    process = stack.enter_context(
        running([*command, f"--curve={curve}"], stdout=output, stderr=output)
    )
    found: list[str] = []

    def listens() -> bool:
        assert process.poll() is None, said.read_text()
        found.extend(re.findall(r"http://127\.0\.0\.1:\d+", said.read_text()))
        return bool(found)

    until(listens, said.read_text)
    return found[0]


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Served]]:
    """Prometheus with the project's own rules, after a load has passed through a router."""
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        curves = (
            "{type: knee, peak: 2400, knee: 16, sharpness: 3}",
            "{type: hyperbolic, peak: 600, half: 4}",
        )
        one, two = (backend(stack, folder, f"backend-{i}", it) for i, it in enumerate(curves))
        system = folder / "system.yaml"
        system.write_text(SYSTEM.format(one=one, two=two))
        router = stack.enter_context(served(system))
        admin = router.wait_for(r"admin on (http://127\.0\.0\.1:(\d+))")
        until(lambda: status(f"{admin[1]}/ready") == 200, lambda: "no backend comes up")
        relay = stack.enter_context(exposing(lambda _: fetched(f"{admin[1]}/metrics", TEXT_FORMAT)))
        complete = stack.enter_context(exposing(growing()))
        targets = {"isocline": int(admin[2]), "isocline-text": relay, "isocline-all": complete}
        prometheus = stack.enter_context(started(folder, targets))
        command = ["load", f"http://127.0.0.1:{router.port}", "--model=m", "--rate=25"]
        command += ["--duration=12", "--streams"]
        done = subprocess.run(
            [sys.executable, "-m", "isocline", *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert status(f"http://127.0.0.1:{router.port}/elsewhere") == 404  # no frontend takes it
        yield prometheus, router


SYSTEM = """kind: routing
backends:
  - {{name: one, url: "{one}"}}
  - {{name: two, url: "{two}"}}
frontends:
  - {{name: chat, match: {{path: /v1}}, backends: ["*"]}}
serve:
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  policy: round_robin
  health: {{}}
  learn: {{}}
"""


@contextmanager
def started(folder: Path, targets: dict[str, int]) -> Iterator[Prometheus]:
    """Prometheus with these jobs, each of one port."""
    for name in ("recording.yaml", "alerts.yaml"):
        shutil.copy(DEPLOY / "prometheus" / name, folder)
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "3s", "evaluation_interval": "3s"}
    (job,) = config["scrape_configs"]
    config["scrape_configs"] = [
        job | {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for name, port in targets.items()
    ]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    assert PROMETHEUS is not None
    command = [PROMETHEUS, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    with refusing_port() as port:  # free a moment later, most probably
        command.append(f"--web.listen-address=127.0.0.1:{port}")
    log = folder / "log"
    with log.open("w") as said, running(command, stderr=said) as process:
        prometheus = Prometheus(port)

        def scrapes() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return prometheus.healths() == ["up"] * len(targets)
            except OSError:
                return False

        until(scrapes, log.read_text)
        yield prometheus


def test_both_formats_are_taken(scraped: tuple[Prometheus, Served]) -> None:
    prometheus, router = scraped
    frontends = json.loads(router.asked("/statistics"))["frontends"]
    (total,) = [it["requests"]["total"] for it in frontends if it["name"] == "chat"]
    assert total >= REQUESTS * 0.7  # Poisson arrivals: 300 with a deviation of 17
    for job in ("isocline", "isocline-text"):
        prometheus.wait_for(f'sum(isocline_requests_total{{job="{job}", frontend="chat"}})', total)
    until(
        lambda: prometheus.names("isocline") == prometheus.names("isocline-text"),
        lambda: "one format has series that the other has not",
    )
    assert len(prometheus.names("isocline")) > 40


def test_promtool_finds_nothing_in_the_text_format(scraped: tuple[Prometheus, Served]) -> None:
    _, router = scraped
    url = router.wait_for(r"admin on (http://127\.0\.0\.1:\d+)")[1]
    body, kind = fetched(f"{url}/metrics", TEXT_FORMAT)
    assert kind.startswith("text/plain")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def filled(expression: str, job: str) -> str:
    """A query of a panel, with Grafana's variables filled in."""
    expression = expression.replace("$__rate_interval", "30m").replace("$job", job)
    return (
        expression.replace("$instance", ".*").replace("$frontend", ".*").replace("$backend", ".*")
    )


def test_each_panel_has_data(scraped: tuple[Prometheus, Served]) -> None:
    prometheus, _ = scraped
    for panel, expression, _ in queries():
        prometheus.wait_for(filled(expression, "isocline-all"))
        if panel.partition(": ")[2] not in EMPTY_WHEN_WELL:
            prometheus.wait_for(filled(expression, "isocline"))


def test_rules_are_evaluated_without_error(
    scraped: tuple[Prometheus, Served],
) -> None:
    prometheus, _ = scraped
    prometheus.wait_for("frontend:isocline_requests:rate5m")
    groups = prometheus.get("rules")["groups"]
    healths = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert set(healths) == {
        it.get("alert") or it["record"] for it in (*rules("alerts.yaml"), *rules("recording.yaml"))
    }
    assert {it for it, health in healths.items() if health == "err"} == set()
