"""What goes wrong ends in one line on stderr and the exit status that says of which kind it was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import isocline
from isocline.cli import main
from isocline.errors import InfeasibleError

MODEL = Path(__file__).parents[1] / "model"
EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = (MODEL / "good_system_file.yaml").read_text()
N_MODEL = str(EXAMPLES / "n_model.yaml")
BAD_EDITS = yaml.safe_load((MODEL / "bad_system_files.yaml").read_text())
HEAVY = ("numba", "scipy", "pandas", "matplotlib", "pydantic", "rich", "numpy")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="isocline")


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    @click.command()
    def verb() -> None:
        raise error

    monkeypatch.setattr(type(main), "get_command", lambda *_: verb)
    return run("verb")


@pytest.mark.parametrize("edit", BAD_EDITS.values(), ids=BAD_EDITS.keys())
def test_a_bad_file_gives_one_line_and_status_2(tmp_path: Path, edit: dict[str, str]) -> None:
    path = tmp_path / "fleet.yaml"
    old = GOOD if edit["replace"] == "all of it" else edit["replace"]
    path.write_text(GOOD.replace(old, edit["by"]))
    result = run("curves", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"isocline: {path}:{edit['says']}\n"


@pytest.mark.parametrize(
    "arguments", [["plan"], ["plan", "a", "b"], ["fly"], ["curves", "a", "--colour"]]
)
def test_wrong_usage_gives_status_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: isocline" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plann"], "did you mean 'plan'? known: audit, backend, control, curves"),
        (["sim"], "did you mean 'simulate'?"),
        (["optimize"], "did you mean 'plan'?"),
        (["fly"], "there is no verb 'fly'; known: audit, backend"),
        (["simulate", "a", "--horizon", "10m"], "'10m' is no number of seconds; give 600"),
        (["simulate", "a", "--warmup", "1.5 h"], "'1.5 h' is no number of seconds; give 5400"),
        (
            ["simulate", "a", "--warmup", "a while"],
            "is no number of seconds; give a finite number of seconds, 0 or more",
        ),
        (["load", "http://x", "--duration", "2min"], "give 120"),
        (["fluid", "a", "--step", "20ms"], "give 0.02"),
        (["simulate", N_MODEL, "--load", "80%"], "for 80 % give 0.8"),
        (["simulate", N_MODEL, "--load", "80"], "for 80 % give 0.8"),
        (
            ["simulate", N_MODEL, "--load", "high"],
            "give shares of the capacity above 0, as 0.5,0.7,0.9",
        ),
    ],
)
def test_wrong_usage_comes_with_what_was_meant(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_missing_file_gives_status_2(tmp_path: Path) -> None:
    result = run("plan", tmp_path / "missing.yaml")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_a_negative_answer_gives_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    result = raising(monkeypatch, InfeasibleError(["eu"], ["l4"], 12.0, 6.0))
    assert result.exit_code == 1
    assert result.stderr.startswith("isocline: infeasible: frontends {eu} bring 12 jobs/s")


def test_ctrl_c_gives_status_130_and_a_clean_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = raising(monkeypatch, KeyboardInterrupt())
    assert result.exit_code == 130
    assert result.stderr == "\nisocline: stopped\n"


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_reader_that_goes_away_is_no_error(option: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command: list[str | Path] = [sys.executable, "-m", "isocline", "curves"]
    command += [EXAMPLES / "n_model.yaml", *option]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", [["curves", "n_model.yaml"], ["policies", "--json"], ["--help"]])
def test_a_full_disk_at_stdout_is_one_line(words: list[str]) -> None:
    command = [sys.executable, "-m", "isocline", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=EXAMPLES, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "isocline: stdout: No space left on device; make room, and run again\n"


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_closed_stdout_is_one_line(option: list[str]) -> None:
    command = [sys.executable, "-m", "isocline", "curves", str(EXAMPLES / "n_model.yaml"), *option]
    closing = "import os, sys; os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", closing, *command], stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "isocline: stdout: it is closed; give it a file, a pipe or /dev/null\n"


def test_a_terminal_of_few_characters_gets_all_it_can_show() -> None:
    command = [sys.executable, "-m", "isocline", "plan", str(EXAMPLES / "n_model.yaml")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for option in ([], ["--json"]):
        done = subprocess.run([*command, *option], env=environment, capture_output=True, check=True)
        assert done.stdout.isascii()
        assert not option or json.loads(done.stdout)["kind"] == "routing"


def test_help_lists_every_verb_with_one_line() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for verb in ("plan", "curves", "policies"):
        assert f"\n  {verb} " in result.output
    assert "..." not in result.output.partition("Commands:")[2]  # cut, as it is too long


def test_version_is_printed() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert isocline.__version__ in result.output


@pytest.mark.parametrize(
    "what", ["import isocline", "from isocline.cli import main; main(['--help'], 'isocline')"]
)
def test_starting_imports_nothing_heavy(what: str) -> None:
    check = f"import atexit, sys; atexit.register(lambda: print({HEAVY!r}, *sys.modules)); {what}"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split(") ")[1].split())
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize("file", ["mixed_fleet.yaml", "near_data.yaml"])
def test_a_plan_leaves_slow_parts_of_scipy_alone(file: str) -> None:
    check = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules)); "
        f"from isocline.cli import main; main(['plan', {str(EXAMPLES / file)!r}], 'isocline')"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "isocline.flow.solve" in imported
    assert imported.isdisjoint({"scipy.sparse", "scipy.optimize", "scipy.special"})


def test_a_directory_that_cannot_be_written_to_is_refused_before_the_work(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    result = run("curves", EXAMPLES / "n_model.yaml", "--out", taken / "deeper")
    assert result.exit_code == 2
    assert "give a directory to write to" in result.stderr


def test_out_without_matplotlib_gives_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run("curves", EXAMPLES / "n_model.yaml", "--out", tmp_path)
    assert result.exit_code == 2
    assert "--out is for pictures" in result.stderr
    assert "pip install 'isocline[plot]'" in result.stderr


@pytest.mark.parametrize("verb", [("curves",), ("reproduce", "gmsr-tiers")], ids=" ".join)
def test_dark_without_matplotlib_is_refused_in_words_of_its_own(
    verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    file = () if len(verb) > 1 else (EXAMPLES / "n_model.yaml",)
    result = run(*verb, *file, "--dark")
    assert result.exit_code == 2
    assert "--dark is for pictures, which need matplotlib" in result.stderr
    assert "--out" not in result.stderr
