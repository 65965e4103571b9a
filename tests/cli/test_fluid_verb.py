"""`isocline fluid` follows the fluid model of a system file."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from isocline.cli._waiting import WaitingLine
from isocline.cli.fluid import command
from isocline.theory.routing.inclusion import BUDGET

EXAMPLES = Path(__file__).parents[2] / "examples"
N_MODEL = EXAMPLES / "n_model.yaml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["fluid", *map(str, arguments)], prog_name="isocline")


def test_the_json_has_the_fields_that_were_promised() -> None:
    result = run(N_MODEL, "--start", "b1=5,b2=0", "--horizon", "50", "--step", "5", "--json")
    assert result.exit_code == 0
    path = json.loads(result.stdout)
    assert path["times"] == [5.0 * i for i in range(11)]
    assert path["workloads"]["b1"][0] == 5.0
    assert path["workloads"]["b2"][-1] == pytest.approx(np.sqrt(2), abs=2e-3)
    totals = np.add(path["workloads"]["b1"], path["workloads"]["b2"])
    assert path["total_jobs"] == pytest.approx(totals)
    assert (np.diff(path["lyapunov"]) < 0.0).all()
    assert [len(change["tiers"]) for change in path["tiers"]] == [2, 1]


def test_without_a_horizon_it_ends_at_rest_and_draws(tmp_path: Path) -> None:
    result = run(EXAMPLES / "mixed_fleet.yaml", "--out", tmp_path)
    assert result.exit_code == 0
    assert "fluid model of GMSR" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "fluid.png", "fluid.svg", "fluid.csv", "tiers.csv",
    }  # fmt: skip


def test_a_system_may_become_another(tmp_path: Path) -> None:
    later = tmp_path / "later.yaml"
    later.write_text(N_MODEL.read_text().replace("rate: 0.4", "rate: 0.8"))
    result = run(N_MODEL, "--horizon", "40", "--then", f"20={later}", "--json")
    path = json.loads(result.stdout)
    middle = path["times"].index(20.0)
    assert path["times"][middle + 1] == 20.0
    sent = [sum(edge["rates"][at] for edge in path["split"]) for at in (middle, middle + 1)]
    assert sent == pytest.approx([1.0, 1.4])


def test_overload_is_said(tmp_path: Path) -> None:
    heavy = tmp_path / "heavy.yaml"
    heavy.write_text(N_MODEL.read_text().replace("rate: 0.4", "rate: 1.6"))
    printed = run(heavy, "--horizon", "10").stdout
    assert "workloads grow without end at b1, in the long run by 0.6000 jobs/s in all" in printed
    assert "The others come to rest" in printed
    known = json.loads(run(heavy, "--horizon", "10", "--json").stdout)
    assert known["equilibrium"] is None
    assert [b["status"] for b in known["overload"]["backends"]] == ["growing", "stable"]
    assert json.loads(run(N_MODEL, "--horizon", "10", "--json").stdout)["overload"] is None
    refused = run(heavy)
    assert refused.exit_code == 1
    assert "the system never comes to rest; give --horizon T to see it grow" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--start", "b1"), "give each backend once, as in b1=5,b2=0"),
        (("--start", "b1=1,b1=2"), "give each backend once"),
        (("--start", "nobody=1"), "no backend 'nobody'; there are b1, b2"),
        (("--then", "soon"), "a time in s and a system file"),
        (("--horizon", "-1"), "'--horizon': '-1' is out of range; give a finite"),
        (("--tolerance", "1e-9", "--budget", "60"), "spent its budget of 60 level flows; give"),
        (("--horizon", "5", "--step", "9"), "give a shorter step, or a longer horizon"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[str, ...], message: str) -> None:
    result = run(N_MODEL, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_default_budget_is_that_of_python() -> None:
    (option,) = [one for one in command.params if one.name == "budget"]
    assert option.default == BUDGET


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_long_computation_says_how_far_it_is_and_the_line_goes_away() -> None:
    now = iter([0.0, 1.9, 2.1, 7.0])
    terminal = Terminal()
    line = WaitingLine("following the fluid", terminal, lambda: next(now))
    line.show()
    assert terminal.getvalue() == ""
    line.reached = "at 3 s after 10 steps"
    line.show()
    line.show()
    assert "following the fluid, 7 s: at 3 s after 10 steps" in terminal.getvalue()
    line.close()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_short_computation_writes_nothing() -> None:
    now = iter([0.0, 1.0])
    terminal = Terminal()
    line = WaitingLine("planning", terminal, lambda: next(now))
    line.show()
    line.close()
    assert terminal.getvalue() == ""


def test_into_a_pipe_a_line_is_written_at_times_that_double() -> None:
    now = iter([0.0, 9.0, 10.0, 15.0, 45.0, 79.0, 80.5])
    log = io.StringIO()
    line = WaitingLine("following the fluid", log, lambda: next(now))
    for step in range(6):
        line.reached = f"after {step} steps"
        line.show()
    line.close()
    assert log.getvalue().splitlines() == [
        "following the fluid, 10 s: after 1 steps",
        "following the fluid, 45 s: after 3 steps",
        "following the fluid, 80 s: after 5 steps",
    ]
