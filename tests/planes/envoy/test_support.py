"""Support: what Envoy cannot do is refused by name and line, and nothing else is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isocline.errors import IsoclineError, SystemFileError
from isocline.gateway.serve.from_file import opened, read, serving_of
from isocline.model.systemfile.serving import served
from isocline.planes.envoy.addresses import Address
from isocline.planes.envoy.support import same_addresses
from tests.planes.envoy.systems import PLANE, backend, content, settings, written


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cors", {"origins": ["https://a.example"]}),
        ("holding", {"seconds": 1.0}),
        ("slow_start", 4),
        ("trusted", ["10.0.0.0/8"]),
        ("poll", {"every": 2.0}),
        ("sharing", {"tenant": "x-tenant"}),
        ("models", {"fresh": 1.0}),
    ],
)
def test_a_key_of_the_gateway_alone_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(SystemFileError, match=rf"system.yaml:\d+: serve\.{key}: .*--plane"):
        settings(tmp_path, content(**{key: value}))


@pytest.mark.parametrize(
    ("group", "part", "value"),
    [
        ("picker", "endpoints", 2),
        ("sizes", "pool", 3),
        ("retries", "window", 5.0),
        ("times", "tunnel", 1.0),
    ],
)
def test_a_part_of_a_group_is_refused_where_it_is_not_the_default(
    tmp_path: Path, group: str, part: str, value: float
) -> None:
    more: dict[str, Any] = {group: {part: value}}
    with pytest.raises(SystemFileError, match=rf"serve\.{group}\.{part}: "):
        settings(tmp_path, content(**more))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"url": "http://127.0.0.1:9001/base"}, "url"),
        ({"max_share": 0.5}, "max_share"),
        ({"metrics": "/metrics"}, "metrics"),
        ({"report": "vllm"}, "report"),
    ],
)
def test_a_key_of_a_backend_is_refused(tmp_path: Path, more: dict[str, Any], named: str) -> None:
    system = content([backend("fast", 9001) | more, backend("slow", 9002)])
    with pytest.raises(SystemFileError, match=rf"backends\[0\] 'fast', {named}: "):
        settings(tmp_path, system)


def test_one_frontend_has_one_protocol(tmp_path: Path) -> None:
    system = content([backend("fast", 9001, http2=True), backend("slow", 9002)])
    with pytest.raises(SystemFileError, match=r"frontends.*some with http2 and some without"):
        settings(tmp_path, system)


@pytest.mark.parametrize("policy", ["round_robin", "power_of_d", "gmsr_hold"])
def test_a_policy_without_prices_is_refused(tmp_path: Path, policy: str) -> None:
    with pytest.raises(IsoclineError, match=f"{policy}.*give gmsr_secant"):
        settings(tmp_path, content(policy=policy))


def test_settings_that_envoy_has_pass(tmp_path: Path) -> None:
    system = content(
        policy="gmsr",
        workers=1,
        health={"path": "/up"},
        ejection={"failures": 3, "first": 1.0, "rate": 0.3, "window": 4.0, "chance": 1e-3},
        oldest_report=3.0,
        retries={"attempts": 2, "share": 0.1},
        times={"connect": 1.0, "first_byte": 60.0, "total": 100.0},
        sizes={"head": 8192, "buffer": 4096},
        learn={"work": "frontend"},
        access_log="-",
        cors="off",
        models="off",
        drain=3.0,
    )
    settings(tmp_path, system)


def discovering(template: dict[str, Any], **serve: Any) -> dict[str, Any]:
    entry = {"name": "pool", "files": {"paths": "pool.json"}, "templates": [template]}
    return content(**serve) | {"discover": [entry]}


@pytest.mark.parametrize("template", [{"max_share": 0.5}, {"url": "http://{address}/v1"}])
def test_a_template_is_refused_before_an_endpoint_is_discovered(
    tmp_path: Path, template: dict[str, Any]
) -> None:
    (key,) = template
    with pytest.raises(SystemFileError, match=rf"system.yaml:\d+: .*pool-1-1.*{key}: "):
        settings(tmp_path, discovering(template))


def test_a_policy_of_the_command_line_is_the_one_that_needs_prices(tmp_path: Path) -> None:
    system = discovering({"curve": backend("fast", 1)["curve"]}, policy="round_robin")
    overrides = replace(PLANE, policy="gmsr")
    assert read(written(tmp_path, system), overrides).policy == "gmsr"
    with pytest.raises(IsoclineError, match=r"round_robin.*give gmsr_secant"):
        read(written(tmp_path, content()), replace(PLANE, policy="round_robin"))


def test_two_backends_at_one_address_are_refused(tmp_path: Path) -> None:
    entries = served(opened(written(tmp_path, content())).document)
    one = Address("127.0.0.1", 9001)
    with pytest.raises(SystemFileError, match=r"'slow', url: is 127\.0\.0\.1:9001, as that"):
        same_addresses(entries, {"fast": one, "slow": one})


def test_http2_needs_this_plane(tmp_path: Path) -> None:
    file = written(tmp_path, content([backend("fast", 9001, http2=True)]))
    with pytest.raises(SystemFileError, match=r"http2: is spoken by --plane envoy alone"):
        serving_of(opened(file))
