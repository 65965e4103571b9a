"""Columns of a trace table: given by the user, or by the name of a public format."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Self, final

from isocline.errors import UsageError

UNITS: dict[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in a unit of time."""


@final
@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold a request's time, size and origin.

    Without `prompt`, `output` and `work` a trace has times alone, and the system's own job sizes
    are drawn. `frontend` and `model` both say where a request comes in, so that at most one of the
    two is given.
    """

    time: str
    prompt: str | None = None  # tokens read
    output: str | None = None  # tokens written
    work: str | None = None  # in the unit of the curves, in place of tokens
    frontend: str | None = None  # name of the frontend
    model: str | None = None  # the frontend is the one that serves this model
    blocks: str | None = None  # hashes of the prompt's cache blocks, in their order

    def __post_init__(self) -> None:
        if self.frontend is not None and self.model is not None:
            raise UsageError(
                "trace columns: frontend and model both say where a request comes in; give one"
            )
        if self.work is not None and (self.prompt is not None or self.output is not None):
            raise UsageError(
                "trace columns: work stands for prompt and output; give it alone, or leave it out"
            )
        if self.blocks is not None and self.prompt is None:
            raise UsageError("trace columns: blocks are those of a prompt; give its column, too")

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        given = (getattr(self, field.name) for field in fields(self))
        return tuple(dict.fromkeys(name for name in given if name is not None))

    @classmethod
    def of(cls, names: Mapping[str, str]) -> Self:
        """From a mapping such as {"time": "ts", "work": "seconds"}.

        Raises:
            UsageError: `time` is missing, a key is unknown, or two keys contradict each other.
        """
        unknown = [key for key in names if key not in KEYS]
        if unknown:
            near = difflib.get_close_matches(unknown[0], KEYS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(
                f"trace columns: {unknown[0]!r} is unknown; {hint}known: {', '.join(KEYS)}"
            )
        if "time" not in names:
            raise UsageError("trace columns: time is missing; give its column, as time=timestamp")
        return cls(**names)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `time=ts,prompt=tokens in,...`, as on the command line; names may hold commas.

        Raises:
            UsageError: As `of`, or it is not written so.
        """
        names: dict[str, str] = {}
        # A comma ends a name only where another key follows it. What looks like a key, and is none,
        # may be part of a name: where no column is called so, `misread` says it.
        for part in re.split(rf",(?=(?:{'|'.join(KEYS)})=)", text):
            key, equals, name = part.partition("=")
            if not equals or not name:
                raise UsageError(
                    f"trace columns {text!r}: {part!r} names no column; write KEY=NAME, as in "
                    "time=ts,work=s"
                )
            if key.strip() in names:
                raise UsageError(
                    f"trace columns {text!r}: {key.strip()} is given twice; give each key once"
                )
            names[key.strip()] = name
        return cls.of(names)


KEYS = tuple(field.name for field in fields(Columns))


def misread(name: str) -> str:
    """Hint for a column that does not exist, whose name may hold a key that is misspelt."""
    found = re.search(r",\s*(\w+)=", name)
    if found is None:
        return ""
    near = difflib.get_close_matches(found[1], KEYS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{found[1]!r} is no key of trace columns; {hint}known: {', '.join(KEYS)}; "


@final
@dataclass(frozen=True)
class Format:
    """A public trace format: its columns, and how its files are written."""

    columns: Columns
    lines: str  # "CSV" or "JSON lines"
    unit: str | None = None  # of numeric times; None: times are dates
    size: str = "a number of tokens"  # what a size that cannot be read should have been
    blocks: str | None = None  # column of the prompt's cache blocks, which a file may lack


FORMATS: dict[str, Format] = {
    # Azure/AzurePublicDataset, `AzureLLMInferenceTrace_*.csv` of 2023 and 2024 (Patel et al.,
    # Splitwise, ISCA 2024). The files of 2024 end their times with +00:00.
    "azure": Format(Columns("TIMESTAMP", "ContextTokens", "GeneratedTokens"), "CSV"),
    # HPMLL/BurstGPT, `BurstGPT*.csv` (arXiv 2401.17644). The third file has two more columns.
    "burstgpt": Format(
        Columns("Timestamp", "Request tokens", "Response tokens", model="Model"), "CSV", "s"
    ),
    # alibaba/ServeGen, as its `save_requests_to_csv` writes a generated workload (NSDI 2026).
    "servegen": Format(Columns("timestamp", "input_tokens", "output_tokens"), "CSV", "s"),
    # kvcache-ai/Mooncake, `FAST25-release/traces/*.jsonl` (Qin et al., FAST 2025). A block of its
    # `hash_ids` is 512 tokens; the same id means the same block after the same blocks.
    "mooncake": Format(
        Columns("timestamp", "input_length", "output_length"), "JSON lines", "ms", blocks="hash_ids"
    ),
    # vLLM's `bench serve --dataset-name timed_trace`: Mooncake's fields, with times in seconds.
    "vllm": Format(
        Columns("timestamp", "input_length", "output_length"), "JSON lines", "s", blocks="hash_ids"
    ),
}

JOB_FORMATS = ("swim",)
"""Formats of jobs that read blocks, for systems of kind near-data."""


def known_formats() -> str:
    """All formats of both kinds, in words."""
    routing = (
        f"{name} ({known.lines}: {', '.join(known.columns.needed)}"
        f"{f'; time in {known.unit}' if known.unit else ''})"
        for name, known in FORMATS.items()
    )
    return (
        f"known formats of requests: {', '.join(routing)}; of jobs that read blocks, for kind: "
        f"near-data: {', '.join(JOB_FORMATS)}; for any other table name its columns, as in "
        "--trace-columns time=ts,prompt=in,output=out"
    )


def format_of(names: Collection[str], lines: str) -> str | None:
    """The first format that is written in `lines` and whose columns are all among `names`."""
    for name, known in FORMATS.items():
        if known.lines == lines and set(known.columns.needed) <= set(names):
            return name
    return None
