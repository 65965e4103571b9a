"""`isocline policies` lists what there is."""

import json

from click.testing import CliRunner

from isocline.cli import main
from isocline.policies.routing import ALL


def test_every_policy_is_listed_with_one_line_and_its_options() -> None:
    result = CliRunner().invoke(main, ["policies", "--json"])
    policies = {entry["policy"]: entry for entry in json.loads(result.stdout)["policies"]}
    assert policies.keys() == ALL.keys()
    assert policies["power_of_d"]["options"]["d"] == 2
    assert all(entry["summary"] for entry in policies.values())


def test_the_table_says_how_to_name_ones_own() -> None:
    result = CliRunner().invoke(main, ["policies"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ALL)
    assert "package.module:function" in result.stdout
