"""`isocline report` writes one page of a system or a run, or says what it needs."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main
from isocline.dispatch.batch.recorded import RECORD, write_record
from tests.report.dispatch_results import result as made_run
from tests.report.pages.reading import Page

EXAMPLES = Path(__file__).parents[2] / "examples"
FAST = ("--quick", "--replications", "2", "--load", "0.5")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)], prog_name="isocline")


def page_of(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.requests() == []
    return page


def test_a_page_has_what_the_other_verbs_print(tmp_path: Path) -> None:
    output = tmp_path / "new" / "page.html"
    done = run(EXAMPLES / "n_model.yaml", "-o", output, "--json", *FAST)
    assert done.exit_code == 0, done.stderr
    assert f"wrote {output}" in done.stderr
    document = json.loads(done.stdout)
    page = page_of(output)
    assert document["kind"] == "routing"
    assert "2.828 jobs in the system" in page.words  # twice the square root of 2
    assert page.row("Prices", "f1")
    (load,) = document["loads"]  # the file's own is 0.5
    assert load["load"] == pytest.approx(0.5)
    for policy in load["policies"]:
        shown = {row[0]: row for table in page.tables for row in table}[policy["policy"]]
        assert shown
    again = re.search(r"isocline report .*", page.source)
    assert again is not None
    assert "--quick --replications 2 --load 0.5" in again[0] or "--load 0.5" in again[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("layers.yaml", "sites"),
        ("tiers.yaml", "tier 2"),
        ("regions.yaml", "point [8, 14.1] dropped"),
        ("own_curve.yaml", "own curve"),
        ("pigou.yaml", "Pigou's example"),
        ("small_cluster.yaml", "Who helps whom"),
    ],
)
def test_each_kind_of_system_file_has_a_page(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES.parent)  # the classes of own_curve.yaml are found from here
    output = tmp_path / "page.html"
    done = run(EXAMPLES / name, "-o", output, "--seconds", "0.1", *FAST)
    assert done.exit_code == 0, done.stderr
    page = page_of(output)
    assert words in page.words
    assert "Certificate" in page.words


def test_a_load_that_cannot_be_served_has_a_page(tmp_path: Path) -> None:
    file = tmp_path / "overloaded.yaml"
    file.write_text((EXAMPLES / "n_model.yaml").read_text().replace("rate: 0.4", "rate: 1.2"))
    done = run(file, "-o", tmp_path / "page.html", *FAST)
    assert done.exit_code == 0, done.stderr
    words = page_of(tmp_path / "page.html").words
    assert "No policy can serve this load." in words
    assert "mean latency in s at load" in words  # at lower loads there are policies


@pytest.mark.parametrize("name", ["", RECORD])
def test_a_run_has_a_page(tmp_path: Path, name: str) -> None:
    write_record(made_run(), tmp_path / RECORD)
    done = run(tmp_path / name, "-o", tmp_path / "page.html")
    assert done.exit_code == 0, done.stderr
    page = page_of(tmp_path / "page.html")
    assert "Timeline" in page.words
    assert "bad0 at n0" in page.words


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.yaml"], "missing.yaml"),
        ([EXAMPLES / "word_count.yaml"], "isocline run takes it"),
        ([EXAMPLES / "serve.yaml"], "neither of rate and arrivals is given"),
        ([EXAMPLES], f"has no {RECORD}"),
        ([EXAMPLES / "n_model.yaml", "-o", EXAMPLES], "Is a directory"),
        ([EXAMPLES / "n_model.yaml", "-o", EXAMPLES / "n_model.yaml" / "x"], "Not a directory"),
        ([EXAMPLES / "n_model.yaml", "--policy", "gsmr"], "gsmr"),
        ([EXAMPLES / "n_model.yaml", "--load", "90"], "for 90 % give 0.9"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    arguments: list[str | Path], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert not [*tmp_path.iterdir()]


def test_the_file_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "system.yaml"
    text = (EXAMPLES / "n_model.yaml").read_text()
    file.write_text(text)
    (tmp_path / "link.html").symlink_to(file)
    for output in (file, tmp_path / "link.html"):
        done = run(file, "--output", output)
        assert done.exit_code == 2
        assert f"--output {output}: this is FILE itself; give another path" in done.stderr
    assert file.read_text() == text


def test_options_of_simulations_do_not_apply_to_a_run(tmp_path: Path) -> None:
    write_record(made_run(), tmp_path / RECORD)
    done = run(tmp_path, "--policy", "gmsr", "-o", tmp_path / "page.html")
    assert done.exit_code == 2
    assert "--policy does not apply to a run" in done.stderr
