"""The source `kubernetes` against a stub of its API: what slices mean, and every way to break."""

import asyncio
import json
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme

from isocline.gateway.discovery.endpoint_slices import EndpointSlices
from isocline.gateway.discovery.kubernetes import KubernetesSource
from isocline.gateway.discovery.source import SourceError
from isocline.model.systemfile.discovery_schema import KubernetesEntry
from tests.gateway.discovery.kubernetes_stub import KubernetesStub, ready, slice_of
from tests.gateway.discovery.reports import PATIENCE, Recorded, Running

# What slices mean, without I/O


def slices(*items: dict[str, Any], **rule: Any) -> EndpointSlices:
    made = EndpointSlices(KubernetesEntry(service="vllm", **rule))
    for number, item in enumerate(items):
        item["metadata"] |= {"resourceVersion": str(number)}
    made.listed([{"metadata": {"resourceVersion": "7"}, "items": list(items)}])
    return made


def names(*items: dict[str, Any], **rule: Any) -> list[str]:
    return [it.name for it in slices(*items, **rule).endpoints()]


def test_endpoints_are_named_by_their_pods_and_labelled() -> None:
    pod = ready("10.0.0.1", "vllm-0", nodeName="n1", zone="eu-1a", hostname="vllm-0")
    bare = ready("10.0.0.2")
    found = slices(slice_of("a", [pod, bare])).endpoints()
    assert [(it.name, it.address) for it in found] == [
        ("10.0.0.2:8000", "10.0.0.2:8000"),
        ("vllm-0", "10.0.0.1:8000"),
    ]
    assert found[1].labels == {
        "namespace": "ml",
        "service": "vllm",
        "pod": "vllm-0",
        "node": "n1",
        "zone": "eu-1a",
        "hostname": "vllm-0",
    }


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        ({"ready": True}, True),
        ({"ready": None}, True),  # "unknown, to be taken as ready"
        ({"ready": True, "serving": True, "terminating": False}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": False}, False),
        ({"ready": False, "serving": False, "terminating": True}, False),
        # publishNotReadyAddresses says ready even of one that terminates
        ({"ready": True, "serving": True, "terminating": True}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], taken: bool) -> None:
    other = ready("10.0.0.9", "other")
    found = names(slice_of("a", [other, ready("10.0.0.1", "pod", conditions=conditions)]))
    assert found == (["other", "pod"] if taken else ["other"])


def test_those_that_terminate_serve_only_where_none_is_ready() -> None:
    ending = {"ready": False, "serving": True, "terminating": True}
    old, new = ready("10.0.0.1", "old", conditions=ending), ready("10.0.0.2", "new")
    assert names(slice_of("a", [old])) == ["old"]
    assert names(slice_of("a", [old]), slice_of("b", [new])) == ["new"]


def test_a_pod_of_two_families_is_one_server() -> None:
    four = slice_of("a", [ready("10.0.0.1", "pod")])
    six = slice_of("b", [ready("fd00::1", "pod"), ready("fd00::2", "only")], family="IPv6")
    for items in ((four, six), (six, four)):
        found = slices(*items).endpoints()
        assert [it.address for it in found] == ["[fd00::2]:8000", "10.0.0.1:8000"]
    found = slices(four, six, family="IPv6").endpoints()
    assert [it.address for it in found] == ["[fd00::2]:8000", "[fd00::1]:8000"]


def test_one_in_two_slices_is_ready_if_one_of_them_says_so() -> None:
    not_yet = ready("10.0.0.1", "pod", conditions={"ready": False})
    both = slice_of("a", [not_yet]), slice_of("b", [ready("10.0.0.1", "pod")])
    assert names(*both) == names(*reversed(both)) == ["pod"]


def test_hints_keep_requests_in_a_zone_unless_they_are_not_complete() -> None:
    def hinted(pod: str, *zones: str) -> dict[str, Any]:
        hints = {"hints": {"forZones": [{"name": zone} for zone in zones]}} if zones else {}
        return ready(f"10.0.0.{pod[-1]}", pod, **hints)

    complete = slice_of("a", [hinted("p1", "x"), hinted("p2", "y"), hinted("p3", "x", "y")])
    assert names(complete) == ["p1", "p2", "p3"]
    assert names(complete, zone="x") == ["p1", "p3"]
    assert names(complete, zone="z") == ["p1", "p2", "p3"]
    assert names(complete, slice_of("b", [hinted("p4")]), zone="x") == ["p1", "p2", "p3", "p4"]


