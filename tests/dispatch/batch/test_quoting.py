"""A path is one word of its command, whatever it contains and however it is quoted; or refused."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.dispatch.batch.command import Command
from isocline.dispatch.batch.load import load_batch
from isocline.dispatch.batch.quoting import QuotingError, with_path
from isocline.errors import SystemFileError

HOSTILE = "a b * ? $HOME `date` $(date) 'x' \"y\" \\ ;&|"


def words(command: str, path: str = HOSTILE) -> list[str]:
    """The arguments that a command called `show` in it gets."""
    script = 'show() { for word; do printf "%s\\0" "$word"; done; }\n' + with_path(command)
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"CHUNK_PATH": path}, capture_output=True, check=True
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("show {path}", [HOSTILE]),
        ('show "{path}"', [HOSTILE]),
        ('show "{path}.gz" out/{path}', [f"{HOSTILE}.gz", f"out/{HOSTILE}"]),
        ('show --from="{path}"', [f"--from={HOSTILE}"]),
        ('show "" {path} "a"{path}"b"', ["", HOSTILE, f"a{HOSTILE}b"]),
        ('show "$(printf %s {path})"', [HOSTILE]),
        ('show "$(printf %s "{path}")"', [HOSTILE]),
        ("""show "out/$(printf %s "$(printf '%s' {path})").gz" """, [f"out/{HOSTILE}.gz"]),
        ('show "\\"" {path}', ['"', HOSTILE]),
        ("show 'it' {path} # it's {path}", ["it", HOSTILE]),
        ("show '{' {path} '}' ${HOME-x}", ["{", HOSTILE, "}", "x"]),
        ('show $# "$#" {path}', ["0", "0", HOSTILE]),
        ("(show {path}; show a)", [HOSTILE, "a"]),
        ('f={path}; show "$f"', [HOSTILE]),
        ("case {path} in *.x) show no;; *) show {path};; esac", [HOSTILE]),
    ],
)
def test_it_is_one_word_wherever_it_stands(command: str, found: list[str]) -> None:
    assert words(command) == found


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("awk '{path}'", "in single quotes"),
        ("sh -c 'rm {path}'", "in single quotes"),
        ('sh -c "rm {path}"', "among other words in double quotes"),
        ('ssh host "cat<{path}"', "among other words in double quotes"),
        ('show "`cat {path}`"', "in backquotes"),
        ("show `cat {path}`", "in backquotes"),
        ("show ${x:-{path}}", r"within \$\{...\}"),
        ("for path in x; do show ${path}; done", "shell variable"),
        ("show \\{path}", "after a backslash"),
        ('show "\\{path}"', "after a backslash"),
        ("cat <<END\n{path}\nEND", "after a here-document"),
        ("show $'it' {path}", "which shells read differently"),
        ('show "$(case x in x) show;; esac; show {path})"', "after a case within parentheses"),
    ],
)
def test_where_it_might_be_read_as_something_else_it_is_refused(command: str, says: str) -> None:
    with pytest.raises(QuotingError, match=says):
        with_path(command)


@settings(max_examples=60, deadline=None)
@given(
    path=st.text(st.sampled_from("ab *?[]$`\"'\\;&|#~!(){}<>\n-"), min_size=1, max_size=12),
    around=st.lists(
        st.sampled_from(['"{path}"', "{path}", '"x{path}"', '"$(printf %s {path})"', "'$x'"]),
        min_size=1,
        max_size=4,
    ),
)
def test_no_path_becomes_two_words_or_another_one(path: str, around: list[str]) -> None:
    bare = path.rstrip("\n")  # as $(...) has it
    meant = {'"{path}"': path, "{path}": path, '"x{path}"': f"x{path}", "'$x'": "$x"}
    assert words(" ".join(["show", *around]), path) == [meant.get(each, bare) for each in around]


def test_a_command_in_quotes_removes_its_own_file_only(tmp_path: Path) -> None:
    for name in ("a b", "a", "b", "*"):
        (tmp_path / name).touch()
    assert not Command('cd "$(dirname "{path}")" && rm "{path}"')(tmp_path / "*")
    assert not Command('cd "$(dirname "{path}")" && rm "{path}"')(tmp_path / "a b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_with_a_command_that_cannot_be_read_safely_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("chunks: '*'\ncommand: sh -c 'rm {path}'\n")
    with pytest.raises(SystemFileError, match=r"job\.yaml:2: command: .*in single quotes; write"):
        load_batch(tmp_path / "job.yaml")
