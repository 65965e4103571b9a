"""Changes of files are seen, whenever they come."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from isocline.gateway.file_stamps import KnownFiles, stamp, stamps_of
from isocline.gateway.serve.from_file import read

OLD, NEW = "one", "two"  # of the same length


def in_place(file: Path) -> None:
    file.write_text(NEW)


def replaced(file: Path) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(NEW)
    draft.replace(file)


def keeping_its_time(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """As a file system does whose times are coarse, and who copies with `cp -p`."""

    def change_within_a_tick(file: Path) -> None:
        before = file.stat()
        change(file)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change_within_a_tick


@pytest.mark.parametrize(
    "change", [in_place, replaced, keeping_its_time(in_place), keeping_its_time(replaced)]
)
def test_a_change_after_the_stamp_is_seen_once(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file = tmp_path / "file"
    file.write_text(OLD)
    known = KnownFiles(stamps_of([file]))
    assert not known.changed()
    change(file)
    assert known.changed()
    assert not known.changed()


def test_a_file_that_is_away_for_a_moment_has_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(OLD)
    known = KnownFiles(stamps_of([file]))
    file.rename(tmp_path / "away")
    assert not known.changed()
    (tmp_path / "away").rename(file)
    assert not known.changed()
    file.rename(tmp_path / "away")
    file.write_text(NEW)
    assert known.changed()


def test_a_file_that_stays_away_is_lost_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(OLD)
    known = KnownFiles(stamps_of([file]))
    for _ in range(2):
        file.unlink()
        looks = [(known.changed(), known.lost()) for _ in range(20)]
        assert [lost for _, lost in looks if lost] == [[file]]
        assert looks[0] == (False, [])  # as it may be replaced just now
        assert not any(changed for changed, _ in looks)
        file.write_text(NEW)
        known.changed()
        assert not known.lost()


def test_a_pipe_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert stamp(pipe) is not None  # and has not waited for a writer


SYSTEM = """kind: routing
backends:
  - {name: a, url: "http://127.0.0.1:9001", curve: {type: hyperbolic, peak: 9, half: 3},
     authorization: {file: token}}
frontends: [{name: all, backends: ["*"]}]
serve: {api_keys: {file: keys}, drain: 1}
"""


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("sk-1")
    (tmp_path / "keys").write_text("key-1")
    file = tmp_path / "fleet.yaml"
    file.write_text(SYSTEM)
    return file


@pytest.mark.parametrize("name", ["fleet.yaml", "token", "keys"])
def test_an_edit_between_reading_and_the_first_look_is_seen(system: Path, name: str) -> None:
    known = KnownFiles(read(system).sources)
    assert not known.changed()
    file = system.parent / name
    file.write_text(file.read_text().replace("1", "2"))
    assert known.changed()


@pytest.mark.parametrize("name", ["fleet.yaml", "token", "keys"])
def test_an_edit_while_the_file_is_read_is_seen(
    system: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is changed just after its content was taken."""
    file, read_text = system.parent / name, Path.read_text

    def read_then_edit(path: Path, *args: object, **more: object) -> str:
        text = read_text(path, *args, **more)  # type: ignore[arg-type]
        if path == file:
            path.write_text(text + "# edited\n")
        return text

    monkeypatch.setattr(Path, "read_text", read_then_edit)
    serving = read(system)
    monkeypatch.undo()
    assert "edited" in file.read_text()
    assert KnownFiles(serving.sources).changed()


def test_a_renewed_certificate_is_seen(system: Path) -> None:
    authority, files = trustme.CA(), [system.parent / name for name in ("cert.pem", "key.pem")]

    def renew() -> None:
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(files[0])
        issued.private_key_pem.write_to_path(files[1])

    renew()
    tls = 'listen: [{address: ":0", tls: {certificate: cert.pem, key: key.pem}}], drain'
    system.write_text(SYSTEM.replace("drain", tls))
    known = KnownFiles(read(system).sources)
    assert not known.changed()
    renew()
    assert known.changed()
