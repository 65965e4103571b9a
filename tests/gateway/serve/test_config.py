"""From a system file to the gateway's settings: every key arrives, every mistake names its line."""

import io
import pickle
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from rich.console import Console

from isocline.errors import IsoclineError, SystemFileError, UsageError
from isocline.gateway.config import Sampling, digest
from isocline.gateway.health_checks import HealthCheck, Poll
from isocline.gateway.models.loader import request_of
from isocline.gateway.serve.addresses import ListenAddress, read_address
from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.controls import BackendControl
from isocline.gateway.serve.from_file import read
from isocline.gateway.serve.worker_core import make_core, residency_of
from isocline.learn import Learning
from isocline.model.match import Match
from isocline.model.serving_settings import (
    Cors,
    EjectionRule,
    HoldingRule,
    KeyLimit,
    ModelListing,
    RefusalRule,
    RetryRule,
    Rules,
    SharingRule,
    SizeLimits,
    TimeLimits,
)
from isocline.model.setting import settings_of
from isocline.model.systemfile import serving_schema as schema
from isocline.model.systemfile.record import Record, record_of
from isocline.report.tables.serving import serving_document, serving_report

FULL = """kind: routing
backends:
  - name: a
    url: "http://127.0.0.1:9001"
    curve: {type: hyperbolic, peak: 9, half: 3}
    keep_host: false
    authorization: {file: token}
    report: llamacpp
    metrics: /m
  - {name: b, url: "http://127.0.0.1:9002", weight: 2, max_share: 0.5}
frontends:
  - {name: one, match: {listener: inside, host: "*.x", headers: {X-A: b}, model: m*}, backends: [a]}
  - {name: two, backends: ["*"], resend_unanswered: true}
serve:
  listen:
    - {name: main, address: ":0"}
    - {name: inside, address: "[::1]:8081"}
  admin: 127.0.0.1:9090
  policy: jsq
  workers: 3
  health: {path: /up, every: 5, timeout: 2, rise: 1, fall: 4}
  poll: {every: 0.5}
  holding: {seconds: 3, most: 7}
  ejection: {failures: 2}
  retries: {attempts: 1}
  refusals: {first: 0.5, longest: 9, too_many_requests: client}
  oldest_report: 4
  slow_start: 8
  times: {connect: 2, total: 60}
  sizes: {body: 1000, pool: 0}
  trusted: [10.0.0.0/8, "::1/128"]
  api_keys: {env: DOOR}
  cors: {origins: ["https://*.x"], headers: [X-A], max_age: 5, credentials: true}
  models: {fresh: 1, timeout: 3, kept: 9, backends: false}
  access_log: access.log
  learn: {file: curves.json, every: 5, half_life: 600}
  drain: 7
  drain_delay: 4
  sharing: {tenant: key, weights: {two: 2.5, "t*": 1}, priority: x-p}
  admin_control: {keys: {env: DOOR}, allow: [drain, weight]}
  log_format: json
  tracing: {endpoint: "https://c:4318", sample: 0.25, service: s, headers: {X-Key: KEY}}
  key_limits: {two: {requests: 60}}
"""
RESIDENCY = (
    '{source: models, load: {path: /l, body: {name: "{model}"}}, '
    'unload: {method: DELETE, path: "/l/{model}"}, every: 2, timeout: 9}'
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOOR", "key-one, two key-two")
    monkeypatch.setenv("KEY", "key-of-the-collector")
    (tmp_path / "token").write_text("sk-secret\n")
    path = tmp_path / "fleet.yaml"
    path.write_text(FULL)
    return path


def refused(file: Path, old: str, new: str) -> str:
    assert old in FULL
    file.write_text(FULL.replace(old, new))
    with pytest.raises(IsoclineError) as caught:
        read(file)
    return str(caught.value).removeprefix(str(file))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("  admin: 127.0.0.1:9090\n", "", "has no effect without an admin listener"),
        ("allow: [drain, weight]", "allow: [drian]", "drian"),
        ("allow: [drain, weight]", "allow: []", "allow"),
        (
            "keys: {env: DOOR}, allow",
            "keys: {env: NO_DOOR}, allow",
            "NO_DOOR is empty or missing",
        ),
        ("keys: {env: DOOR}, allow", "allow", "keys: is missing"),
        ("weight: 2,", "weight: 0,", "weight: is 0"),
        ("weight: 2,", "weight: 1e300,", "weight: is 1e+300"),
        ("max_share: 0.5", "max_share: 1.5", "max_share: is 1.5"),
    ],
)
def test_controls_that_cannot_be_used_are_refused(
    file: Path, old: str, new: str, problem: str
) -> None:
    assert problem in refused(file, old, new)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("requests: 60", "requests: 0", "requests: is 0"),
        ("requests: 60", "requests: .inf", "requests: is inf"),
        ("requests: 60", "request: 60", "unknown key"),
        ("{two: {requests: 60}}", "{two: {}}", "give requests, tokens or both"),
        (
            "{two: {requests",
            "{three: {requests",
            "is not the name of a key; known: key-9b346041, two",
        ),
    ],
)
def test_limits_that_cannot_be_used_are_refused(
    file: Path, old: str, new: str, problem: str
) -> None:
    assert problem in refused(file, old, new)


