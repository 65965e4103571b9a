"""What the documents show, runs."""

import re
from pathlib import Path

import yaml

import isocline
from isocline.gateway.serve.from_file import read
from tests.docs.blocks import blocks

ROOT = Path(__file__).parents[2]


def test_the_policy_in_the_documents_is_the_example_file() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "docs/choosing.md").read_text(), re.DOTALL)
    assert shown is not None
    source = (ROOT / "examples/my_policy.py").read_text()
    code = re.sub(r'""".*?"""\n+', "", source, flags=re.DOTALL)
    assert re.sub(r"\s+", " ", shown[1]).strip() == re.sub(r"\s+", " ", code).strip()


def test_ones_own_policy_is_stable_at_high_load_and_beats_jsq() -> None:
    system = isocline.load(ROOT / "examples/mixed_fleet.yaml")
    mine, jsq = isocline.simulate(
        system,
        policies=["examples.my_policy:least_price", "jsq"],
        load=0.8,
        horizon=300.0,
        warmup=60.0,
        replications=3,
        percentiles=False,
    ).policies
    assert mine.status == "stable"
    assert mine.mean_jobs is not None
    assert jsq.mean_jobs is not None
    assert mine.mean_jobs.high < jsq.mean_jobs.low


def test_the_curve_in_the_documents_is_the_example_file_and_has_a_plan() -> None:
    shown = (ROOT / "docs/own.md").read_text()
    source = (ROOT / "examples/my_curve.py").read_text()
    assert source.split('"""\n\n', 1)[1] in shown
    assert isocline.plan(isocline.load(ROOT / "examples/own_curve.yaml")).status == "optimal"


def test_ones_own_scheduling_policy_runs_and_needs_no_more_than_one_of_its_kind() -> None:
    cluster = isocline.load(ROOT / "examples/near_data.yaml", kind="near-data")
    mine, fewest = isocline.simulate_cluster(
        cluster,
        ["examples.my_scheduler:RandomThenHelp", "local_first"],
        load=0.5,
        horizon=400.0,
        warmup=100.0,
        replications=3,
        percentiles=False,
    ).policies
    assert mine.status == "stable"
    assert mine.mean_latency is not None
    assert fewest.mean_latency is not None
    assert fewest.mean_latency.value < mine.mean_latency.value < 3.0 * fewest.mean_latency.value


def test_the_files_for_kubernetes_are_valid_and_leave_time_to_drain(tmp_path: Path) -> None:
    page = ROOT / "docs/guides/vllm-on-kubernetes.md"
    files = {block.marker: block.text for block in blocks(page)}
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(files["file: fleet.yaml"].replace("/var/lib/isocline", str(tmp_path)))
    serving = read(fleet)
    pod = yaml.safe_load(files["file: router.yaml"])["spec"]["template"]["spec"]
    (router,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > serving.drain + serving.drain_delay > 0
    assert router["readinessProbe"]["httpGet"]["path"] == "/ready"
    ports = {port["containerPort"] for port in router["ports"]}
    listening = [yaml.safe_load(fleet.read_text())["serve"][key] for key in ("listen", "admin")]
    assert {int(address.rpartition(":")[2]) for address in listening} == ports
    mounted = [Path(it["mountPath"]) for it in router["volumeMounts"]]
    assert Path("/var/lib/isocline") in mounted
