"""The part of a system file that only serving reads: what it gives, and what is refused."""

from pathlib import Path

import pytest
import yaml

from isocline.dispatch.batch.from_yaml import yaml_batch
from isocline.errors import SystemFileError
from isocline.model.curves import HyperbolicCurve
from isocline.model.match import Match
from isocline.model.serving_settings import EjectionRule
from isocline.model.systemfile import load
from isocline.model.systemfile.serving import load_served
from isocline.model.systemfile.serving_schema import ServeEntry

GOOD = """kind: routing
backends:
  - {name: a, url: "http://127.0.0.1:9001", authorization: {file: token}, report: vllm}
  - {name: b, url: "http://127.0.0.1:9002", curve: {type: hyperbolic, peak: 9, half: 3}}
frontends:
  - {name: one, match: {model: m*}, backends: [a]}
  - {name: two, match: {path: /v1}, rate: 3.0, backends: ["*"]}
serve:
  listen:
    - {name: main, address: 127.0.0.1:8080}
  admin: off
  workers: 2
  ejection: {failures: 3, floor: 0.5}
  times: {connect: 2}
  api_keys: {env: DOOR}
  drain: 5
"""
BAD = yaml.safe_load((Path(__file__).parent / "bad_serving_files.yaml").read_text())


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return path


def test_what_is_written_is_kept_and_what_is_not_has_a_stand_in(tmp_path: Path) -> None:
    served = load_served(write(tmp_path, GOOD))
    assert [backend.name for backend in served.system.backends] == ["a", "b"]
    assert served.system.backends[1].curve == HyperbolicCurve(9.0, 3.0)
    assert served.system.graph.neighbours(1).tolist() == [0, 1]
    assert not served.knows_curves
    assert served.unplanned == "backend 'a' has no curve; give each backend one"
    assert served.serve.ejection == EjectionRule(failures=3, floor=0.5)
    assert served.serve.admin is None
    assert served.entries.backends[0].report == "vllm"
    assert served.entries.frontends[0].match == Match(model="m*")


def test_one_address_stands_for_one_listener(tmp_path: Path) -> None:
    text = GOOD.replace("\n    - {name: main, address: 127.0.0.1:8080}", " 127.0.0.1:8080")
    listen = load_served(write(tmp_path, text)).serve.listen
    assert listen is not None
    assert [(it.name, it.address) for it in listen] == [("default", "127.0.0.1:8080")]


def test_a_file_without_the_key_can_be_served(tmp_path: Path) -> None:
    served = load_served(write(tmp_path, GOOD[: GOOD.index("serve:")]))
    assert served.serve == ServeEntry()


@pytest.mark.parametrize("edit", BAD.values(), ids=BAD.keys())
def test_a_bad_serving_value_is_named_with_line_and_remedy(
    tmp_path: Path, edit: dict[str, str]
) -> None:
    assert edit["replace"] in GOOD
    path = write(tmp_path, GOOD.replace(edit["replace"], edit["by"]))
    with pytest.raises(SystemFileError) as caught:
        load_served(path)
    assert str(caught.value) == f"{path}:{edit['says']}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "",
            r": is empty; isocline serve takes a system .*isocline run takes jobs\); begin",
        ),
        ("- 1\n", r":1: \[1\] is not a mapping; begin with: kind: routing"),
        (
            'command: "wc -w {path}"\n',
            r":1: kind: is missing; this looks like a job.*isocline run",
        ),
    ],
)
def test_a_file_for_another_verb_says_which_one_takes_it(
    tmp_path: Path, text: str, says: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SystemFileError, match=says):
        load_served(path)


def test_a_job_is_no_system_and_an_empty_file_no_job(tmp_path: Path) -> None:
    with pytest.raises(SystemFileError, match="kind: is missing; this looks like a job, not a sys"):
        load(write(tmp_path, 'command: "wc -w {path}"\n'))
    with pytest.raises(SystemFileError, match='is empty; describe a job, beginning: command: "wc'):
        yaml_batch(write(tmp_path, ""))
    with pytest.raises(SystemFileError, match='3 is not a mapping; begin with: command: "wc -w'):
        yaml_batch(write(tmp_path, "3"))


def test_a_key_without_a_value_keeps_its_default(tmp_path: Path) -> None:
    serve = "serve:\n  holding:\n  models:\n  times:\n    idle:\n  listen:\n"
    served = load_served(write(tmp_path, GOOD[: GOOD.index("serve:")] + serve))
    assert served.serve == ServeEntry()


def test_a_plan_needs_what_serving_does_without(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(SystemFileError, match=r"frontends\[0\] 'one': neither of rate and arr"):
        load(path)
    path = write(tmp_path, GOOD.replace("match: {model: m*}", "rate: 2.0"))
    with pytest.raises(SystemFileError, match=r"'a', curve: is missing.*isocline serve learns it"):
        load(path)


def test_a_plan_passes_over_what_only_serving_reads(tmp_path: Path) -> None:
    whole = GOOD.replace("report: vllm", "curve: {type: hyperbolic, peak: 5, half: 1}")
    system = load(write(tmp_path, whole.replace("match: {model: m*}", "rate: 2.0")))
    assert system.rates.tolist() == [2.0, 3.0]