def test_limits_without_keys_are_refused(file: Path) -> None:
    text = FULL.replace("  api_keys: {env: DOOR}\n", "").replace("tenant: key", "tenant: x-t")
    file.write_text(text)
    with pytest.raises(SystemFileError, match=r"key_limits: limits API keys, but none are set"):
        read(file)


def test_limits_go_by_name_before_patterns(file: Path) -> None:
    assert not read(file).proxy.tokens
    file.write_text(FULL.replace("{two: {", '{"*": {tokens: 1000}, two: {'))
    made = read(file).proxy
    assert made.key_limits == {"two": KeyLimit(60.0), "key-9b346041": KeyLimit(tokens=1000.0)}
    assert made.tokens  # they are counted


def test_controls_are_read(file: Path) -> None:
    made = read(file)
    assert made.control is not None
    assert made.control.allowed == ("drain", "weight")
    assert made.control.key_names[1] == "two"
    assert made.controls.of("b") == BackendControl(weight=2.0, max_share=0.5)
    assert made.controls.of("a") == BackendControl()


def test_the_example_can_be_served() -> None:
    made = read(Path(__file__).parents[3] / "examples/serve.yaml")
    assert [rule.match.model for rule in made.proxy.frontends] == ["large*", "small*"]
    assert made.learning is not None
    assert made.learning.given == (False, False, False)


def test_every_key_arrives(file: Path) -> None:
    made = read(file)
    a, b = made.proxy.backends
    assert (a.keep_host, a.authorization, b.keep_host) == (False, "Bearer sk-secret", True)
    assert made.proxy.frontends[0].match == Match("inside", "*.x", "/", {"X-A": "b"}, "m*")
    doors = [(it.name, it.host, it.port) for it in made.proxy.listeners]
    assert doors == [("main", "127.0.0.1", 0), ("inside", "::1", 8081)]
    assert made.proxy.times == TimeLimits(connect=2.0, total=60.0)
    assert made.proxy.sizes == SizeLimits(body=1000, pool=0)
    assert [rule.resend_unanswered for rule in made.proxy.frontends] == [False, True]
    assert made.proxy.key_digests == (digest("key-one"), digest("key-two"))
    assert made.proxy.key_names == ("key-9b346041", "two")
    assert (made.log_format, made.proxy.request_ids, made.proxy.tokens) == ("json", True, False)
    assert made.proxy.sampling == Sampling(0.25)
    assert made.telemetry is not None
    assert made.telemetry.spans is not None
    assert made.telemetry.spans.url == "https://c:4318/v1/traces"
    assert made.telemetry.spans.headers == (("X-Key", "key-of-the-collector"),)
    assert dict(made.telemetry.resource) == {"service.name": "s"}
    assert made.proxy.cors == Cors(
        ("https://*.x",), headers=("X-A",), max_age=5.0, credentials=True
    )
    assert [str(it) for it in made.proxy.trusted] == ["10.0.0.0/8", "::1/128"]
    assert made.rules == Rules(
        HoldingRule(3.0, 7),
        EjectionRule(failures=2),
        RetryRule(1),
        RefusalRule(0.5, 9.0, "client"),
        SharingRule("key", {"two": 2.5, "t*": 1.0}, "x-p"),
        4.0,
        slow_start=8,
    )
    assert made.checks.health == HealthCheck("/up", 5.0, 2.0, 1, 4)
    assert made.checks.polls == (Poll("llama.cpp", "/m", 0.5), Poll("auto", every=0.5))
    assert made.learning is not None
    assert made.learning.rules == Learning(half_life=600.0, half_life_completions=2000.0)
    assert made.learning.unit == "requests"
    assert not made.proxy.tokens
    assert (made.learning.file, made.learning.every) == (file.parent / "curves.json", 5.0)
    assert made.learning.given == (True, False)
    assert (made.admin, made.policy, made.workers) == (ListenAddress("127.0.0.1", 9090), "jsq", 3)
    assert made.access_log == str(file.parent / "access.log")
    assert (made.drain, made.drain_delay) == (7.0, 4.0)
    assert (made.access_log, made.drain) == (str(file.parent / "access.log"), 7.0)
    assert made.models == ModelListing(1.0, 3.0, 9.0, backends=False)
    assert made.proxy.candidates
    file.write_text(FULL.replace("access_log: access.log", "access_log: off"))
    assert not read(file).proxy.candidates  # which only the log tells


