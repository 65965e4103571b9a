"""A file that is replaced is the old one or the new one, and never a part of either."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from isocline.replaced_file import replace_text, replacing


def names(folder: Path) -> list[str]:
    return sorted(it.name for it in folder.iterdir())


def test_a_file_is_made_or_replaced_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    replace_text(path, "old")
    path.chmod(0o640)
    with replacing(path) as draft:
        draft.write_text("new")
        assert draft.suffix == ".html"
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["page.html"]


def test_after_an_error_the_old_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as draft, draft.open("w") as file:
        file.write("ne" + 9000 * "w" + "\ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["system.yaml"]


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old")
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from isocline.replaced_file import replacing\n"
        "with replacing(Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.csv", tmp_path / "link.csv"
    link.symlink_to(real)  # to a file that is not there yet
    for text in ("first", "second"):
        replace_text(link, text)
        assert link.is_symlink()
        assert real.read_text() == text
    assert names(tmp_path / "there") == ["real.csv"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_text(pipe, "text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_name_of_the_greatest_length_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("n." + 253 * "x")
    replace_text(path, "text")
    assert path.read_text() == "text"
