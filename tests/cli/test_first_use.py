"""The first start: where kernels are kept, what is said of compiling them, and `isocline warm`."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from isocline.cli import main
from isocline.cli._compiling import Notice
from isocline.compilation import cache_directory
from isocline.compilation.kernel_cache import KernelFiles

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def python(
    program: str, *arguments: str, env: dict[str, str], user: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*user, sys.executable, "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        timeout=300,
    )


WHERE = """
import sys
from pathlib import Path
from isocline.compilation import cache_directory
source = Path(cache_directory.__file__)
print(cache_directory.writable(source).parent)
print(*cache_directory.readable(source), sep=":")
cache_directory.of_user.cache_clear()  # as in a child, which has nothing but the environment
print(cache_directory.of_user())
cache_directory.report()  # as where a kernel is compiled
"""


def nobody() -> tuple[str, ...]:
    """The command that runs another as a user with no rights; empty where there is none."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        return ()
    user = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    works = python("import isocline", env={}, user=user).returncode == 0
    return user if works else ()


AS_NOBODY = nobody()
as_root = pytest.mark.skipif(not AS_NOBODY, reason="needs root, setpriv, and files all may read")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """As `tmp_path`, which only its owner may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@as_root
def test_without_home_and_rights_kernels_go_to_a_private_directory(open_path: Path) -> None:
    scratch = open_path / "scratch"
    scratch.mkdir()
    scratch.chmod(0o1777)
    done = python(WHERE, env={"TMPDIR": str(scratch)}, user=AS_NOBODY)
    assert done.returncode == 0, done.stderr
    place, read, child = done.stdout.splitlines()[:3]
    made = Path(place)
    assert made == scratch / f"isocline-{NOBODY}"
    assert made.stat().st_uid == NOBODY
    assert made.stat().st_mode & 0o777 == 0o700
    assert child == place  # which says nothing more
    assert done.stderr.count("XDG_CACHE_HOME") == 1
    # What an image has beside its sources is read, though it cannot be written.
    assert read.split(":")[0] == str(Path(cache_directory.__file__).parent / "__pycache__")


@as_root
def test_a_temporary_directory_of_somebody_else_is_not_trusted(open_path: Path) -> None:
    scratch = open_path / "scratch"
    scratch.mkdir()
    scratch.chmod(0o1777)
    squatted = scratch / f"isocline-{NOBODY}"
    squatted.mkdir()
    squatted.chmod(0o777)
    done = python(WHERE, env={"TMPDIR": str(scratch)}, user=AS_NOBODY)
    assert done.returncode == 0, done.stderr
    place, _, child = done.stdout.splitlines()[:3]
    assert place != str(squatted)
    assert child == place
    assert not any(squatted.iterdir())
    assert not Path(place).exists()  # it ends with the process


@as_root
def test_a_cache_directory_that_is_named_is_used(open_path: Path) -> None:
    mine = open_path / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    xdg = python(WHERE, env={"XDG_CACHE_HOME": str(mine)}, user=AS_NOBODY)
    assert xdg.stdout.splitlines()[0] == str(mine / "isocline")
    assert xdg.stderr == ""
    numba = python(WHERE, env={"NUMBA_CACHE_DIR": str(mine)}, user=AS_NOBODY)
    assert numba.stdout.splitlines()[0] == str(mine)


SUM = """
from isocline.compilation.compiled import kernel
@kernel
def doubled(x):
    return 2 * x
print(doubled(3), doubled.stats.cache_hits.total())
"""


@as_root
def test_kernels_that_root_compiled_in_an_image_are_read_by_its_user(open_path: Path) -> None:
    """Also if times lose their fractions, as layers of an image have them."""
    (open_path / "summing.py").write_text(SUM)
    plain = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(open_path), "TMPDIR": NOWHERE}
    assert python("import summing", env=plain).stdout.split() == ["6", "0"]
    for path in open_path.rglob("*"):
        os.utime(path, (1.0, float(int(path.stat().st_mtime))))
    read = python("import summing", env=plain, user=AS_NOBODY)
    assert read.stdout.split() == ["6", "1"], read.stderr
    assert read.stderr == ""  # it needs nowhere to keep kernels


KERNEL = """
from isocline.compilation.compiled import kernel
from isocline.randomness.draws import below, stream
rng = stream(1)
def used(draw):  # loads from the cache: before and after the first call
    print(draw.stats.cache_hits.total(), draw(rng, 3) < 3, draw.stats.cache_hits.total())
used(below)
"""
AGAIN = "\nused(kernel(below.py_func))  # which finds on disk what another process would\n"


def test_a_cache_that_is_cut_short_or_gone_costs_time_only(tmp_path: Path) -> None:
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert python(KERNEL, env=env).stdout.split() == ["0", "True", "0"]
    cut = f"""
from pathlib import Path
for file in Path({str(tmp_path)!r}).rglob("*.nb[ic]"):
    file.write_bytes(file.read_bytes()[:20])