def test_a_command_line_goes_before_the_file(file: Path) -> None:
    made = read(file, Overrides("127.0.0.1:1234", "[::1]:5", "gmsr", 1, "-"))
    assert (made.proxy.listeners[0].port, made.proxy.listeners[0].name) == (1234, "main")
    assert made.proxy.listeners[1].port == 8081
    assert (made.admin, made.policy, made.workers) == (ListenAddress("::1", 5), "gmsr", 1)
    assert made.access_log == "-"


def test_the_list_of_models_is_the_routers_unless_it_is_off(file: Path) -> None:
    said = "  models: {fresh: 1, timeout: 3, kept: 9, backends: false}\n"
    assert said in FULL
    file.write_text(FULL.replace(said, ""))
    assert read(file).models == ModelListing()
    file.write_text(FULL.replace(said, "  models: off\n"))
    assert read(file).models is None


def test_curves_that_are_given_are_not_learned_unless_asked(file: Path) -> None:
    curve = "curve: {type: hyperbolic, peak: 9, half: 3}"
    known = FULL.replace('"http://127.0.0.1:9002"', f'"http://127.0.0.1:9002", {curve}')
    file.write_text(known.replace("  learn: {file: curves.json, every: 5, half_life: 600}\n", ""))
    assert read(file).learning is None
    file.write_text(FULL.replace("  learn: {file: curves.json, every: 5, half_life: 600}\n", ""))
    learning = read(file).learning
    assert learning is not None  # b has none
    assert learning.file is None


