"""Pickled functions keep the names of their files, whatever cloudpickle does with them."""

import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import cloudpickle
import pytest

from isocline.dispatch import pickling
from isocline.dispatch.batch.from_python import python_batch
from isocline.dispatch.engines.common import calls

JOB = """\
chunks = ["a"]

class Parser:
    def parse(self, text):
        return int(text)

def run(chunk):
    inner = lambda: Parser().parse(chunk)
    return inner()
"""


@pytest.fixture(params=["<dynamic-code>", "/another/place.py", None])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloudpickle that writes this as the file of all code, or the file itself."""
    reduce = cloudpickle.Pickler.dispatch_table[CodeType]

    def renamed(code: CodeType) -> Any:
        return reduce(code.replace(co_filename=request.param or code.co_filename))

    monkeypatch.setitem(cloudpickle.Pickler.dispatch_table, CodeType, renamed)


def frames(raised: Callable[[], object]) -> list[tuple[str, str, int | None, str | None]]:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        raised()
    return [(f.filename, f.name, f.lineno, f.line) for f in traceback.extract_tb(caught.tb)][1:]


@pytest.mark.usefixtures("release")
def test_a_traceback_is_that_of_the_function_itself(tmp_path: Path) -> None:
    file = tmp_path / "job.py"
    file.write_text(JOB)
    original = python_batch(file).function
    unpickled = pickle.loads(pickling.dumps(original))
    there = frames(lambda: unpickled("x"))[1:]
    assert there == frames(lambda: original("x"))[1:]
    assert there == [
        (str(file), "run", 9, "return inner()"),
        (str(file), "<lambda>", 8, "inner = lambda: Parser().parse(chunk)"),
        (str(file), "parse", 5, "return int(text)"),
    ]


@pytest.mark.usefixtures("release")
def test_functions_in_results_keep_their_files_too() -> None:
    returned = pickle.loads(calls.call(lambda: lambda: 1, pickling.dumps(((), {}))))
    assert type(returned) is FunctionType
    assert returned.__code__.co_filename == __file__


def test_what_is_pickled_needs_no_more_than_pickle_and_cloudpickle_to_be_read(
    tmp_path: Path,
) -> None:
    """A worker imports neither numba nor the scheduler to read a function."""
    data = pickling.dumps(lambda: 42)
    (tmp_path / "data").write_bytes(data)
    program = (
        "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))(),"
        " 'numba' in sys.modules, 'isocline.dispatch.scheduler' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "data"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "42 False False\n"
