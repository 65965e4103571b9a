"""`discover` in system files: backends of templates, what is refused, what is left out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

import isocline
from isocline.errors import SystemFileError
from isocline.model.endpoint import Endpoint, is_address, joined
from isocline.model.systemfile.discovery_schema import (
    AdminEntry,
    DiscoverEntry,
    EndpointMatch,
    TemplateEntry,
)
from isocline.model.systemfile.filled import samples
from isocline.model.systemfile.schema import FrontendEntry, RoutingFile
from isocline.model.systemfile.serving import load_served

FILE = """\
kind: routing
backends: [{name: own, url: "http://10.9.9.9:1", curve: {type: servers, rate: 1}}]
discover:
  - name: gpu
    dns: {name: gpu.example.org, port: 8000}
    templates:
      - match: {name: "h100-*", labels: {zone: "eu-*"}}
        frontends: [ch*]
        curve: {type: hyperbolic, peak: 40, half: 12}
        report: vllm
        metrics: "http://{host}:9000/metrics"
      - name: "other-{name}"
        url: "https://{address}/base"
frontends:
  - {name: chat, match: {model: x}}
  - {name: all, backends: ["other-*", own]}
"""
BIG = Endpoint("h100-1", "10.0.0.1:8000", {"zone": "eu-1"})
SMALL = Endpoint("l4-1", "10.0.0.2:8000", {"zone": "eu-1"})


def write(folder: Path, text: str) -> Path:
    file = folder / "fleet.yaml"
    file.write_text(text)
    return file


def test_each_endpoint_becomes_a_backend_by_the_first_template_that_it_matches(
    tmp_path: Path,
) -> None:
    far = Endpoint("h100-2", "10.0.0.3:8000", {"zone": "us-1"})
    served = load_served(write(tmp_path, FILE), {"gpu": [SMALL, far, BIG]})
    entries = {entry.name: entry for entry in served.entries.backends}
    assert list(entries) == ["own", "h100-1", "other-h100-2", "other-l4-1"]
    big = entries["h100-1"]
    assert (big.url, big.report) == ("http://10.0.0.1:8000", "vllm")
    assert big.metrics == "http://10.0.0.1:9000/metrics"
    assert big.curve is not None
    assert big.curve.make() == isocline.HyperbolicCurve(40.0, 12.0)
    assert entries["other-l4-1"].url == "https://10.0.0.2:8000/base"
    assert entries["other-l4-1"].curve is None
    graph = served.system.graph
    assert [graph.neighbours(f).tolist() for f in range(2)] == [[1], [0, 2, 3]]
    assert not served.notes


def test_a_frontend_may_be_without_backends(tmp_path: Path) -> None:
    served = load_served(write(tmp_path, FILE))
    assert [served.system.graph.neighbours(f).tolist() for f in range(2)] == [[], [0]]


def test_errors_name_the_line_of_the_template(tmp_path: Path) -> None:
    served = load_served(write(tmp_path, FILE), {"gpu": [BIG]})
    with pytest.raises(SystemFileError, match=r"fleet.yaml:9: backends\[1\] 'h100-1', curve.peak"):
        served.document.fail(("backends", 1, "curve", "peak"), "is wrong")


def test_one_server_does_not_count_twice(tmp_path: Path) -> None:
    file = FILE.replace('name: "other-{name}"', "name: own{host}")
    found = {"gpu": [Endpoint("a", "10.0.0.2:8000"), Endpoint("b", "10.0.0.2:8000")]}
    served = load_served(write(tmp_path, file), found)
    assert [it.name for it in served.entries.backends] == ["own", "own10.0.0.2"]
    (note,) = served.notes
    assert "b is left out, as another backend has the same name, own10.0.0.2" in note
    assert 'as name: "gpu-{name}"' in note
    same = FILE.replace('"https://{address}/base"', '"https://{host}/base"')
    (note,) = load_served(write(tmp_path, same), found).notes
    assert note.endswith(
        "b is left out, as another backend has the same url, https://10.0.0.2/base"
    )


def test_endpoints_that_match_no_template_are_left_out_and_named(tmp_path: Path) -> None:
    file = FILE.replace('- name: "other-{name}"', "- match: {labels: {zone: us-*}}")
    others = [Endpoint(f"l4-{i}", f"10.0.1.{i}:1") for i in range(5)]
    served = load_served(write(tmp_path, file), {"gpu": [BIG, *others]})
    assert [it.name for it in served.entries.backends] == ["own", "h100-1"]
    assert "no template matches l4-0, l4-1, l4-2, ... (5 in all)" in served.notes[0]


def test_without_templates_all_are_taken(tmp_path: Path) -> None:
    head, _, rest = FILE.partition("    templates:")
    file = head + rest[rest.index("frontends:\n") :].replace('"other-*"', '"*"')
    served = load_served(write(tmp_path, file), {"gpu": [BIG, SMALL]})
    assert served.system.graph.neighbours(1).tolist() == [0, 1, 2]


def test_a_plan_asks_for_a_file_with_the_backends(tmp_path: Path) -> None:
    with pytest.raises(SystemFileError) as raised:
        isocline.load(write(tmp_path, FILE))
    assert "fleet.yaml:3: discover: its backends are only found while" in str(raised.value)
    assert "isocline discover" in str(raised.value)
    assert "--assume N" in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "port: 8000}",
            "}",
            r":5: discover\[0\] 'gpu', dns: port is missing; add it, as port: 8000",
        ),
        ("port: 8000", "port: 80, record: SRV", "port is given, and SRV has its own"),
        ("port: 8000", "port: 80, shortest: 9, longest: 2", "shortest is above longest"),
        ("port: 8000", "port: 70000", "is 70000; give a number of at most 65535"),
        ("    dns:", "    admin: {}\n    dns:", "dns and admin are given; give one of dns, files"),
        ("    dns: {name: gpu.example.org, port: 8000}\n", "", "no source is given; give one of"),
        (
            "frontends: [ch*]",
            "frontends: [chta]",
            r"'chta' matches no frontend; did you mean 'chat'",
        ),
        ('"https://{address}/base"', '"https://a/"', "'https://a/', the same for all"),
        ('"other-{name}"', "same", "is 'same', the same for all; give 'gpu-{name}'"),
        (
            "  - name: gpu",
            "  - {name: gpu, admin: {}}\n  - name: gpu",
            "is the name of another entry",
        ),
        ("report: vllm", "raport: vllm", "raport: is an unknown key; did you mean 'report'"),
        ("peak: 40", "peak: -1", r":9: discover\[0\] 'gpu', templates\[0\].curve.peak: is -1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in FILE
    with pytest.raises(SystemFileError, match=message):
        load_served(write(tmp_path, FILE.replace(old, new, 1)))


def test_without_discovery_backends_are_needed_as_before(tmp_path: Path) -> None:
    front = "kind: routing\nfrontends: [{name: a, rate: 1, backends: [x]}]\n"
    with pytest.raises(SystemFileError, match="backends: is missing; add it"):
        isocline.load(write(tmp_path, front))
    back = "kind: routing\nbackends: [{name: x, curve: {type: servers, rate: 1}}]\n"
    with pytest.raises(SystemFileError, match=r"frontends\[0\] 'a', backends: is missing; add it"):
        isocline.load(write(tmp_path, back + "frontends: [{name: a, rate: 1}]\n"))


TEXT = some.text("ab-*?", max_size=6)


@given(some.none() | TEXT.filter(bool), some.dictionaries(some.sampled_from("xyz"), TEXT))
def test_made_up_endpoints_meet_the_conditions_of_their_template(
    name: str | None, labels: dict[str, str]
) -> None:
    template = TemplateEntry(match=EndpointMatch(name=name, labels=labels))
    file = _file(template)
    for endpoint in samples(file, 2)["gpu"]:
        assert template.takes(endpoint)


def _file(template: TemplateEntry) -> RoutingFile:
    entry = DiscoverEntry(name="gpu", admin=AdminEntry(), templates=[template])
    return RoutingFile(
        kind="routing", discover=[entry], frontends=[FrontendEntry(name="all")], serve=None
    )


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("10.0.0.1:80", True),
        ("[::1]:80", True),
        ("a.example.org:65535", True),
        ("a.example.org", False),
        ("::1:80:", False),
        ("a:0", False),
        ("a:70000", False),
        ("a:b", False),
        ("http://a:1", False),
        ("u@a:1", False),
        ("a:1/x", False),
        (":80", False),
        ("a b:80", False),
        ("", False),
    ],
)
def test_addresses(text: str, good: bool) -> None:
    assert is_address(text) is good


def test_host_and_port_are_joined_and_parted() -> None:
    for host, address in (("::1", "[::1]:80"), ("10.0.0.1", "10.0.0.1:80"), ("a", "a:80")):
        assert joined(host, 80) == address
        assert Endpoint("x", address).host == address.removesuffix(":80")
