"""The trace keeps to the Trace Event Format, and shows what was recorded."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from isocline.dispatch.telemetry.records import LEVELS, AttemptRecord, Outcome
from isocline.dispatch.telemetry.timeline import NodeRow, Timeline, node_rows


class Event(BaseModel):
    """What all kinds have, as "Trace Event Format" (Google, 2016) says."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    pid: int


class Complete(Event):
    ph: Literal["X"]
    ts: NonNegativeFloat  # µs, as all times
    dur: NonNegativeFloat
    tid: int
    cat: str
    args: dict[str, str | float]


class Instant(Event):
    ph: Literal["i"]
    ts: NonNegativeFloat
    tid: int
    cat: str
    s: Literal["g", "p", "t"]


class Counter(Event):
    ph: Literal["C"]
    ts: NonNegativeFloat
    args: dict[str, float]


class Metadata(Event):
    ph: Literal["M"]
    name: Literal["process_name", "thread_name", "thread_sort_index"]
    tid: int
    args: dict[str, str | int]


class Trace(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    displayTimeUnit: Literal["ms", "ns"]  # noqa: N815 - the format's own
    traceEvents: list[  # noqa: N815
        Annotated[Complete | Instant | Counter | Metadata, Field(discriminator="ph")]
    ]


def ran(key: str, node: str, start: float, end: float, **more: Any) -> AttemptRecord:
    made = AttemptRecord(
        key, node, "local", "its data is here", 0.0, start, end, 1, Outcome.FINISHED
    )
    return made._replace(**more)


RUN = Timeline.of(
    [
        ran("a", "n10", 0.5, 1.0),
        ran("b", "n2", 0.5, 1.5, level="remote", outcome=Outcome.RAISED),
        ran("b", "n10", 1.5, 2.0, attempt=2),
        ran("c", "", 2.0, 2.0, outcome=Outcome.RESUMED, attempt=0),
    ]
)


def test_a_trace_file_has_a_thread_for_each_node_and_an_event_for_each_attempt(
    tmp_path: Path,
) -> None:
    document = json.loads(RUN.write_trace(tmp_path / "trace.json").read_text())
    events = Trace.model_validate(document).traceEvents
    threads = [e for e in events if isinstance(e, Metadata) and e.name == "thread_name"]
    names = {e.tid: e.args["name"] for e in threads}
    assert list(names.values()) == ["n2", "n10"]
    spans = [e for e in events if isinstance(e, Complete)]
    assert [(names[e.tid], e.name, e.ts, e.dur) for e in spans] == [
        ("n10", "a", 0.5e6, 0.5e6),
        ("n2", "b", 0.5e6, 1e6),
        ("n10", "b", 1.5e6, 0.5e6),
    ]
    assert spans[1].args["outcome"] == "raised"
    assert [(e.name, e.ts) for e in events if isinstance(e, Instant)] == [("raised", 1.5e6)]
    waiting = [(e.ts, e.args["tasks"]) for e in events if isinstance(e, Counter)]
    assert waiting == [(0.0, 2), (0.5e6, 0)]


def test_attempts_at_one_node_never_overlap_nor_hide_in_the_main_thread() -> None:
    """Perfetto would drop them, or show them as another node's."""
    heard_late = [ran("a", "n0", 0.0, 1.2), ran("b", "n0", 1.0, 2.0), ran("c", "n1", 0.0, 1.0)]
    events = Trace.model_validate(Timeline.of(heard_late).trace()).traceEvents
    spans = [(e.tid, e.ts, e.dur) for e in events if isinstance(e, Complete)]
    first, other = spans[0][0], spans[2][0]
    assert spans == [(first, 0.0, 1.2e6), (first, 1.2e6, 0.8e6), (other, 0.0, 1e6)]
    assert len({first, other, 0, events[0].pid}) == 4


def test_nodes_are_told_apart_by_what_they_did() -> None:
    first, second = node_rows(RUN.attempts)
    assert first == NodeRow("n2", 0, 0, 0, 0, failed=1, busy=1.0 / 1.5)
    assert (second.tasks, second.local, second.busy) == (2, 2, 1.0 / 1.5)


def attempt(
    key: str,
    node: str,
    level: str,
    times: tuple[float, float, float],
    number: int,
    outcome: Outcome,
) -> AttemptRecord:
    submitted, started, ended = sorted(times)
    return AttemptRecord(key, node, level, "", submitted, started, ended, number, outcome)


TIMES = st.floats(0.0, 1e6)
RAN = st.builds(
    attempt,
    st.text(max_size=5),
    st.sampled_from(["", "a", "b7", "b10"]),
    st.sampled_from(LEVELS),
    st.tuples(TIMES, TIMES, TIMES),
    st.integers(1, 3),
    st.sampled_from(Outcome),
)


@given(st.lists(RAN, max_size=20))
def test_whatever_happened_the_trace_is_valid_and_complete(records: list[AttemptRecord]) -> None:
    timeline = Timeline.of(records)
    events = Trace.model_validate_json(json.dumps(timeline.trace())).traceEvents
    started = [entry for entry in records if entry.node]
    assert sum(isinstance(event, Complete) for event in events) == len(started)
    assert all(event.args["tasks"] >= 0 for event in events if isinstance(event, Counter))
    assert sum(row.tasks for row in node_rows(timeline.attempts)) == sum(
        entry.outcome is Outcome.FINISHED for entry in started
    )


def test_a_wait_has_no_more_digits_than_were_measured() -> None:
    began = ran("a", "n0", 0.1 + 0.2, 1.0, submitted=0.3)  # which differ by 6e-17
    before = ran("b", "n0", 1.0, 2.0, submitted=1.0 + 1e-12)
    spans = Timeline.of([began, before]).trace()["traceEvents"]
    assert [span["args"]["waited_ms"] for span in spans if span["ph"] == "X"] == [0.0, 0.0]
