"""Control calls over real sockets: who may call, what changes, what a reload leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from isocline.gateway.discovery.discovery import Discovery
from isocline.gateway.metrics.admin_server import AdminServer
from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.control_calls import ControlCalls
from isocline.gateway.serve.discovery_calls import DiscoveryCalls
from isocline.gateway.serve.from_file import opened, serving_of
from isocline.gateway.serve.operations import Operations
from isocline.gateway.serve.single_worker import SingleWorker
from isocline.structured_log import JsonFormatter
from tests.gateway.proxies import Backend, Handler, ok, read_request, run, saying, serving

CURVE = ", curve: {type: hyperbolic, peak: 1000, half: 10}"
KEY, OTHER = "ann-s3cret", "bob-s3cret"
BEARER = {"Authorization": f"Bearer {KEY}"}
HERE = Overrides(listen="127.0.0.1:0")
Answer = tuple[int, Any]


@dataclass
class Controlled:
    """A router with an admin listener, whose file is `file`."""

    file: Path
    operations: Operations
    session: aiohttp.ClientSession
    admin: str
    router: str
    discovery: Discovery

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Status and JSON; with the key of Ann unless other headers are given."""
        headers = BEARER if headers is None else headers
        url = f"{self.admin}{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert "Access-Control-Allow-Origin" not in answer.headers
            is_json = answer.content_type == "application/json"
            return answer.status, json.loads(text) if is_json else text

    async def change(self, name: str, **values: Any) -> Answer:
        return await self.call("PATCH", f"/api/backends/{name}", values)

    async def ask(self, times: int) -> list[str]:
        """Bodies of so many answers, one after another."""
        found = []
        for _ in range(times):
            async with self.session.get(self.router) as answer:
                assert answer.status == 200
                found.append(await answer.text())
        return found


def write(
    file: Path,
    backends: dict[str, int],
    *,
    allow: str = "",
    serve: str = "",
    curve: str = CURVE,
    more: dict[str, str] | None = None,
) -> None:
    lines = [
        f'  - {{name: {name}, url: "http://127.0.0.1:{port}", report: none{curve}'
        f"{(more or {}).get(name, '')}}}"
        for name, port in backends.items()
    ]
    (file.parent / "keys").write_text(f"ann {KEY}\nbob {OTHER}\n")
    control = f"  admin_control: {{keys: {{file: keys}}{allow}}}\n" if allow != "off" else ""
    file.write_text(
        "kind: routing\nbackends:\n"
        + "\n".join(lines)
        + '\nfrontends: [{name: all, backends: ["*"]}]\nserve:\n'
        + f"  admin: 127.0.0.1:0\n{control}{serve}"
    )


@asynccontextmanager
async def controlled(file: Path) -> AsyncIterator[Controlled]:
    opening = opened(file)
    settings = serving_of(opening, HERE)
    worker = SingleWorker(settings, None)
    discovery = Discovery(lambda: None, {})
    operations = Operations(opening, HERE, settings, worker, discovery)
    [(_, _, port)] = await worker.start()
    calls = ControlCalls(operations)
    routes = [*calls.routes(), *DiscoveryCalls(discovery, calls).routes()]
    admin = AdminServer("127.0.0.1", 0, operations.snapshots, routes=routes)
    await admin.start()
    try:
        async with aiohttp.ClientSession() as session:
            urls = [f"http://127.0.0.1:{it}" for it in (admin.port, port)]
            admin_url, router_url = urls
            yield Controlled(file, operations, session, admin_url, router_url, discovery)
    finally:
        await admin.close()
        await worker.stop(0.0)


Scenario = Callable[[Controlled], Coroutine[Any, Any, None]]


def with_two(folder: Path, scenario: Scenario, **options: Any) -> None:
    """Run a scenario on a router before backends a and b, which answer with their names."""

    async def whole() -> None:
        async with serving(saying(ok(b"a"))) as a, serving(saying(ok(b"b"))) as b:
            file = folder / "fleet.yaml"
            write(file, {"a": a.port, "b": b.port}, **options)
            async with controlled(file) as router:
                await scenario(router)

    run(whole())


