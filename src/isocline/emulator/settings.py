"""Settings of an emulated server."""

from dataclasses import dataclass, field
from typing import Literal, final

from isocline.emulator.faults import Faults
from isocline.errors import UsageError
from isocline.model.curves import Curve
from isocline.model.endpoint import port_problem, shown
from isocline.model.residency import Model
from isocline.model.traffic import DeterministicSizes, Sizes


@final
@dataclass(frozen=True)
class Settings:
    """One server.

    A request of p prompt and o output tokens is work of `prefill` p + `decode` o if the curve is in
    tokens/s, and of 1 if it is in jobs/s, times a size drawn from `sizes`, which have mean 1. Of p
    those tokens count that are not in the prefix cache when the request arrives.

    Raises:
        UsageError: A number makes no sense.
    """

    curve: Curve
    unit: Literal["tokens", "jobs"] = "tokens"
    prefill: float = 0.0  # work of a prompt token
    decode: float = 1.0  # work of an output token
    sizes: Sizes = field(default_factory=DeterministicSizes)
    models: tuple[str, ...] = ()  # names of the model; empty: whatever a request asks for
    output_tokens: int = 16  # of a request that does not say
    max_model_len: int = 131_072  # prompt and output tokens of a request, at most
    max_num_seqs: int | None = None  # requests that run at a time; others wait
    cache_tokens: int | None = None  # of prompts, which the prefix cache holds; None: it has none
    block_size: int = 16  # tokens that the cache keeps or drops together
    memory: float | None = None  # for the models in `loadable`; None: as much as they need
    loadable: tuple[Model, ...] = ()  # models that can be loaded, beside those of `models`
    on_demand: bool = False  # load what requests ask for; else by calls alone
    orca: Literal["text", "json", "off"] = "off"  # form of the load report if none is asked for
    orca_counts: Literal["waiting", "all"] = "waiting"  # jobs it tells of, see `emulator.orca`
    seed: int = 0
    faults: Faults = field(default_factory=Faults)

    @property
    def listed_models(self) -> tuple[str, ...]:
        """The names that `/v1/models` shows from the start."""
        return self.models or (() if self.loadable else (DEFAULT_MODEL,))

    @property
    def metrics_model(self) -> str:
        """The name of the model in metrics."""
        return self.models[0] if self.models else DEFAULT_MODEL

    def __post_init__(self) -> None:
        if self.cache_tokens is not None and (self.unit == "jobs" or self.prefill == 0.0):
            raise UsageError(
                "a prefix cache saves prefill, and a prompt is no work here; "
                "give --prefill above 0, and a curve in tokens/s"
            )
        if self.memory is not None and not self.loadable:
            raise UsageError("memory is for models that can be loaded; give them by --models")
        if self.memory is not None and not self.memory > 0:
            raise UsageError(f"memory is {self.memory}; give a number above 0")
        if self.on_demand and not self.loadable:
            raise UsageError("nothing can be loaded on demand; give --models")
        for name in ("output_tokens", "max_model_len", "max_num_seqs", "block_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; give a whole number above 0")
        if not (self.prefill >= 0 and self.decode > 0 and self.prefill + self.decode < 1e12):
            raise UsageError(
                f"prefill is {self.prefill}, decode is {self.decode}; "
                "give finite numbers, prefill at least 0 and decode above 0"
            )
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed is {self.seed}; give a whole number from 0 to 2^63 - 1")


DEFAULT_MODEL = "isocline"  # as listed when any name is taken


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, [IPv6]:PORT or PORT; port 0 lets the system choose.

    Raises:
        UsageError: It is none of these.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    problem = port_problem(f":{port}")
    if not (port.isascii() and port.isdigit()) or text.startswith(":"):
        problem = "it is not an address to listen on"
    if problem:
        raise UsageError(f"{shown(text)}: {problem}; give HOST:PORT, such as 127.0.0.1:9001")
    return host, int(port)
