"""Every block of code that a page shows is run by `make docs`, or says why it is not."""

import ast
import re

import pytest
import yaml

from tests.docs.blocks import PAGES, ROOT, Block, agrees, blocks, commands

BLOCKS = [block for page in PAGES for block in blocks(page)]
# What stands for nothing that runs: shown output, a grammar, a formula.
SHOWN = {"text", "json", "dockerfile", "yaml", "promql"}
MARKERS = ("not run: ", "file: ")


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_every_block_names_its_language() -> None:
    assert [str(it) for it in BLOCKS if it.language not in {"console", "python", *SHOWN}] == []


def test_every_marker_is_known_and_a_block_that_is_not_run_says_why() -> None:
    for block in BLOCKS:
        if re.match(r"\w[\w ]*:", block.marker):
            assert block.marker.startswith(MARKERS), f"{block}: {block.marker}"
        if block.marker.startswith("not run"):
            assert len(block.why_not) > 5, f"{block} does not say why it is not run"


def test_most_blocks_run() -> None:
    runnable = [*of("console"), *of("python")]
    idle = [str(block) for block in runnable if block.why_not]
    assert len(idle) < len(runnable) / 3, idle


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_is_python(block: Block) -> None:
    if not block.why_not:
        ast.parse(block.text)


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_yaml(block: Block) -> None:
    assert list(yaml.safe_load_all(block.text))


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_a_console_begins_with_a_command(block: Block) -> None:
    assert block.text.startswith("$ ")
    assert all(command.text for command in commands(block))


def test_dots_stand_for_anything_and_all_else_must_agree() -> None:
    assert agrees("a\n...\nz\n", "a  \nb\nc\nz\n\n")
    assert agrees("load ...: done", "load 0.8: done")
    assert agrees("a\n...\nz", "a\nz")
    assert not agrees("a\n...\nz", "a\nb")
    assert not agrees("a...z", "a\nz")
    assert not agrees("a.b", "axb")


def test_continued_commands_and_their_outputs_are_told_apart() -> None:
    block = Block(ROOT / "README.md", 1, "console", "$ a \\\n    b\n$ for i; do\n> c\nd\n", "")
    assert [(it.text, it.shown) for it in commands(block)] == [
        ("a \\\n    b", ""),
        ("for i; do\nc", "d\n"),
    ]
