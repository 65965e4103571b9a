"""`isocline policies` lists what there is."""

import json

from click.testing import CliRunner

from isocline.cli import main
from isocline.policies import scheduling
from isocline.policies.routing import ALL


def test_every_policy_is_listed_with_one_line_and_its_options() -> None:
    result = CliRunner().invoke(main, ["policies", "--json"])
    document = json.loads(result.stdout)
    policies = {entry["policy"]: entry for entry in document["policies"]}
    near_data = {entry["policy"]: entry for entry in document["near-data"]}
    assert near_data.keys() == scheduling.ALL.keys()
    assert "threshold" in near_data["local_first"]["options"]
    assert policies.keys() == ALL.keys()
    assert policies["power_of_d"]["options"]["d"] == 2
    assert all(entry["summary"] for entry in (*policies.values(), *near_data.values()))


def test_the_table_says_how_to_name_ones_own() -> None:
    result = CliRunner().invoke(main, ["policies"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in (*ALL, *scheduling.ALL))
    assert "package.module:function" in result.stdout


def test_one_policy_is_described_with_its_source() -> None:
    result = CliRunner().invoke(main, ["policies", "power_of_d"])
    assert result.exit_code == 0
    assert "Mitzenmacher" in result.stdout
    assert "jsq" not in result.stdout
    document = json.loads(CliRunner().invoke(main, ["policies", "late_binding", "--json"]).stdout)
    assert document["policies"] == []
    (entry,) = document["near-data"]
    assert entry["options"] == {"memory_time": 50.0}
    assert "Lemma 3" in entry["description"]


def test_an_unknown_policy_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(main, ["policies", "jqs"])
    assert result.exit_code == 2
    assert "unknown policy 'jqs'; did you mean 'jsq'?" in result.stderr