PORTS = [
    {"name": "http", "port": 8000, "protocol": "TCP"},
    {"name": "metrics", "port": 9000, "protocol": "TCP"},
    {"name": "quic", "port": 8443, "protocol": "UDP"},
]


@pytest.mark.parametrize(("port", "address"), [("metrics", "9000"), (8000, "8000")])
def test_a_port_goes_by_name_or_number(port: str | int, address: str) -> None:
    (found,) = slices(slice_of("a", [ready("10.0.0.1")], ports=PORTS), port=port).endpoints()
    assert found.address == f"10.0.0.1:{address}"


@pytest.mark.parametrize("port", [None, "quic", 1])
def test_a_port_that_is_not_there_is_named_with_those_that_are(port: str | int | None) -> None:
    made = slices(slice_of("a", [ready("10.0.0.1")], ports=PORTS), port=port)
    with pytest.raises(SourceError, match=r"one of: http \(8000\), metrics \(9000\)"):
        made.endpoints()


def test_slices_without_endpoints_need_no_port() -> None:
    assert names(slice_of("a", None, ports=()), slice_of("b", [ready("10.0.0.1", "p")])) == ["p"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'{"type": "ADDED"}',
        b'{"type": "ADDED", "object": 3}',
        b'{"type": "ADDED", "object": {"metadata": {}}}',
        b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "9"}}}',
        b'{"type": "MADE", "object": {"metadata": {"resourceVersion": "9"}}}',
        b'{"type": "ERROR", "object": {"code": 500}}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_event_asks_for_a_new_list(line: bytes) -> None:
    made = slices(slice_of("a", [ready("10.0.0.1", "p")]))
    with pytest.raises(SourceError):
        made.event(line)
    assert made.version == ""
    assert [it.name for it in made.endpoints()] == ["p"]


@pytest.mark.parametrize(
    "change",
    [
        {"endpoints": [3]},
        {"endpoints": [{}]},
        {"endpoints": [{"addresses": []}]},
        {"endpoints": [{"addresses": ["10.0.0.1 "]}]},
        {"endpoints": 3},
        {"ports": [{"port": "x"}]},
        {"ports": 3},
        {"endpoints": [{"addresses": ["10.0.0.1"], "hints": {"forZones": [3]}}]},
    ],
)
def test_a_malformed_slice_is_a_failure_and_no_crash(change: dict[str, Any]) -> None:
    made = slices(slice_of("a", [ready("10.0.0.1")]) | change)
    with pytest.raises(SourceError):
        made.endpoints()


def test_the_set_is_that_of_a_fresh_list_whatever_came_before() -> None:
    """Random events, twice applied: by a watch, and by a list of what is left."""
    draw = random.Random(0)
    watched = slices()
    kept: dict[str, dict[str, Any]] = {}
    for version in range(10, 400):
        name = f"s{draw.randrange(5)}"
        if draw.random() < 0.3 and name in kept:
            item, kind = kept.pop(name), "DELETED"
        else:
            pods = [ready(f"10.0.0.{n}", f"p{n}") for n in draw.sample(range(9), draw.randrange(4))]
            item, kind = slice_of(name, pods), "MODIFIED" if name in kept else "ADDED"
            kept[name] = item
        item["metadata"]["resourceVersion"] = str(version)
        watched.event(json.dumps({"type": kind, "object": item}).encode())
        assert watched.endpoints() == slices(*kept.values()).endpoints()


# List and watch


Scenario = Callable[[KubernetesStub, Recorded], Awaitable[None]]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await scenario

    asyncio.run(bounded())


def source(stub: KubernetesStub, folder: Path, **more: Any) -> KubernetesSource:
    rule = {"service": "vllm", "namespace": "ml", "api": stub.url} | more
    return KubernetesSource(KubernetesEntry(**rule), folder, folder / "pod", (0.01, 0.05))


def watched(folder: Path, scenario: Scenario) -> None:
    """Run a scenario with a source that watches a service with one pod."""

    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
            async with Running(source(stub, folder)) as reports:
                await reports.until(["p1"])
                await scenario(stub, reports)

    run(begin())