@pytest.mark.parametrize(
    ("entry", "kind", "beside"),
    [
        (record_of(HoldingRule), HoldingRule, set()),
        (record_of(EjectionRule), EjectionRule, set()),
        (record_of(RetryRule), RetryRule, set()),
        (record_of(RefusalRule), RefusalRule, set()),
        (record_of(TimeLimits), TimeLimits, set()),
        (record_of(SizeLimits), SizeLimits, set()),
        (record_of(Match), Match, set()),
        (schema.LearnEntry, Learning, {"prior"}),
        (record_of(HealthCheck), HealthCheck, {"status"}),
        (record_of(Cors), Cors, set()),
        (record_of(ModelListing), ModelListing, set()),
    ],
)
def test_what_the_gateway_knows_can_be_written_in_a_file(
    entry: type[Record], kind: type, beside: set[str]
) -> None:
    known = {field.name for field in fields(kind)} - beside
    assert set(entry.model_fields) - {"file", "every", "work", "ask_usage"} == known - {"every"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("127.0.0.1:9090", "h:70000", ":18: serve.admin: 'h:70000': port 70000 is beyond 65535"),
        ("127.0.0.1:9090", "here", ":18: serve.admin: 'here': it is not an address to listen on; "),
        ('":0"', '":x"', ":16: serve.listen[0] 'main', address: ':x': it is not an "),
        ("name: inside, addr", "name: main, addr", ":17: serve.listen[1] 'main', name: 'main' is "),
        ("X-Key: KEY", "X-Key: NO", ":42: serve.tracing: headers: X-Key: environment variable NO"),
        ("sample: 0.25", "sample: 2", ":42: serve.tracing.sample: is 2"),
        ("https://c:4318", "c:4318", ":42: serve.tracing: endpoint: 'c:4318' is no URL to "),
        ("log_format: json", "log_format: xml", ":41: serve.log_format: is 'xml'"),
        ("10.0.0.0/8", "10.0.0.1/8", ":31: serve.trusted[0]: 10.0.0.1/8 has host bits set; give"),
        (
            "http://127.0.0.1:9002",
            "ftp://x",
            ":10: backends[1] 'b', url: 'ftp://x': it is not one to send",
        ),
        ("listener: inside", "listener: out", ":11: frontends: frontend one: match.listener 'out'"),
        ("report: llamacpp", "report: orca", ":9: backends[0] 'a', metrics: is '/m', but report:"),
        ("metrics: /m", "metrics: m", ":9: backends[0] 'a', metrics: poll: path 'm' is invalid; g"),
        ("{file: token}", "{file: tokens}", ":7: backends[0] 'a', authorization: file "),
        ("{env: DOOR}", "{env: NONE_SUCH}", ":32: serve.api_keys: environment variable NONE_SUCH "),
        ("curves.json", "none/curves.json", ":36: serve.learn.file: "),
        ("access.log", "none/access.log", ":35: serve.access_log: /"),
        (
            "access.log",
            "/",
            ":35: serve.access_log: / is not writable: Is a directory; ",
        ),
        ("access.log", "token/a.log", ":35: serve.access_log: /"),
        ("half_life: 600", "ask_usage: true", ":36: serve.learn.ask_usage: has no effect unless "),
        ("half_life: 600", "work: token", ":36: serve.learn.work"),
        (
            "half_life: 600",
            "work: tokens",
            ":36: serve.learn.work: is tokens, but given curves are in ",
        ),
        ("drain_delay: 4", "drain_delay: -1", ":38: serve.drain_delay: is -1"),
        (
            "first: 0.5",
            "first: 10",
            ":26: serve.refusals: first is 10.0 and longest is 9",
        ),
        ("longest: 9", "longest: 0", ":26: serve.refusals.longest: is 0"),
        ("requests: client", "requests: all", ":26: serve.refusals.too_many_requests: is 'all'"),
        ("failures: 2", "failures: 2, chance: 2", ":24: serve.ejection.chance: is 2"),
        ("https://*.x", "*", ":33: serve.cors: credentials with origins that every site me"),
        ("https://*.x", "http*://*", ":33: serve.cors: credentials with origins that every"),
        (
            "https://*.x",
            "x.org",
            ":33: serve.cors: origins: 'x.org' is not an origin; give scheme://",
        ),
        ("https://*.x", "https://x/", ":33: serve.cors: origins: 'https://x/' has a path; l"),
        ("headers: [X-A]", "headers: [X A]", ":33: serve.cors: headers: 'X A' is no name of"),
        ("body: 1000", "bodies: 1000", ":30: serve.sizes: bodies is 1000, less than body"),
        (
            "policy: jsq",
            "policy: gmrs",
            ":19: serve.policy: unknown policy 'gmrs': did you mean gmsr?",
        ),
        (
            "policy: jsq",
            "policy: static_optimal",
            ":19: serve.policy: static_optimal: there is no plan to follow: backend 'b' has no "
            "curve; give each backend one",
        ),
        ("workers: 3", "workers: 1000000", ":20: serve.workers: 1,000,000 worker processes on "),
        ('address: ":0"', 'address: ":0", tls: {certificate: no.pem}', ":16: serve.listen[0] 'mai"),
        (
            '"http://127.0.0.1:9002"',
            '"https://b", ca_file: no.pem',
            ":10: backends[1] 'b', ca_file: /",
        ),
    ],
)
def test_a_mistake_names_its_line(file: Path, old: str, new: str, says: str) -> None:
    assert refused(file, old, new).startswith(says)


@pytest.mark.parametrize("text", ["", " \n", "two\nlines", "caf\u00e9"])
def test_a_secret_that_cannot_be_used_is_refused_and_not_shown(file: Path, text: str) -> None:
    (file.parent / "token").write_text(text)
    with pytest.raises(SystemFileError, match="authorization: ") as caught:
        read(file)
    assert not text.strip() or text not in str(caught.value)