"""
    done = python(KERNEL + cut + AGAIN, env=env)
    assert done.returncode == 0, done.stderr
    found, broken = done.stdout.splitlines()
    assert found.split() == ["0", "True", "1"]
    assert broken.split() == ["0", "True", "0"]


class Pickled:
    """A text, once it is pickled; before that, something happens."""

    def __init__(self, text: str, before: Callable[[], object]) -> None:
        self.text, self.before = text, before

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        self.before()
        self.before = lambda: None
        return str, (self.text,)


def test_processes_that_compile_at_once_never_get_code_of_another_signature(
    tmp_path: Path,
) -> None:
    first, second = (KernelFiles(str(tmp_path), "kernel", "source") for _ in range(2))
    late, done = threading.Event(), threading.Event()

    def is_late() -> None:
        late.set()
        assert done.wait(60.0)

    code = Pickled("code of a", is_late)
    other = threading.Thread(target=lambda: first.save("a", code))

    def begins() -> None:
        """The first one begins when the second has begun, and writes its code last."""
        other.start()
        assert late.wait(60.0)

    try:
        second.save(Pickled("b", begins), "code of b")
    finally:
        done.set()
        other.join()
    reader = KernelFiles(str(tmp_path), "kernel", "source")
    assert [reader.load("a"), reader.load("b")] == ["code of a", "code of b"]


def test_code_is_kept_for_the_state_of_the_source_that_it_is_of(tmp_path: Path) -> None:
    old, new = (KernelFiles(str(tmp_path), "kernel", stamp) for stamp in ("old", "new"))
    old.save("a", "old code")
    assert new.load("a") is None
    new.save("a", "new code")
    new.save("b", "more")
    assert [old.load("a"), new.load("a"), new.load("b")] == [None, "new code", "more"]
    # None was written over, as it may be in use. In time they go.
    kept = set(tmp_path.glob("*.nbc"))
    assert len(kept) == 3
    for path in kept:
        os.utime(path, (0.0, 0.0))
    newest = KernelFiles(str(tmp_path), "kernel", "newest")
    newest.save("a", "newest code")
    assert newest.load("a") == "newest code"
    assert not kept & set(tmp_path.glob("*.nbc"))


NOWHERE = "/proc/no-such-directory"  # which root cannot make either


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="needs a file system that takes no files"
)
def test_where_nothing_can_be_written_kernels_are_compiled_each_time() -> None:
    env = os.environ | dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"), NOWHERE)
    program = f"import tempfile; tempfile.tempdir = {NOWHERE!r}\n{KERNEL}{AGAIN}"
    done = python(program, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "True", "0"] * 2
    assert done.stderr.count("cannot be kept") == 1


FULL = """
import errno
from isocline.compilation import kernel_cache
def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
kernel_cache.KernelFiles.save = full
"""


def test_a_full_disk_is_reported_once(tmp_path: Path) -> None:
    done = python(FULL + KERNEL + AGAIN, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "True", "0"] * 2
    assert done.stderr.count("No space left on device") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_notice_comes_once_and_nothing_where_nothing_is_compiled() -> None:
    quiet = io.StringIO()
    Notice(quiet).close()
    assert quiet.getvalue() == ""
    said = io.StringIO()
    notice = Notice(said)
    for _ in range(3):
        notice.started()
        notice.finished()
    notice.close()
    assert said.getvalue().count("\n") == 1
    assert "compiling kernels, once" in said.getvalue()


def test_on_a_terminal_kernels_are_counted_and_the_count_goes_away() -> None:
    now = iter([0.0, 0.0, 2.0, 2.0, 5.0, 5.0])
    terminal = Terminal()
    notice = Notice(terminal, lambda: next(now))
    notice.started()  # one kernel, which calls another
    notice.started()
    notice.finished()
    assert "1 kernel, 2 s" in terminal.getvalue()
    notice.finished()
    notice.close()
    assert terminal.getvalue().endswith("\r\x1b[K")


# Which compiled functions a command asks its cache for. Those that are parts of others are asked
# for only while the others are being compiled, so it is asked once all are there.
ASKED = """
import atexit, json, sys
from isocline.compilation.kernel_cache import KernelCache
asked = set()
load = KernelCache.load_overload
def asking(self, sig, context):
    asked.add(f"{self._py_func.__module__}.{self._py_func.__qualname__}")
    return load(self, sig, context)
KernelCache.load_overload = asking
atexit.register(lambda: print("ASKED", *sorted(asked), file=sys.stderr))
from isocline.cli import main
for command in json.loads(sys.argv[1]):
    assert not main(command, "isocline", standalone_mode=False)
"""


def asked(*commands: tuple[str, ...]) -> set[str]:
    """By commands that run in one process, one after the other."""
    done = python(ASKED, json.dumps(commands), env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ASKED")]
    return set(line.split()[1:])


# More edges than are interpreted.
LARGE = "kind: routing\nbackends:\n"
LARGE += "".join(
    f"  - {{name: b{b}, curve: {{type: hyperbolic, peak: 4.0, half: 2.0}}}}\n" for b in range(21)
)
LARGE += "frontends:\n"
LARGE += "".join(f"  - {{name: f{f}, rate: 1.0, backends: ['*']}}\n" for f in range(10))


@pytest.mark.parametrize(
    ("verb", "commands"),
    [
        ("plan", [("plan", "large.yaml"), ("fluid", "examples/n_model.yaml")]),
        ("run", [("run", "examples/word_count.yaml", "--workers", "1")]),
    ],
)
def test_after_warming_a_verb_needs_nothing_else_compiled(
    verb: str, commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    large = tmp_path / "large.yaml"
    large.write_text(LARGE)
    commands = [
        tuple(str(large) if part == large.name else part for part in command)
        for command in commands
    ]
    warmed, needed = asked(("warm", verb)), asked(*commands)
    if not needed <= warmed:  # something was compiled on the way, if only for the first time
        warmed, needed = asked(("warm", verb)), asked(*commands)
    assert needed
    assert needed <= warmed


def test_warm_refuses_what_it_does_not_know() -> None:
    wrong = CliRunner().invoke(main, ["warm", "plans"], prog_name="isocline")
    assert wrong.exit_code == 2
    assert "plan, simulate, serve, run" in wrong.stderr