def test_a_drained_backend_gets_nothing_until_its_drain_ends(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        status, told = await router.change("a", draining=True)
        assert status == 200
        assert (told["changed"], told["workers"]) == ({"draining": [False, True]}, 1)
        assert told["backend"]["draining"]
        assert told["backend"]["changed_by"] == {"draining": "ann"}
        assert told["backend"]["state"]["draining"] == 1.0
        assert set(await router.ask(20)) == {"b"}
        assert (await router.change("a", draining=True))[1]["changed"] == {}
        assert (await router.change("a", draining=False))[0] == 200
        assert (await router.change("b", draining=True))[0] == 200
        assert set(await router.ask(20)) == {"a"}

    with_two(tmp_path, scenario)


def test_requests_in_flight_go_on_through_a_drain(tmp_path: Path) -> None:
    gate = asyncio.Event()

    def slow(backend: Backend) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await read_request(reader, backend):
                await gate.wait()
                writer.write(ok(b"slow"))

        return handle

    async def whole() -> None:
        async with serving(slow) as a:
            write(tmp_path / "fleet.yaml", {"a": a.port})
            async with controlled(tmp_path / "fleet.yaml") as router:
                asked = asyncio.create_task(router.ask(1))
                while not a.heads:
                    await asyncio.sleep(0.01)
                _, told = await router.change("a", draining=True, force=True)
                assert told["backend"]["in_flight"] == 1
                gate.set()
                assert await asked == ["slow"]
                _, told = await router.call("GET", "/api/backends/a")
                assert told["in_flight"] == 0

    run(whole())


def test_the_last_backend_of_a_frontend_is_drained_by_force_alone(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        await router.change("a", draining=True)
        status, told = await router.change("b", draining=True)
        assert status == 409
        assert told["error"]["message"].startswith("frontend all has no other backend in service")
        assert set(await router.ask(3)) == {"b"}
        assert (await router.change("b", draining=True, force=True))[0] == 200

    with_two(tmp_path, scenario)


def test_a_canary_gets_its_share(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        await router.change("a", max_share=0.1)
        assert (await router.ask(50)).count("a") <= 6
        await router.change("b", max_share=0.1)
        await router.change("a", max_share=None)
        assert (await router.ask(50)).count("b") <= 6
        _, told = await router.call("GET", "/api/backends/a")
        assert (told["max_share"], told["in_file"]["max_share"]) == (0.9, 0.9)

    with_two(tmp_path, scenario, more={"a": ", max_share: 0.9"})


def test_a_weight_is_set_and_taken_back(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        _, told = await router.change("a", weight=0.5)
        assert told["changed"] == {"weight": [2.0, 0.5]}
        _, statistics = await router.call("GET", "/statistics")
        assert [it["weight"] for it in statistics["backends"]] == [0.5, 1.0]
        assert statistics["policy"] == router.operations.serving.policy
        _, told = await router.change("a", weight=None)
        assert told["changed"] == {"weight": [0.5, 2.0]}
        assert told["backend"]["changed_by"] == {}

    with_two(tmp_path, scenario, more={"a": ", weight: 2"})


def test_a_weight_that_the_policy_cannot_use_is_refused(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        status, told = await router.change("a", weight=0.5, draining=True)
        assert status == 422
        assert "serves all its jobs at once" in told["error"]["message"]
        _, told = await router.call("GET", "/api/backends/a")
        assert (told["weight"], told["draining"]) == (1.0, False)

    curve = ", curve: {type: servers, rate: 100, count: 1}"
    serve = '  policy: "jsq:count=waiting"\n'
    with_two(tmp_path, scenario, curve=curve, serve=serve)


def test_weights_that_change_nothing_are_told(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        assert router.operations.serving.notes == (
            "weights (b) change nothing: policy jsq looks at no curve; "
            "weighted_least_connections and gmsr do",
        )
        _, told = await router.change("a", weight=0.5)
        assert told["notes"][0].startswith("weights (a, b) change nothing: policy jsq looks")
        assert (await router.change("a", draining=True))[1]["notes"] == []
        text = router.file.read_text()
        router.file.write_text(text.replace("policy: jsq", "policy: gmsr"))
        assert (await router.call("POST", "/api/reload", {}))[1]["notes"] == []
        assert (await router.change("a", weight=2))[1]["notes"] == []

    with_two(tmp_path, scenario, serve="  policy: jsq\n", more={"b": ", weight: 3"})


def test_a_reload_that_does_not_go_with_a_change_is_refused(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        await router.change("a", weight=0.5)
        text = router.file.read_text()
        router.file.write_text(text.replace("policy: gmsr", 'policy: "jsq:count=waiting"'))
        status, told = await router.call("POST", "/api/reload", {})
        assert (status, "serves all its jobs at once" in told["error"]["message"]) == (422, True)
        await router.ask(1)

    curve = ", curve: {type: servers, rate: 100, count: 1}"
    with_two(tmp_path, scenario, curve=curve, serve="  policy: gmsr\n")


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"x-api-key": OTHER}, 200),
        (BEARER | {"Origin": "https://evil.example"}, 403),
        (BEARER | {"Origin": "null"}, 403),
        (BEARER | {"Origin": "http://["}, 403),
        (BEARER | {"Sec-Fetch-Site": "cross-site"}, 403),
        (BEARER | {"Sec-Fetch-Site": "same-site"}, 403),
        (BEARER | {"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_who_may_not_call_changes_nothing(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async def scenario(router: Controlled) -> None:
        for method, path, body in (
            ("PATCH", "/api/backends/a", {"weight": 2}),
            ("POST", "/api/reload", {}),
        ):
            found, told = await router.call(method, path, body, headers)
            assert found == status
            if status != 200:
                assert told["error"]["code"] == status
        _, told = await router.call("GET", "/api/backends/a", headers={})
        assert told["weight"] == (2.0 if status == 200 else 1.0)

    with_two(tmp_path, scenario)


def test_a_form_cannot_call(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            headers = BEARER | {"Content-Type": kind}
            url = f"{router.admin}/api/reload"
            async with router.session.post(url, data=b"{}", headers=headers) as answer:
                assert answer.status == 415
        async with router.session.options(f"{router.admin}/api/reload") as answer:
            assert answer.status == 405

    with_two(tmp_path, scenario)


def test_what_the_file_does_not_allow_is_refused(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        assert (await router.call("GET", "/api/controls"))[1]["allowed"] == ["drain", "reload"]
        assert (await router.change("a", draining=True))[0] == 200
        status, told = await router.change("a", weight=2, draining=False)
        assert status == 403
        assert told["error"]["message"].startswith("the file does not allow weight")
        assert (await router.call("GET", "/api/backends/a"))[1]["draining"]  # all or none
        assert (await router.call("POST", "/api/curves/a/reset", {}))[0] == 403

    with_two(tmp_path, scenario, allow=", allow: [drain, reload]")


def test_without_the_key_in_the_file_nothing_is_allowed(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        assert (await router.call("GET", "/api/controls"))[1]["allowed"] == []
        status, told = await router.change("a", draining=True)
        assert status == 403
        assert "add serve.admin_control" in told["error"]["message"]
        assert len((await router.call("GET", "/api/backends"))[1]["backends"]) == 2

    with_two(tmp_path, scenario, allow="off")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"weight": 0}, "weight", "to send it nothing, drain it"),
        ({"weight": -1}, "weight", "above 0"),
        ({"weight": "2"}, "weight", 'weight is "2"'),
        ({"weight": True}, "weight", "weight is true"),
        ({"max_share": 1.5}, "max_share", "up to 1"),
        ({"draining": 1}, "draining", "give true or false"),
        ({"draining": None}, "draining", "give true or false"),
        ({"wieght": 2}, "wieght", "known: draining, weight"),
        ({"force": True}, None, "nothing to change"),
        ({}, None, "nothing to change"),
        ([], None, "no JSON object"),
    ],
)
def test_values_out_of_bounds_are_refused(
    tmp_path: Path, body: Any, field: str | None, words: str
) -> None:
    async def scenario(router: Controlled) -> None:
        status, told = await router.call("PATCH", "/api/backends/a", body)
        assert status == 422
        assert words in told["error"]["message"]
        assert told["error"].get("field") == field

    with_two(tmp_path, scenario)


def test_texts_that_are_no_json_are_refused(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        url = f"{router.admin}/api/backends/a"
        for text in (b'{"weight": NaN}', b'{"weight": Infinity}', b"{", b"\xff", b"[" * 100_000):
            async with router.session.patch(url, data=text, headers=BEARER | JSON) as answer:
                assert answer.status == 422, text
        assert (await router.change("c", weight=2))[0] == 404
        assert (await router.call("GET", "/api/backends/a%2Fb"))[0] == 404

    with_two(tmp_path, scenario)


def test_bodies_that_are_too_long_or_of_another_charset_are_answered(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        url = f"{router.admin}/api/backends/a"
        long = BytesIO(b'{"weight": 2, "x": "' + b"x" * 2**20 + b'"}')
        async with router.session.patch(url, data=long, headers=BEARER | JSON) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["code"] == 413
        headers = BEARER | {"Content-Type": "application/json; charset=nonsense"}
        async with router.session.patch(url, data=b'{"weight": 2}', headers=headers) as answer:
            assert answer.status == 200

    with_two(tmp_path, scenario)


def test_a_name_with_braces_is_found(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        write(router.file, {"'{a} b/c'": 1, "b": 2})
        await router.operations.reload()
        status, told = await router.change("%7Ba%7D%20b%2Fc", weight=2)
        assert (status, told["changed"]) == (200, {"weight": [1.0, 2.0]})

    with_two(tmp_path, scenario)


def test_what_runs_is_named_beside_what_operators_did(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        await router.change("a", draining=True)
        _, told = await router.call("GET", "/statistics", headers={})
        assert told["control_changes"] == {"drain": {"ann": 1}}
        assert (told["system"], told["policy"]) == ("fleet", "gmsr_secant")

    with_two(tmp_path, scenario, serve="name: fleet\n")


def test_changes_outlast_a_reload_and_the_file_has_the_last_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(router: Controlled) -> None:
        await router.change("a", draining=True, weight=3)
        text = router.file.read_text()
        router.file.write_text(text.replace("name: a,", "name: a, weight: 2,"))
        status, told = await router.call("POST", "/api/reload", {})
        assert (status, told["reloaded"]) == (200, "1 frontend, 2 backends, policy gmsr_secant")
        assert "backend a: weight 3, set by ann, holds, though the file now says 2" in caplog.text
        assert set(await router.ask(10)) == {"b"}
        _, told = await router.call("GET", "/api/backends/a")
        assert (told["draining"], told["weight"], told["in_file"]["weight"]) == (True, 3.0, 2.0)
        router.file.write_text(text.replace("{keys: {file: keys}}", "off"))
        await router.operations.reload()
        assert "draining true, set by ann, is undone" in caplog.text
        _, told = await router.call("GET", "/api/backends/a")
        assert (told["draining"], told["weight"], told["changed_by"]) == (False, 1.0, {})
        assert (await router.change("a", draining=True))[0] == 403

    with_two(tmp_path, scenario)


def test_a_file_that_cannot_be_read_is_told_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        router.file.write_text("kind: routing\nbackends: 7\n")
        status, told = await router.call("POST", "/api/reload", {})
        assert status == 422
        assert "fleet.yaml:2" in told["error"]["message"]
        await router.ask(2)

    with_two(tmp_path, scenario)


def test_changes_are_counted_by_who_made_them(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        await router.change("a", draining=True)
        await router.change("a", draining=True)  # is none
        await router.call("PATCH", "/api/backends/a", {"draining": False}, {"x-api-key": OTHER})
        await router.call("POST", "/api/reload", {})
        await router.change("a", weight=5, max_share=0.5)
        _, text = await router.call("GET", "/metrics")
        for line in (
            'isocline_control_changes_total{by="ann",control="drain"} 1.0',
            'isocline_control_changes_total{by="bob",control="drain"} 1.0',
            'isocline_control_changes_total{by="ann",control="reload"} 1.0',
            'isocline_control_changes_total{by="ann",control="weight"} 1.0',
            'isocline_backend_weight{backend="a"} 5.0',
            'isocline_backend_max_share{backend="a"} 0.5',
        ):
            assert line in text
        assert KEY not in text

    with_two(tmp_path, scenario)


def test_one_server_is_not_put_twice(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        router.operations.discover()

        async def put(name: str, address: str, **more: Any) -> Answer:
            return await router.call(
                "PUT", f"/api/discover/pods/{name}", {"address": address, **more}
            )

        assert await put("c", "127.0.0.1:1") == (200, {"name": "c", "new": True, "notes": []})
        status, said = await put("d", "127.0.0.1:1")
        assert (status, said["error"]["code"]) == (409, 409)
        assert "127.0.0.1:1 is that of c already" in said["error"]["message"]
        # Nor one that stands in the file, by its name or by its url.
        first = router.operations.serving.system.backends[0]
        assert first.url
        address = first.url.removeprefix("http://")
        status, said = await put("d", address)
        assert status == 409
        assert f"is the url of backend {first.name} already" in said["error"]["message"]
        status, said = await put(first.name, "127.0.0.1:2")
        assert (status, said["error"]["message"]) == (
            409, f"name: {first.name!r} is that of another backend; choose another",
        )  # fmt: skip
        assert (await put("c", "127.0.0.1:3"))[1]["new"] is False  # it has moved
        for name, more, problem in (
            ("n" * 254, {}, "has 254 characters; give at most 253"),
            ("e", {"labels": {f"l{i}": "" for i in range(65)}}, "give at most 64"),
            ("e", {"labels": {"l": "v" * 254}}, "up to 253 characters"),
        ):
            status, said = await put(name, "127.0.0.1:4", **more)
            assert status == 422
            assert problem in said["error"]["message"]
        await router.discovery.close()

    with_two(tmp_path, scenario, serve="discover: [{name: pods, admin: {}}]\n")


def test_a_backend_that_no_template_matches_is_noted(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        router.operations.discover()
        path, address = "/api/discover/pods/c", {"address": "127.0.0.1:1"}
        _, said = await router.call("PUT", path, address)
        assert said["notes"] == ["no template of pods matches it; it is left out until one does"]
        _, said = await router.call("PUT", path, address | {"labels": {"gpu": "h100"}})
        assert said["notes"] == []
        await router.discovery.close()

    match = "templates: [{match: {labels: {gpu: 'h*'}}}]"
    with_two(tmp_path, scenario, serve=f"discover: [{{name: pods, admin: {{}}, {match}}}]\n")


def test_a_number_of_thousands_of_digits_is_refused_in_words(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        body = f'{{"weight": {"9" * 5000}}}'
        headers = BEARER | {"Content-Type": "application/json"}
        url = f"{router.admin}/api/backends/a"
        async with router.session.patch(url, data=body, headers=headers) as answer:
            assert answer.status == 422
            message = (await answer.json())["error"]["message"]
        assert message == "a number has 5,000 digits; give at most 300"

    with_two(tmp_path, scenario)


def test_every_error_below_api_is_json(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        for method, path, status, said in (
            ("GET", "/api/nothing", 404, "there is no call /api/nothing"),
            ("GET", "/api", 404, "there is no call /api"),
            (
                "DELETE",
                "/api/backends/a",
                405,
                "/api/backends/a takes GET, HEAD, PATCH, not DELETE",
            ),
            ("GET", "/api/reload", 405, "/api/reload takes POST, not GET"),
            ("GET", "/api/backends/" + "n" * 3000, 404, "no backend is named 'nnn"),
        ):
            found, answer = await router.call(method, path)
            assert found == status == answer["error"]["code"]
            assert answer["error"]["message"].startswith(said)
            assert len(answer["error"]["message"]) < 200
        async with router.session.get(f"{router.admin}/api/reload") as answer:
            assert answer.headers["Allow"] == "POST"
        foreign = await router.call("GET", "/api/backends", headers={"Host": "evil.example"})
        assert foreign[0] == foreign[1]["error"]["code"] == 403
        assert await router.call("GET", "/nothing") == (404, "404: Not Found")  # not a call

    with_two(tmp_path, scenario)


def test_backends_that_are_put_and_deleted_are_counted_and_logged_with_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(router: Controlled) -> None:
        router.operations.discover()
        for _ in range(2):  # a server that puts itself again changes nothing
            put = await router.call("PUT", "/api/discover/pods/c", {"address": "127.0.0.1:1"})
            assert put[0] == 200
        assert (await router.call("DELETE", "/api/discover/pods/c", {}))[0] == 200
        _, told = await router.call("GET", "/statistics", headers={})
        assert told["control_changes"] == {"backends": {"ann": 2}}
        await router.discovery.close()

    with caplog.at_level("INFO"):
        with_two(tmp_path, scenario, serve="discover: [{name: pods, admin: {}}]\n")
    formatted = (json.loads(JsonFormatter().format(it)) for it in caplog.records)
    lines = {it["event"]: it for it in formatted}
    assert lines["backend.put"]["address"] == "127.0.0.1:1"
    for name in ("backend.put", "backend.deleted"):
        assert [lines[name][it] for it in ("backend", "source", "by")] == ["c", "pods", "ann"]


def test_a_router_that_stops_takes_no_changes(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        router.operations.stopping = True
        for status, told in (
            await router.change("a", draining=True),
            await router.call("POST", "/api/reload", {}),
        ):
            assert status == 409
            assert told["error"]["message"] == "the router is stopping"

    with_two(tmp_path, scenario)


def test_given_curves_are_neither_read_nor_reset(tmp_path: Path) -> None:
    async def scenario(router: Controlled) -> None:
        assert (await router.call("GET", "/api/curves"))[0] == 404
        assert (await router.call("GET", "/api/curves/a"))[0] == 404
        assert (await router.call("POST", "/api/curves/a/reset", {}))[0] == 409
        assert (await router.change("a", frozen=True))[0] == 409

    with_two(tmp_path, scenario)


def test_learned_curves_are_read_frozen_and_reset(tmp_path: Path) -> None:
    async def completions(router: Controlled, name: str) -> float:
        status, told = await router.call("GET", f"/api/curves/{name}")
        assert status == 200
        return float(told["completions"])

    async def scenario(router: Controlled) -> None:
        await router.change("b", draining=True)
        await router.ask(30)
        await router.change("a", frozen=True)
        known = await completions(router, "a")
        assert known > 20
        await router.ask(30)
        assert await completions(router, "a") == pytest.approx(known, rel=0.01)
        status, text = await router.call("GET", "/api/curves?format=yaml")
        assert status == 200
        first, _ = yaml.safe_load(text)["backends"]
        assert (first["name"], first["curve"]["type"]) == ("a", "table")
        assert all(n > 0 and rate > 0 for n, rate in first["curve"]["points"])
        status, said = await router.call("POST", "/api/curves/a/reset", {})
        frozen = "what was learned is forgotten; it is frozen, so that nothing new is learned"
        assert (status, said) == (200, {"reset": "a", "message": frozen})
        assert await completions(router, "a") == 0.0
        await router.ask(10)
        assert await completions(router, "a") == 0.0  # it is frozen still
        await router.change("a", frozen=False)
        await router.ask(10)
        assert await completions(router, "a") > 5
        _, said = await router.call("POST", "/api/curves/a/reset", {})
        assert said["message"] == "its curve is learned anew"

    with_two(tmp_path, scenario, curve="")