def test_a_key_file_without_keys_leaves_no_door_open(file: Path) -> None:
    (file.parent / "keys").write_text("# nothing yet\n\n")
    assert "it contains no key" in refused(file, "{env: DOOR}", "{file: keys}")
    (file.parent / "keys").write_text("# of the team\nalpha\n two beta \n")
    assert read(file).proxy.key_digests == (digest("alpha"), digest("beta"))


@pytest.mark.parametrize(
    ("sharing", "says"),
    [
        ("{}", "give tenant, priority or both"),
        ("{tenant: a b}", "'a b' is no name of a header"),
        ("{tenant: t, weights: {a: 0}}", "weights: a: 0.0; give a number above 0"),
        ("{tenant: t, weights: {a: many}}", "sharing.weights.a"),
        ("{weights: {a: 2}, priority: p}", "weights without tenant"),
    ],
)
def test_sharing_that_cannot_be_is_refused(file: Path, sharing: str, says: str) -> None:
    given = '{tenant: key, weights: {two: 2.5, "t*": 1}, priority: x-p}'
    assert says in refused(file, given, sharing)


def test_tenants_by_key_need_keys(file: Path) -> None:
    assert "no API keys are set; add serve.api_keys" in refused(
        file, "  api_keys: {env: DOOR}\n", ""
    )
    (file.parent / "keys").write_text("one sk-1\ntwo sk-1\n")
    assert "one and two have the same key" in refused(file, "{env: DOOR}", "{file: keys}")
    wrong = "weights: {tow: 2.5}"
    assert "is not the name of a key" in refused(file, 'weights: {two: 2.5, "t*": 1}', wrong)
    (file.parent / "keys").write_text("a b c\n")
    assert "more than two words" in refused(file, "{env: DOOR}", "{file: keys}")


def test_settings_go_between_processes_and_hide_secrets(file: Path) -> None:
    made = read(file)
    again: Serving = pickle.loads(pickle.dumps(made))
    assert again.proxy == made.proxy
    assert again.system.graph.sink.tolist() == made.system.graph.sink.tolist()
    assert "sk-secret" not in repr(made)
    assert "key-one" not in repr(made)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("9090", "9091"),
        ("workers: 3", "workers: 2"),
        ('":0"', '":8000"'),
        ("half_life: 600", "work: frontend"),
    ],
)
def test_doors_stay_as_they_were_opened(file: Path, old: str, new: str) -> None:
    before = read(file)
    file.write_text(FULL.replace(old, new))
    with pytest.raises(UsageError, match="cannot change in a running router; restart"):
        read(file).require_reloadable(before)
    file.write_text(FULL.replace("jsq", "gmsr"))
    read(file).require_reloadable(before)


@pytest.mark.parametrize("text", ["8080", "x", "h:p", "h:1/x", "u@h:1", "h:99999", "[::1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    said = "port 99999 is beyond 65535" if text == "h:99999" else "it is not an address to listen"
    with pytest.raises(UsageError, match=said):
        read_address(text)


def test_places_are_read_as_they_are_shown() -> None:
    for text in ("127.0.0.1:80", "[::1]:8080", "example.org:0"):
        assert str(read_address(text)) == text
    assert str(read_address(":80")) == "127.0.0.1:80"


def test_what_no_plan_can_be_made_of_is_named(file: Path) -> None:
    text = FULL.replace("policy: jsq", "policy: static_optimal")
    text = text.replace('9002"', '9002", curve: {type: hyperbolic, peak: 9, half: 3}')
    file.write_text(text)
    with pytest.raises(SystemFileError, match=r"no plan to follow: frontend 'one' has no rate; gi"):
        read(file)
    for name in ("one", "two"):
        text = text.replace(f"name: {name},", f"name: {name}, rate: 30,")
    file.write_text(text)
    with pytest.raises(SystemFileError, match=r"follow: infeasible: frontends {.*} bring"):
        read(file)


@pytest.mark.parametrize("workers", [1_000_000, 2**40])
def test_more_workers_than_a_machine_has_a_use_for_are_refused(file: Path, workers: int) -> None:
    with pytest.raises(UsageError, match=rf"^--workers: {workers:,} worker processes on .*give at"):
        read(file, Overrides(workers=workers))


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ("", "", False),
        ("", "model: m", False),
        ("path: /v1", "path: /v1/chat", False),
        ("path: /v1", "path: /v10", True),
        ("path: /v1/chat", "path: /v1", True),
        ("model: 'm*'", "model: m1", False),
        ("model: m1", "model: 'm*'", True),
        ("model: '*'", "", True),  # requests without a model
        ("host: '*.X'", "host: a.x", False),
        ("host: a.x", "", True),
        ("headers: {X-A: '*'}", "headers: {x-a: b}, path: /v1", False),
        ("headers: {X-A: b}", "headers: {X-B: b}", True),
        ("listener: inside", "", True),
        ("listener: inside", "listener: inside, path: /a", False),
    ],
)
def test_a_frontend_that_no_request_can_reach_is_named(
    file: Path, first: str, second: str, reached: bool
) -> None:
    system, _, rest = FULL.partition("frontends:")
    serve = rest[rest.index("serve:") :]
    frontends = (
        f"frontends:\n  - {{name: one, match: {{{first}}}, backends: ['*']}}\n"
        f"  - {{name: two, match: {{{second}}}, backends: [a]}}\n"
    )
    file.write_text(system + frontends + serve)
    notes = [note for note in read(file).notes if "can reach" in note]
    assert [note.split(",")[0] for note in notes] == (
        [] if reached else ["frontend 'two': no request can reach it"]
    )


