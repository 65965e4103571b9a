"""A command gets its file whatever that is called, and leaves nothing behind."""

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import pytest

from isocline.dispatch.batch.command import Command, CommandError
from tests.running import running


@pytest.mark.parametrize(
    "name", ["plain.txt", "a b.txt", "it's.txt", '"; touch bad; ".txt', "$(touch bad)", "-n", "ü\n"]
)
def test_a_path_is_one_word_whatever_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("one two")
    assert Command("cat {path}")(tmp_path / name) == "one two"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_braces_and_what_the_shell_can_do_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("a b\nc d\n")
    assert Command("awk '{print $2}' {path} | sort -r")(file) == "d\nb"
    assert Command('printf "%s" "${#CHUNK_PATH}"')(file) == str(len(str(file)))


def test_another_status_than_0_is_an_error_with_what_the_command_said() -> None:
    with pytest.raises(CommandError, match="exit status 3: no such luck"):
        Command("echo no such luck >&2; exit 3")("x")
    with pytest.raises(CommandError, match="killed by SIGKILL, often for lack of memory"):
        Command("kill -9 $$")("x")


def test_what_it_says_beside_a_result_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    assert Command("echo well >&2; echo done")("x") == "done"
    assert capfd.readouterr().err == "well\n"


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert Command(r"printf 'a\377b'")("x") == r"a\xffb"


def gone(pid: int) -> bool:
    """Whether a process has ended, within a time that is ample."""
    for _ in range(6000):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
def test_what_it_left_in_the_background_ends_with_it() -> None:
    assert gone(int(Command("sleep 600 >/dev/null 2>&1 & echo $!")("x")))


@needs_proc
def test_it_ends_with_its_shell_whatever_that_left_holds_open() -> None:
    pid = Command("sleep 600 & echo $!; echo said >&2")("x")
    assert gone(int(pid))


@needs_proc
def test_what_writes_on_and_on_in_the_background_ends_with_it() -> None:
    first, *rest = Command("echo $$; yes & sleep 0.2")("x").split()
    assert first.isdigit()
    assert set(rest) <= {"y"}


def test_what_it_wrote_before_it_ended_is_whole() -> None:
    assert Command("sleep 600 & head -c 3000000 /dev/zero | tr '\\0' a")("x") == "a" * 3_000_000


def test_closed_outputs_do_not_end_it() -> None:
    with pytest.raises(CommandError, match="exit status 4"):
        Command("exec >&- 2>&-; sleep 0.1; exit 4")("x")


@needs_proc
def test_it_ends_with_the_process_that_runs_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    source = (
        "from isocline.dispatch.batch.command import Command\n"
        f"Command('sleep 600 & echo $! > {{path}}; wait')({str(note)!r})"
    )
    with running([sys.executable, "-c", source]) as process:
        while not (note.exists() and note.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert gone(int(note.read_text()))


@needs_proc
def test_an_exception_in_its_midst_ends_it_with_its_pipeline(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    class EnoughError(Exception): ...

    def stop(*_: object) -> None:
        raise EnoughError

    before = signal.signal(signal.SIGALRM, stop)
    main, over = threading.get_ident(), threading.Event()

    def waits() -> bool:
        """Until it waits for what the command says, nobody can end what it has just started."""
        frame: FrameType | None = sys._current_frames()[main]  # noqa: SLF001 - public, whatever its name
        while frame is not None and frame.f_code.co_name != "_written":
            frame = frame.f_back
        return frame is not None and note.exists() and note.read_text().endswith("\n")

    def interrupt() -> None:
        while not waits() and not over.is_set():
            time.sleep(0.01)
        if not over.is_set():
            signal.pthread_kill(main, signal.SIGALRM)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        with pytest.raises(EnoughError):
            Command("sleep 600 & echo $! > {path}; wait | cat; sleep 600")(note)
    finally:
        over.set()
        interrupting.join()
        signal.signal(signal.SIGALRM, before)
    assert gone(int(note.read_text()))
