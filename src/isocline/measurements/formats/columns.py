"""Tables (CSV) whose columns are named: workload, a rate, and what else is known.

Lines before the header that begin with # are comments. A column's name is read without case,
spaces, hyphens and units in brackets: "Output TPS (tok/s)" is `output_tps`. Rates are per second,
latencies in s or ms; a unit in brackets that says otherwise is refused. All that is not listed here
is left out. Rows with `model`, `hardware` or `name` make a curve for each. vLLM's `summary.csv` is
a table of its runs, and is read as these are.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from isocline.errors import UsageError
from isocline.measurements.formats import vllm
from isocline.measurements.formats.fields import Fields, UnknownFormatError
from isocline.measurements.points import ASSUMED
from isocline.measurements.runs import BenchmarkRun, variation_of

_COLUMNS: dict[str, tuple[str, ...]] = {
    "workload": ("workload", "concurrency", "max_concurrency", "conc", "n", "jobs", "users",
                 "concurrent_requests", "request_concurrency"),
    "requests": ("rate", "requests_per_second", "request_throughput", "requests_s", "rps", "qps",
                 "req_s", "jobs_per_second", "throughput_rps", "throughput_req_s",
                 "throughput_requests_s"),
    "tokens": ("tokens_per_second", "output_throughput", "output_tokens_per_second", "tokens_s",
               "output_token_throughput", "output_tps", "tok_s"),
    "error": ("standard_error", "rate_error"),
    "completions": ("completions", "completed", "requests", "request_count"),
    "seconds": ("seconds", "duration", "duration_s", "benchmark_duration"),
    "latency": ("mean_latency", "latency", "latency_s", "mean_latency_s", "mean_e2el"),
    "latency_ms": ("mean_e2el_ms", "mean_latency_ms", "latency_ms"),
    "deviation": ("std_latency", "latency_std", "std_latency_s", "std_e2el"),
    "deviation_ms": ("std_e2el_ms", "std_latency_ms", "latency_std_ms"),
}  # fmt: skip
# What units in brackets may say, of the columns that have one.
_PER_SECOND = re.compile(r"(.*(/|\bper )\s*s(ec(ond)?)?|[a-z]*(rps|qps|tps)|hz)?", re.IGNORECASE)
_OF_TIME = re.compile(r"(m?s|m?sec|(milli)?seconds?)?", re.IGNORECASE)
_UNITS = {
    "requests": (_PER_SECOND, "requests per second"),
    "tokens": (_PER_SECOND, "tokens per second"),
    "error": (_PER_SECOND, "the rate's own unit, per second"),
    "seconds": (_OF_TIME, "seconds"),
    "latency": (_OF_TIME, "seconds or ms"),
    "latency_ms": (_OF_TIME, "seconds or ms"),
    "deviation": (_OF_TIME, "seconds or ms"),
    "deviation_ms": (_OF_TIME, "seconds or ms"),
}
_LABELS = ("name", "backend", "model", "hardware", "hw", "gpu")
_HELP = (
    "name a column of workloads (workload, concurrency) and one of rates (rate or "
    "requests_per_second, or tokens_per_second)"
)
_MOST_FIELD = 1 << 24  # characters; lists of tokens stand in tables, too


def read_table(file: TextIO, source: str) -> list[BenchmarkRun]:
    """The runs of a table.

    Raises:
        UsageError: Columns are missing, or a row is wrong.
    """
    return read_rows(_rows(file, source), source)


def read_rows(rows: Iterator[tuple[list[str], str]], source: str) -> list[BenchmarkRun]:
    """The runs of rows with their places, the header first; each row is as wide as that.

    Raises:
        UsageError: Columns are missing, or a row is wrong.
    """
    names, place = next(rows)
    header = [name.strip() for name in names]
    if vllm.matches(dict.fromkeys(header)):
        return [
            run
            for values, place in rows
            for run in vllm.read_run(Fields(_scalars(header, values), place, texts=True))
        ]
    known = _known(header, place)
    if twice := next((name for name in known.values() if header.count(name) > 1), None):
        raise UsageError(f"{place}: column {twice!r:.40} stands twice; rename one")
    found = [_run(Fields(dict(zip(header, values, strict=True)), place, texts=True), known)
             for values, place in rows]  # fmt: skip
    if not found:
        raise UsageError(f"{source}: has no rows; add one for each workload")
    return found


def _rows(file: TextIO, source: str) -> Iterator[tuple[list[str], str]]:
    """The header, then the rows, each as wide, with their places."""
    before = csv.field_size_limit(_MOST_FIELD)
    try:
        head = next((line for line in _uncommented(file) if line.strip()), "")
        file.seek(0)
        separator = max(",;\t", key=head.count)
        reader = csv.reader(_uncommented(file), delimiter=separator, strict=True)
        width = 0
        for row in reader:
            if not any(value.strip() for value in row):
                continue
            place = f"{source}, line {reader.line_num}"
            if width and len(row) != width:
                raise UsageError(
                    f"{place}: has {len(row)} of {width} fields; complete or remove the line"
                )
            width = len(row)
            yield row, place
        if not width:
            raise UsageError(f"{source}: is empty; leave it out")
    except csv.Error as error:
        raise UsageError(f"{source}: is not CSV ({error}); correct it") from error
    finally:
        csv.field_size_limit(before)


def _uncommented(lines: Iterable[str]) -> Iterator[str]:
    """The lines, comments before the header as empty ones, so that places stay."""
    before = True
    for line in lines:
        before = before and (not line.strip() or line.lstrip().startswith("#"))
        yield "\n" if before else line


def _scalars(header: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    """A row of vLLM's summary without the lists that it has as text."""
    pairs = zip(header, values, strict=True)
    return {name: value for name, value in pairs if not value.startswith("[")}