def test_check_shows_no_setting_that_a_file_cannot_give(file: Path) -> None:
    serving = read(file)
    assert serving.checks.health is not None
    assert serving_document(serving)["health"].keys() == settings_of(HealthCheck).keys()
    screen = io.StringIO()
    Console(file=screen, width=1000).print(serving_report(serving))
    assert "status" not in screen.getvalue()


def keys_of(entry: type[Record]) -> set[str]:
    """Names of all settings that an entry may give."""
    names = set(entry.model_fields)
    for hint in get_type_hints(entry).values():
        for kind in (hint, *get_args(hint)):
            if isinstance(kind, type) and is_dataclass(kind):
                names |= set(settings_of(kind))
            elif isinstance(kind, type) and issubclass(kind, Record):
                names |= keys_of(kind)
    return names


def keys_in(document: object) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*(keys_in(value) for value in document.values()))
    if isinstance(document, list | tuple):
        return set[str]().union(*map(keys_in, document))
    return set()


def test_check_shows_each_setting_and_its_default(file: Path) -> None:
    full = FULL.replace("half_life: 600", "half_life: 600, optimism: 0.5")
    full = full.replace("workers: 3", f"workers: 1\n  residency: {RESIDENCY}")
    full = full.replace("frontends:", "models: [{name: m1}]\nfrontends:")
    full = full.replace("slow_start: 8", "slow_start: 8\n  distance: {zone: 0.02, region: 0.3}")
    full = full.replace("resend_unanswered: true", "resend_unanswered: true, zone: eu/a")
    file.write_text(full.replace("weight: 2", "weight: 2, memory: 3, zone: us/a"))
    serving = read(file)
    document = serving_document(serving)
    elsewhere = {"listen": "listeners", "learn": "learning"}
    hidden = {"env", "address", "certificate", "key"}  # where a secret is, and parts of a listener
    wanted = {elsewhere.get(key, key) for key in keys_of(schema.ServeEntry) - hidden}
    for rule in ("holding", "ejection", "retries", "refusals", "oldest_report", "stop_at_peak"):
        assert rule in document["rules"]
    assert wanted <= keys_in(document)
    assert document["learning"]["optimism"] == 0.5
    assert document["learning"]["kept"] == Learning().kept
    screen = io.StringIO()
    Console(file=screen, width=1000).print(serving_report(serving))
    shown = screen.getvalue()
    for line in (
        "resending    two",
        "load         oldest_report 4.0, stop_at_peak True, slow_start 8",
        "llama.cpp, /m",
        "optimism 0.5",
        "control      drain, weight, by key-9b346041, two",
        "distance     zone 0.02, region 0.3",
    ):
        assert line in shown


CACHED = """kind: routing
work: {unit: tokens, mean: 900, prefill: 0.1, decode: 1.0}
prefix_cache: {tokens: 2000}
backends:
  - {name: a, url: "http://h:1", curve: {type: hyperbolic, peak: 40, half: 8}}
  - name: b
    url: "http://h:2"
    curve: {type: hyperbolic, peak: 40, half: 8}
    prefix_cache: {tokens: 50}
frontends: [{name: all, backends: ["*"]}]
serve: {session: x-s, policy: POLICY}
"""


