"""One value for several threads: made once, and what goes wrong is known to all."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from isocline.errors import UsageError
from isocline.simulate.common.latest import Latest


def test_threads_that_want_the_same_share_it_and_another_key_replaces_it() -> None:
    latest: Latest[object] = Latest()
    together, made = Barrier(4), []

    def make() -> object:
        made.append(object())
        return made[-1]

    def want(_: int) -> object:
        together.wait()
        return latest.get(1, make)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(want, range(4)))
    assert len(made) == 1
    assert all(one is made[0] for one in found)
    assert latest.get(2, make) is made[1]
    assert latest.get(1, make) is made[2]


def test_all_who_wait_are_told_what_went_wrong() -> None:
    def fail() -> int:
        raise UsageError("no such jobs")

    latest: Latest[int] = Latest()
    for _ in range(2):
        with pytest.raises(UsageError, match="no such jobs"):
            latest.get(1, fail)


def test_a_copy_in_another_process_begins_empty() -> None:
    latest: Latest[int] = Latest()
    latest.get("a", lambda: 1)
    copy: Latest[int] = pickle.loads(pickle.dumps(latest))
    assert copy.get("a", lambda: 2) == 2
