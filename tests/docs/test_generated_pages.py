"""Pages that are made from the code are those of today."""

import click

from tests.cli.verbs import verbs
from tests.docs import curve_library, metrics_page, verb_pages


def test_the_pages_of_verbs_are_those_of_the_command_line() -> None:
    made = verb_pages.pages()
    there = {file.name: file.read_text() for file in verb_pages.FOLDER.glob("*.md")}
    assert there == made, "options have changed; run: python -m tests.docs.verb_pages"


def test_a_page_has_every_option_and_argument_of_its_verb() -> None:
    for name, verb in verbs().items():
        page = verb_pages.page(name, verb)
        for parameter in verb.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[0] in page
            elif isinstance(parameter, click.Argument):
                assert str(parameter.metavar or parameter.human_readable_name) in page


def test_default_and_what_an_option_applies_to_have_columns_of_their_own() -> None:
    simulate = verb_pages.pages()["simulate.md"]
    row = next(line for line in simulate.splitlines() if line.startswith("| `--half-life T`"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells[1:] == ["no forgetting", "kind: routing; with `--learn`"]
    warm = verb_pages.pages()["warm.md"]
    assert "| option |  |\n" in warm  # no empty columns


def test_the_tables_of_metrics_are_those_of_the_exposition() -> None:
    text = metrics_page.PAGE.read_text()
    assert metrics_page.written(text) == text, "run: python -m tests.docs.metrics_page"


def test_types_and_labels_are_mended_and_the_order_of_labels_is_kept() -> None:
    text = metrics_page.PAGE.read_text()
    tunnels, state = "| `isocline_tunnels` | gauge |", "| gauge | `backend`, `state` |"
    assert metrics_page.written(text.replace(tunnels, "| `isocline_tunnels` | counter |")) == text
    assert metrics_page.written(text.replace(state, "| gauge | `backend` |")) == text
    swapped = text.replace(state, "| gauge | `state`, `backend` |")
    assert metrics_page.written(swapped) == swapped


def test_metrics_come_and_go_with_the_exposition() -> None:
    text = metrics_page.PAGE.read_text()
    lines = text.splitlines(keepends=True)
    without = "".join(
        line for line in lines if not line.startswith("| `isocline_workers_draining`")
    )
    row = next(line for line in lines if line.startswith("| `isocline_workers` |"))
    wrong = without.replace(row, row + "| `isocline_of_old` | gauge | | gone |\n")
    mended = metrics_page.written(wrong)
    assert "isocline_of_old" not in mended
    (added,) = [it for it in mended.splitlines() if it.startswith("| `isocline_workers_draining`")]
    assert added.startswith("| `isocline_workers_draining` | gauge | |")


def test_tables_and_picture_of_published_curves_are_those_of_the_files() -> None:
    for path, text in curve_library.pages().items():
        assert path.read_text() == text, "run: python -m tests.docs.curve_library"


def test_each_published_curve_is_on_both_pages_and_in_the_picture() -> None:
    for one in curve_library.library():
        for path in curve_library.pages():
            assert one.path.stem in path.read_text()