def shown(serving: Serving) -> str:
    screen = io.StringIO()
    Console(file=screen, width=1000).print(serving_report(serving))
    return screen.getvalue()


def test_check_shows_prefix_caches_and_sharing(file: Path) -> None:
    made = read(file)
    assert serving_document(made)["prefix_caches"] is None
    assert "sharing      tenant key, weights {'two': 2.5, 't*': 1.0}, priority x-p" in shown(made)
    assert "caches       off" in shown(made)
    file.write_text(CACHED.replace("POLICY", "gmsr"))
    made = read(file)
    assert serving_document(made)["prefix_caches"] == {
        "session": "x-s",
        "block_size": 16,
        "prefill": 0.1,
        "decode": 1.0,
        "mean": 900.0,
        "tokens": {"a": 2000, "b": 50},
        "events": {},
    }
    said = "caches       2000 tokens at a; 50 tokens at b; prefill 0.1, decode 1; session x-s"
    assert said in shown(made)
    assert "sharing      off" in shown(made)


@pytest.mark.parametrize(
    ("policy", "overriding", "noted"),
    [
        ("jsq", None, True),
        ("gmsr_secant", None, False),
        ("lmetric", None, False),
        ("jsq", "gmsr", False),
        ("gmsr", "weighted_least_connections", True),
    ],
)
def test_a_policy_that_does_not_look_at_caches_draws_a_note(
    file: Path, policy: str, overriding: str | None, noted: bool
) -> None:
    file.write_text(CACHED.replace("POLICY", policy))
    notes = read(file, Overrides(policy=overriding)).notes
    found = [note for note in notes if "does not consider what backends have cached" in note]
    assert len(found) == noted


@pytest.mark.parametrize(
    ("serve", "overrides", "homes"),
    [
        ("{}", Overrides(), False),
        ("{}", Overrides(workers=2), True),
        ("{cache_homes: true}", Overrides(), True),
        ("{cache_homes: false, workers: 2}", Overrides(), False),
    ],
)
def test_prompts_have_homes_where_there_are_several_workers(
    file: Path, serve: str, overrides: Overrides, homes: bool
) -> None:
    file.write_text(CACHED.replace("serve: {session: x-s, policy: POLICY}", f"serve: {serve}"))
    serving = read(file, overrides)
    assert serving.proxy.homes == homes
    assert ("which have homes" in shown(serving)) == homes
    file.write_text(FULL.replace("serve:\n", "serve:\n  cache_homes: true\n"))
    with pytest.raises(SystemFileError, match="cache_homes: has no effect without caches"):
        read(file)


MODELS = """kind: routing
models: [{name: base, size: 2}, {name: "lora-*", size: 0.5, load: 1.5}]
backends:
  - {name: a, url: "http://127.0.0.1:9001", memory: 3, resident: [base]}
  - {name: b, url: "http://127.0.0.1:9002"}
frontends: [{name: all, backends: ["*"]}]
"""


def test_models_and_their_calls_are_read(file: Path) -> None:
    file.write_text(f"{MODELS}serve:\n  residency: {RESIDENCY}\n")
    serving = read(file)
    assert serving.proxy.residency
    assert serving.residency is not None
    assert serving.residency.load is not None
    assert request_of(serving.residency.load, 'a"b') == ("POST", "/l", b'{"name": "a\\"b"}')
    assert serving.residency.unload is not None
    assert request_of(serving.residency.unload, "a/b")[:2] == ("DELETE", "/l/a%2Fb")
    setting = residency_of(serving)
    assert setting is not None
    assert list(setting.capacities) == [3.0, None]
    core = make_core(serving)
    assert core.residency is not None
    assert core.residency.manages("lora-7")
    assert not core.residency.manages("other")
    assert core.residency.load_time("lora-7") == 1.5
    assert core.residency.holders("base") == frozenset((0, 1))


@pytest.mark.parametrize(
    ("residency", "problem"),
    [
        ("{unload: {path: '/{model}'}}", "residency.unload: has no effect without load"),
        ("{load: {path: /l}}", "residency.load: does not name the model"),
        ("{load: {path: l}}", "residency.load.path:"),
        ("{load: {path: '/{model}'}}\n  workers: 2", "residency.load: works in one process"),
        ("{source: files}", "residency.source"),
        ("{timeout: 0}", "residency.timeout"),
    ],
)
def test_calls_that_cannot_work_are_named(file: Path, residency: str, problem: str) -> None:
    file.write_text(f"{MODELS}serve:\n  residency: {residency}\n")
    with pytest.raises(IsoclineError) as caught:
        read(file)
    assert problem in str(caught.value)


