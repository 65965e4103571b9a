"""Learned curves survive a restart."""

import json
import os
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from isocline.errors import SystemFileError
from isocline.gateway.serve.learned_curves import (
    LearnedCurves,
    learned_curves,
    learned_file,
    read_learned,
    restore,
    write_learned,
)
from isocline.learn import Learner
from isocline.model.curves import HyperbolicCurve
from isocline.report.tables.curves import curves_document


def taught(seed: int = 1) -> Learner:
    """Backend 0 of two has finished some 1500 jobs."""
    curve, learner, rng = HyperbolicCurve(10.0, 6.0), Learner(2), np.random.default_rng(seed)
    n, now = 0, 0.0
    for _ in range(3000):
        rate = float(curve.rate(n))
        now += rng.exponential(1.0 / (6.0 + rate))
        if rng.random() < 6.0 / (6.0 + rate):
            learner.arrived(0, n, now)
            n += 1
        else:
            learner.finished(0, n, now)
            n -= 1
        if learner.due:
            learner.update(now, [n, 0])
    learner.observed.fresh[:] = learner.observed.quota  # the last fit knows of all events
    learner.update(now, [n, 0])
    return learner


# Not while files are imported, which each worker does with all of them.
@cache
def learner() -> Learner:
    return taught()


@cache
def curves() -> LearnedCurves:
    return learned_curves(learner(), ["h100", "l4"], "fleet")


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    write_learned(file, curves())
    assert file.stat().st_mode & 0o077 == 0  # for this user alone
    again = Learner(3)
    found = read_learned(file)
    assert found == curves()
    # The fleet has changed meanwhile: another order, and one more.
    assert restore(again, ["new", "l4", "h100"], found) == ["l4", "h100"]
    for n in (1.0, 5.0, 20.0):
        assert again.curve(2).rate(n) == pytest.approx(learner().curve(0).rate(n), rel=0.02)
    # An unseen one is believed to be as fast as the best, as before.
    assert again.fitted(0).unit_rate == pytest.approx(again.fitted(2).unit_rate, rel=0.11)
    assert again.fitted(2).completions == pytest.approx(1500, rel=0.1)


def test_the_file_shows_the_curves_as_a_system(tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    write_learned(file, curves())
    found = learned_file(file)
    assert found is not None
    system = found.as_system()
    assert [backend.name for backend in system.backends] == ["h100", "l4"]
    assert float(system.curves[0].rate(6.0)) == pytest.approx(5.0, rel=0.1)
    assert [entry["name"] for entry in curves_document(system)["backends"]] == ["h100", "l4"]
    assert learned_file(Path("examples/mixed_fleet.yaml")) is None
    assert learned_file(tmp_path / "none") is None
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SystemFileError, match=r"this is not JSON .*; give a system file, or a"):
        learned_file(file)
    file.write_text('{"kind":"learned-curves"}')
    with pytest.raises(SystemFileError, match="version is missing; give a system file, or a"):
        learned_file(file)


def test_no_file_is_no_curves(tmp_path: Path) -> None:
    assert read_learned(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version is 2, but this isocline reads version 1; move the file away"),
        ({"kind": "routing"}, "kind"),
        ({"more": 1}, "more is not a key of a file of learned curves; move the file away"),
        ({"backends": [{"name": ""}]}, r"backends\.0\.name is '': string should have at"),
        ({"backends": [{}]}, r"backends\.0\.name is missing; move"),
    ],
)
def test_another_document_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    file = tmp_path / "curves.json"
    file.write_text(json.dumps(curves().model_dump() | change))
    with pytest.raises(SystemFileError, match=words):
        read_learned(file)


def test_lists_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    document = curves().model_dump()
    document["backends"][0]["done"].pop()
    file = tmp_path / "curves.json"
    file.write_text(json.dumps(document))
    with pytest.raises(SystemFileError, match="differ in length"):
        read_learned(file)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    write_learned(file, curves())
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(
        SystemFileError, match=r"this is not JSON .*; it may have been cut off; move"
    ):
        read_learned(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SystemFileError, match="cannot be read"):
        read_learned(file)


def test_a_reader_sees_a_whole_file_at_any_moment(tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    other = learned_curves(Learner(2), ["h100", "l4"], "fleet")
    write_learned(file, curves())
    seen, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            found = read_learned(file)
            assert found in (curves(), other)
            seen.add(found == curves())

    reader = threading.Thread(target=watch)
    reader.start()
    for round_ in range(60):
        write_learned(file, other if round_ % 2 else curves())
    stop.set()
    reader.join()
    assert seen == {True, False}
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "curves.json"
    write_learned(file, curves())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFileError, match="No space left"):
        write_learned(file, learned_curves(Learner(2), ["h100", "l4"], "fleet"))
    assert read_learned(file) == curves()
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemFileError, match="cannot be written"):
        write_learned(tmp_path / "none" / "curves.json", curves())
