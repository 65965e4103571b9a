"""Logs of one JSON object a line, whatever is logged, and however a process ends."""

import json
import logging
import math
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from isocline.structured_log import JsonFormatter, event


def line_of(message: str, *arguments: object, **more: Any) -> dict[str, Any]:
    record = logging.getLogger("isocline.test").makeRecord(
        "isocline.test", logging.WARNING, "f", 1, message, arguments, None, **more
    )
    record.created = 784_111_777.5
    text = JsonFormatter("worker 3").format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_has_a_time_a_level_a_name_and_the_fields() -> None:
    extra = event("backend.ejected", backend="h100", seconds=5.0)
    assert line_of("backend %s: ejected", "h100", extra=extra) == {
        "time": "1994-11-06T08:49:37.500Z",
        "level": "warning",
        "event": "backend.ejected",
        "message": "backend h100: ejected",
        "process": "worker 3",
        "backend": "h100",
        "seconds": 5.0,
    }
    assert datetime.fromisoformat(line_of("x")["time"]) == datetime(
        1994, 11, 6, 8, 49, 37, 500_000, UTC
    )


def test_a_record_of_others_is_named_after_its_logger() -> None:
    assert line_of("100 %% of %d", 7)["event"] == "isocline.test"
    assert line_of("100 %% of %d", 7)["message"] == "100 % of 7"


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
)


@given(st.text(), st.dictionaries(st.text(), VALUES, max_size=4))
def test_whatever_is_said_is_one_line_of_json(message: str, fields: dict[str, Any]) -> None:
    found = line_of("%s", message, extra={"event": "x", "fields": fields})
    assert (found["message"], found["event"]) == (message, "x")
    assert set(fields) <= set(found)


def test_numbers_that_json_does_not_have_are_null() -> None:
    extra = event("x", one=math.nan, other=[math.inf, 1.0])
    found = line_of("x", extra=extra)
    assert (found["one"], found["other"]) == (None, [None, 1.0])


PROGRAM = """
import logging, sys, threading, warnings
from isocline.structured_log import log_as_json
log_as_json(sys.stderr)
warnings.warn("one\\ntwo")
logging.getLogger("asyncio").error("of the loop", exc_info=ValueError("x\\ny"))
logging.getLogger("isocline.serve").info("ours")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Bad:
    def __del__(self):
        raise OSError("at its end")
Bad()
raise KeyError("last\\nwords")
"""


def test_all_that_a_process_says_is_json_to_its_last_words() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    events = [line["event"] for line in lines]
    assert events == ["py.warnings", "asyncio", "isocline.serve", "crashed", "crashed", "crashed"]
    assert [line.get("exception.type") for line in lines] == [
        *(None, "ValueError", None, "ZeroDivisionError", "OSError", "KeyError")
    ]
    assert lines[1]["exception.message"] == "x\ny"
    assert "Traceback" in lines[3]["exception.stacktrace"]