def _known(header: Sequence[str], place: str) -> dict[str, str]:
    """Columns of the table by what they are."""
    # "Throughput (req/s)" is a rate by its unit alone; other names need none.
    plain = {_words(name): name for name in reversed(header)}
    plain |= {_plain(name): name for name in reversed(header)}
    known = {
        what: plain[next(name for name in names if name in plain)]
        for what, names in _COLUMNS.items()
        if any(name in plain for name in names)
    }
    known |= {name: plain[name] for name in _LABELS if name in plain}
    for what, (unit, wanted) in _UNITS.items():
        bracketed = re.search(r"[(\[](.*?)[)\]]", known.get(what, ""))
        if bracketed and not unit.fullmatch(bracketed[1].strip()):
            raise UsageError(f"{place}: column {known[what]!r:.60}: give it in {wanted}")
    rated = "requests" in known or "tokens" in known
    timed = "latency" in known or "latency_ms" in known
    if not rated or not ("workload" in known or ("requests" in known and timed)):
        shown = " ".join(", ".join(header).split())
        said = f"has the columns {shown:.120}" if len(header) > 1 else f"is {shown!r:.60}"
        raise UnknownFormatError(
            f"{place}: {said}, which is neither JSON nor a table of results; {_HELP}"
        )
    return known


def _plain(name: str) -> str:
    """Of "Mean latency (ms)" mean_latency_ms, as milliseconds count; other units are left out."""
    return _words(re.sub(r"[(\[](?!ms[)\]]).*?[)\]]", "", name))


def _words(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _run(row: Fields, known: Mapping[str, str]) -> BenchmarkRun:
    def maybe(what: str) -> float | None:
        return row.maybe_above_0(known[what]) if what in known else None

    def least(what: str) -> float | None:
        return row.maybe_least_0(known[what]) if what in known else None

    requests, tokens = maybe("requests"), maybe("tokens")
    if requests is None and tokens is None:
        row.fail(
            known.get("requests", known.get("tokens", "rate")),
            "is empty; give a rate, or leave the line out",
        )
    latency = maybe("latency_ms")
    seconds = maybe("latency") if latency is None else latency / 1000.0
    workload = maybe("workload")
    closed = workload is not None
    if workload is None and requests is not None and seconds is not None:
        workload = requests * seconds
    if workload is None:
        row.fail(
            known.get("workload", "workload"),
            "is empty; give the number of jobs, or leave the line out",
        )
    error = least("error")
    rate = tokens if requests is None else requests
    assert rate is not None
    completions = least("completions") or 0.0
    if error is None:
        if seconds is None and requests is not None:
            seconds = workload / requests
        milliseconds = least("deviation_ms")
        deviation = least("deviation") if milliseconds is None else milliseconds / 1000.0
        variation = variation_of(deviation, seconds, completions)
    else:
        variation = error / rate
    # A count alone bounds the error of a closed loop from above: clients that send alike requests
    # one after the other vary far less than a Poisson count. As without a count, ASSUMED stands.
    if closed and variation is None and completions < ASSUMED**-2:
        completions = 0.0
    return BenchmarkRun(
        source=row.source,
        workload=workload,
        requests=requests,
        tokens=tokens,
        completions=completions,
        seconds=least("seconds") or 0.0,
        variation=variation,
        labels={name: row.text(known[name]) for name in _LABELS if name in known},
    )