def test_changes_are_seen_as_they_come(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        stub.put(slice_of("b", [ready("10.0.0.2", "p2")]))
        await reports.until(["p1", "p2"])
        stub.put(slice_of("b", [ready("10.0.0.3", "p3")]))
        await reports.until(["p1", "p3"])
        stub.delete("a")
        await reports.until(["p3"])
        stub.put(slice_of("b", None))
        await reports.until([])
        assert len(stub.lists) == len(stub.watches) == 1

    watched(tmp_path, scenario)


def test_a_watch_that_ends_goes_on_where_it_was(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        stub.bookmark()
        stub.put(slice_of("b", [ready("10.0.0.2", "p2")]))
        await reports.until(["p1", "p2"])
        for number in range(3, 9):
            stub.hang_up()
            stub.put(slice_of("b", [ready("10.0.0.2", f"p{number}")]))
            await reports.until(["p1", f"p{number}"])
        assert len(stub.lists) == 1
        assert stub.watches[-1]["allowWatchBookmarks"] == "true"

    watched(tmp_path, scenario)


def test_a_bookmark_moves_the_version_on(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        while not stub.watches:
            await asyncio.sleep(0.01)
        first = int(stub.watches[0]["resourceVersion"])
        for _ in range(5):
            stub.bookmark()
        stub.hang_up()
        while len(stub.watches) < 2:
            await asyncio.sleep(0.01)
        assert int(stub.watches[1]["resourceVersion"]) == first + 5

    watched(tmp_path, scenario)


def test_a_version_that_is_gone_brings_a_new_list(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        stub.silently(slice_of("a", [ready("10.0.0.2", "p2")]))
        stub.forget()
        stub.hang_up()
        await reports.until(["p2"])
        assert len(stub.lists) == 2
        assert not any(isinstance(what, str) for _, what in reports.said)  # no problem at all

    watched(tmp_path, scenario)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\n",
        b'{"type": "MODIFIED", "object": {"metadata": {"name": "a"}}}\n',
        b"\x00" * 70_000 + b"\n",  # longer than a buffer of aiohttp
    ],
)
def test_garbage_brings_a_new_list(tmp_path: Path, data: bytes) -> None:
    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
            async with Running(source(stub, tmp_path)) as reports:
                await reports.until(["p1"])
                stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
                while len(reports.said) < 2:  # the watch is there
                    await asyncio.sleep(0.01)
                stub.silently(slice_of("a", [ready("10.0.0.2", "p2")]))
                stub.send(data)
                await reports.until(["p2"])
                assert len(stub.lists) == 2

    run(begin())


def test_an_event_that_is_cut_off_comes_again(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        whole = json.dumps({"type": "ADDED", "object": slice_of("b", [])}).encode()
        stub.send(whole[: len(whole) // 2])
        stub.hang_up()
        stub.put(slice_of("b", [ready("10.0.0.2", "p2")]))
        await reports.until(["p1", "p2"])
        assert len(stub.lists) == 1

    watched(tmp_path, scenario)


def test_events_in_pieces_and_several_at_once(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        lines = b""
        for number in range(3):
            one = slice_of(f"n{number}", [ready(f"10.0.1.{number}", f"q{number}")])
            one["metadata"]["resourceVersion"] = str(1000 + number)
            lines += json.dumps({"type": "ADDED", "object": one}).encode() + b"\r\n"
        for start in range(0, len(lines), 7):
            stub.send(lines[start : start + 7])
        await reports.until(["p1", "q0", "q1", "q2"])

    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
            async with Running(source(stub, tmp_path)) as reports:
                await reports.until(["p1"])
                stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
                while len(reports.said) < 2:
                    await asyncio.sleep(0.01)
                await scenario(stub, reports)

    run(begin())


def test_a_failure_keeps_the_last_answer_and_is_named_with_a_remedy(tmp_path: Path) -> None:
    async def scenario(stub: KubernetesStub, reports: Recorded) -> None:
        for status, says in (
            (403, "allow its service account to list and watch endpointslices"),
            (401, "is the token of this cluster"),
            (500, "internal"),
        ):
            since = len(reports.said)
            stub.refusal = status, {"kind": "Status", "reason": "R", "message": "internal"}
            stub.hang_up()
            await reports.failure(says, since)
        assert [it.name for it in reports.last] == ["p1"]
        stub.refusal = 200, ["no", "list"]
        stub.hang_up()
        await asyncio.sleep(0.05)
        stub.refusal = None
        stub.put(slice_of("a", [ready("10.0.0.2", "p2")]))
        await reports.until(["p2"])

    watched(tmp_path, scenario)


def test_410_for_a_list_is_asked_again(tmp_path: Path) -> None:
    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
            stub.refusal = 410, {"kind": "Status", "reason": "Expired", "code": 410}
            async with Running(source(stub, tmp_path)) as reports:
                while len(stub.lists) < 3:
                    await asyncio.sleep(0.01)
                stub.refusal = None
                await reports.until(["p1"])

    run(begin())


def test_a_list_comes_in_pages(tmp_path: Path) -> None:
    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.page = 2
            for number in range(5):
                stub.put(slice_of(f"s{number}", [ready(f"10.0.0.{number}", f"p{number}")]))
            found = await source(stub, tmp_path).once()
            assert [it.name for it in found] == ["p0", "p1", "p2", "p3", "p4"]
            assert len(stub.lists) == 3

    run(begin())


def test_one_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.hangs = True
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await source(stub, tmp_path).once()

    run(begin())


def test_the_token_is_read_for_each_question_and_the_server_is_checked(tmp_path: Path) -> None:
    async def begin() -> None:
        pod = tmp_path / "pod"
        pod.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(pod / "ca.crt")
        (pod / "token").write_text("first\n")
        (pod / "namespace").write_text("ml")
        context = _context(authority)
        stub = KubernetesStub()
        await stub.start(context)
        try:
            stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
            host, port = stub.url.removeprefix("https://").split(":")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("KUBERNETES_SERVICE_HOST", host)
                patch.setenv("KUBERNETES_SERVICE_PORT", port)
                own = source(stub, tmp_path, api=None, namespace=None)
                async with Running(own) as reports:
                    await reports.until(["p1"])
                    (pod / "token").write_text("second\n")
                    stub.put(slice_of("a", [ready("10.0.0.2", "p2")]))
                    await reports.until(["p2"])
                    stub.hang_up()
                    while "Bearer second" not in stub.tokens:
                        await asyncio.sleep(0.01)
                    assert stub.tokens[0] == "Bearer first"
                trustme.CA().cert_pem.write_to_path(pod / "ca.crt")
                with pytest.raises(SourceError, match="certificate"):
                    await own.once()
        finally:
            await stub.__aexit__(None, None, None)

    run(begin())


def _context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_outside_of_a_cluster_the_remedy_is_named(tmp_path: Path) -> None:
    def asked(**more: Any) -> KubernetesSource:
        return KubernetesSource(KubernetesEntry(service="vllm", **more), tmp_path, tmp_path / "pod")

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        with pytest.raises(
            SourceError, match="not a pod of Kubernetes; give api, token_file and ca"
        ):
            asyncio.run(asked(namespace="ml").once())
        with pytest.raises(SourceError, match="not a pod of Kubernetes; give namespace"):
            asyncio.run(asked(api="http://127.0.0.1:1").once())
    with pytest.raises(SourceError, match=r"127.0.0.1:1: Cannot connect"):
        asyncio.run(asked(api="http://127.0.0.1:1", namespace="ml").once())
    rule = {"api": "http://127.0.0.1:1", "namespace": "ml", "token_file": "token"}
    with pytest.raises(SourceError, match=r"token: cannot be read"):
        asyncio.run(asked(**rule).once())


def test_a_watch_that_ends_at_once_is_not_asked_for_in_a_loop(tmp_path: Path) -> None:
    async def begin() -> None:
        async with KubernetesStub() as stub:
            stub.put(slice_of("a", [ready("10.0.0.1", "p1")]))
            rule = KubernetesEntry(service="vllm", namespace="ml", api=stub.url)
            own = KubernetesSource(rule, tmp_path, tmp_path / "pod", (3600.0, 3600.0))
            async with Running(own) as reports:
                await reports.until(["p1"])
                while not stub.watches:
                    await asyncio.sleep(0.01)
                stub.hang_up()
                await asyncio.sleep(0.3)
                assert len(stub.watches) == 1

    run(begin())