def test_residency_without_memory_is_refused(file: Path) -> None:
    problem = refused(file, "  policy: jsq\n", "  policy: jsq\n  residency: {}\n")
    assert "residency: has no effect without models" in problem


@pytest.mark.parametrize("plane", ["envoy", "picker"])
def test_other_planes_know_nothing_of_models(file: Path, plane: str) -> None:
    file.write_text(MODELS)
    with pytest.raises(IsoclineError, match="is for the built-in plane alone"):
        read(file, Overrides(plane=plane))


ZONED = """kind: routing
backends:
  - {name: a, url: "http://h:1", zone: eu/a}
  - {name: b, url: "http://h:2", zone: us/a}
frontends: [{name: all, zone: eu/a, backends: ["*"]}]
serve: {distance: {zone: 0.1, region: 2}, policy: gmsr_secant}
"""


MEASURED = ZONED.replace("{zone: 0.1, region: 2}", "measured, health: {path: /health}")


@pytest.mark.parametrize("text", ["measured", "{measured: true, zone: 0.1, region: 2}"])
def test_measured_distances_are_those_of_the_file_until_something_is_measured(
    file: Path, text: str
) -> None:
    file.write_text(MEASURED.replace("distance: measured", f"distance: {text}"))
    serving = read(file)
    core = make_core(serving)
    extra = 0.0 if text == "measured" else 2.0
    assert core.policy_runtime.distances == [0.0, extra]
    core.round_trip(0, 0.010, 1.0)
    core.round_trip(1, 0.090, 1.0)
    assert core.policy_runtime.distances == pytest.approx([0.0, extra + 0.08])
    screen = io.StringIO()
    Console(file=screen, width=1000).print(serving_report(serving))
    assert "distance     as measured, and zone" in screen.getvalue()
    document = serving_document(serving)
    assert document["distance"]["measured"] is True


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (", health: {path: /health}", "", "is measured by health checks; add health: {path:"),
        ("health: {path: /health}", "health: off", "is measured by health checks; add health: "),
        (
            "frontends: [",
            'frontends: [{name: other, zone: us/a, backends: ["*"], match: {path: /o}}, ',
            "is measured from where this router runs, and its frontends are of several zones",
        ),
        (", zone: eu/a, backends", ", backends", "serve.distance: has no effect without a zone of"),
        ("distance: measured", "distance: mesured", "is 'mesured'; give measured, or seconds, as"),
        ("distance: measured", "distance: {measured: maybe}", "serve.distance.measured"),
    ],
)
def test_distances_that_cannot_be_measured_are_refused(
    file: Path, old: str, new: str, problem: str
) -> None:
    assert old in MEASURED
    file.write_text(MEASURED.replace(old, new, 1))
    with pytest.raises(SystemFileError) as caught:
        read(file)
    assert problem in str(caught.value)


def test_distances_of_zones_arrive_at_the_core(file: Path) -> None:
    file.write_text(ZONED)
    serving = read(file)
    assert serving.notes == ()
    assert pickle.loads(pickle.dumps(serving)).zones == serving.zones
    assert make_core(serving).policy_runtime.distances == [0.0, 2.0]
    file.write_text(ZONED.replace("gmsr_secant", "jsq"))
    [note] = read(file).notes
    assert "policy jsq does not consider distances" in note


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("zone: 0.1", "zone: -1", "serve.distance.zone: is -1"),
        ("distance: {zone: 0.1, region: 2}, ", "", ":5: frontends[0] 'all', zone: has no effect"),
        (", zone: eu/a, backends", ", backends", "serve.distance: has no effect without a zone of"),
        ("zone: eu/a, backends", 'zone: "", backends', "zone"),
    ],
)
def test_zones_that_would_have_no_effect_are_refused(
    file: Path, old: str, new: str, problem: str
) -> None:
    assert old in ZONED
    file.write_text(ZONED.replace(old, new))
    with pytest.raises(SystemFileError) as caught:
        read(file)
    assert problem in str(caught.value)
