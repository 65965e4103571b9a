"""Files of kind fleet: machine types, frontends and demands in, `FleetProblem` out."""

import os
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from isocline.arguments import kind_of, require
from isocline.errors import IsoclineError
from isocline.model.curves import TableCurve
from isocline.model.fleet import Work
from isocline.model.fleet_problem import Demand, FleetProblem, MachineType
from isocline.model.graph import CompatibilityGraph
from isocline.model.systemfile import names
from isocline.model.systemfile.curve_schema import AnyCurve
from isocline.model.systemfile.document import Document, read
from isocline.model.systemfile.load import no_system, what_was_cut
from isocline.model.systemfile.problems import choice, report
from isocline.model.systemfile.record import Name, NotNegative, Positive, Record
from isocline.model.systemfile.schema import AnySizes, TraceEntry, WorkEntry
from isocline.model.traffic import DeterministicSizes, ExponentialSizes, Sizes
from isocline.model.traffic.busiest_windows import Window, busiest_windows
from isocline.model.traffic.sizes import LognormalSizes

FloatArray = npt.NDArray[np.float64]


@final
class TypeEntry(Record):
    """One entry of `types`."""

    name: Name
    price: NotNegative
    curve: AnyCurve
    at_least: Annotated[int, Field(ge=0)] = 0
    at_most: Annotated[int, Field(ge=0)] | None = None
    url: Name | None = None


@final
class FrontendEntry(Record):
    """One entry of `frontends`; a rate unless demands or a trace have them."""

    name: Name
    types: Annotated[list[Name], Field(min_length=1)]
    rate: NotNegative | None = None
    work: Positive | dict[Name, Positive] | None = None


@final
class DemandEntry(Record):
    """One entry of `demands`: rates by frontend; those that are not named have none."""

    name: Name
    rates: Annotated[dict[Name, NotNegative], Field(min_length=1)]


@final
class DemandTrace(TraceEntry):
    """A trace file, whose busiest windows are demands."""

    window: Positive
    busiest: Annotated[int, Field(ge=1)] = 1


@final
class FleetFile(Record):
    """A whole file of kind fleet."""

    kind: Literal["fleet"]
    name: Name | None = None
    work: WorkEntry | None = None
    sizes: AnySizes | None = None
    types: Annotated[list[TypeEntry], Field(min_length=1)]
    frontends: Annotated[list[FrontendEntry], Field(min_length=1)]
    demands: Annotated[list[DemandEntry], Field(min_length=1)] | None = None
    trace: DemandTrace | None = None

    @model_validator(mode="after")
    def _one_kind_of_demand(self) -> Self:
        if self.demands is not None and self.trace is not None:
            raise PydanticCustomError(
                "said", "both of demands and trace are given; give one, or rates of the frontends"
            )
        return self


def load_fleet(path: str | os.PathLike[str]) -> FleetProblem:
    """Read a file of kind fleet.

    Raises:
        SystemFileError: It cannot be used, or is of another kind; the message names file, line,
            field, value and remedy.
    """
    require("path", path, kind_of(str | os.PathLike[str]))
    document = read(Path(path), "fleet problem", "kind: fleet")
    kind = document.data.get("kind")
    if kind != "fleet":
        found = "is missing" if kind is None else f"is {kind!r}"
        document.fail(("kind",), f"{found}; {_remedy(document, kind)}")
    try:
        file = FleetFile.model_validate(document.data)
    except ValidationError as errors:
        report(document, errors.errors(include_url=False)[0])
    return _built(document, file)


def fleet_notes(problem: FleetProblem) -> list[str]:
    """Return notes on what was changed or left unused, one sentence each; often none."""
    cut = [
        f"type {each.name!r}: {what_was_cut(each.curve)}"
        for each in problem.types
        if isinstance(each.curve, TableCurve) and each.curve.dropped
    ]
    used = np.bincount(problem.graph.sink, minlength=len(problem.types)) > 0
    return cut + [
        f"type {each.name!r}: no frontend may use it"
        for each, is_used in zip(problem.types, used, strict=True)
        if not is_used
    ]


def _remedy(document: Document, kind: object) -> str:
    if kind in ("routing", "near-data"):
        return (
            "its machines are there already, and isocline plan takes it; to ask which to have, "
            "give kind: fleet, with types in place of backends"
        )
    return no_system(document.data) or "give kind: fleet"


def _built(document: Document, file: FleetFile) -> FleetProblem:
    numbers = names.numbered(document, "types", file.types)
    names.numbered(document, "frontends", file.frontends)
    matches = cache(partial(names.matches, numbers))
    neighbours: list[list[int]] = []
    for f, entry in enumerate(file.frontends):
        row: dict[int, None] = {}
        for i, pattern in enumerate(entry.types):
            found = matches(pattern)
            if not found:
                problem = f"{pattern!r} matches no machine type; {choice(pattern, numbers)}"
                document.fail(("frontends", f, "types", i), problem)
            row.update(dict.fromkeys(found))
        neighbours.append(list(row))
    graph = CompatibilityGraph.from_neighbours(len(numbers), neighbours)
    work = file.work.make() if file.work else Work()
    types = tuple(_type(document, k, entry) for k, entry in enumerate(file.types))
    edge_work = _edge_work(document, file, graph, work)
    demands, work, sizes = _demands(document, file, work)
    with document.blaming("sizes"):
        sizes = file.sizes.make() if file.sizes else sizes
    frontends = tuple(entry.name for entry in file.frontends)
    name = file.name or document.name
    return FleetProblem(types, frontends, graph, demands, work, sizes, edge_work, name)


def _type(document: Document, k: int, entry: TypeEntry) -> MachineType:
    with document.blaming("types", k, "curve"):
        curve = entry.curve.make()
    try:
        return MachineType(entry.name, curve, entry.price, entry.at_least, entry.at_most, entry.url)
    except IsoclineError as error:
        problem = str(error).removeprefix(f"type {entry.name!r}: ")
        for part in error.field:
            problem = problem.removeprefix(f"{part} ")
        document.fail(("types", k, *error.field), problem)


def _edge_work(
    document: Document, file: FleetFile, graph: CompatibilityGraph, work: Work
) -> FloatArray | None:
    """(E,) work of a job by each edge in mean jobs; None where no frontend has its own."""
    if all(entry.work is None for entry in file.frontends):
        return None
    if file.trace is not None:
        document.fail(
            ("trace",),
            "its requests have their own work; remove work from the frontends",
        )
    found = np.ones(graph.edges)
    for f, entry in enumerate(file.frontends):
        edges = slice(graph.first[f], graph.first[f + 1])
        if isinstance(entry.work, float | int):
            found[edges] = entry.work / work.mean
        if not isinstance(entry.work, dict):
            continue
        own = [file.types[k].name for k in graph.neighbours(f)]
        for name in entry.work:
            if name not in own:
                problem = f"{name!r} is no machine type of this frontend; {choice(name, own)}"
                document.fail(("frontends", f, "work", name), problem)
        for edge, name in zip(range(edges.start, edges.stop), own, strict=True):
            if name not in entry.work:
                document.fail(("frontends", f, "work"), f"lacks type {name!r}; add it")
            found[edge] = entry.work[name] / work.mean
    return found


class _Load(NamedTuple):
    """Demands, with the work and the sizes of what they are made of."""

    demands: tuple[Demand, ...]
    work: Work
    sizes: Sizes = ExponentialSizes()


def _demands(document: Document, file: FleetFile, work: Work) -> _Load:
    places = {entry.name: f for f, entry in enumerate(file.frontends)}
    if file.trace is not None:
        return _of_trace(document, file, work)
    if file.demands is None:
        for f, entry in enumerate(file.frontends):
            if entry.rate is None:
                document.fail(("frontends", f, "rate"), "is missing; add it, as rate: 12.0")
        rates = tuple(float(entry.rate or 0.0) for entry in file.frontends)
        with document.blaming("frontends"):
            return _Load((Demand("demand", rates),), work)
    _refuse_rates(document, file, "demands")
    names.numbered(document, "demands", file.demands)
    found = []
    for d, demand in enumerate(file.demands):
        for name in demand.rates:
            if name not in places:
                problem = f"{name!r} is no frontend; {choice(name, places)}"
                document.fail(("demands", d, "rates", name), problem)
        with document.blaming("demands", d):
            rates = tuple(demand.rates.get(name, 0.0) for name in places)
            found.append(Demand(demand.name, rates))
    return _Load(tuple(found), work)


def _refuse_rates(document: Document, file: FleetFile, by: str) -> None:
    for f, entry in enumerate(file.frontends):
        if entry.rate is not None:
            document.fail(
                ("frontends", f, "rate"), f"is given beside {by}, which have it; remove one"
            )


def _of_trace(document: Document, file: FleetFile, work: Work) -> _Load:
    assert file.trace is not None
    with document.blaming("trace"):
        trace = file.trace.read(document.path.parent)
        labels = tuple(entry.name for entry in file.frontends)
        # Where the trace has no labels, frontends share it by their rates, or alike.
        shares = [1.0 if entry.rate is None else entry.rate for entry in file.frontends]
        each = work.of(trace) if trace.sized else np.ones(trace.times.size)
        windows = busiest_windows(
            trace, each, labels, shares, Window(file.trace.window, file.trace.busiest)
        )
        mean = float(each.mean())
        demands = tuple(
            Demand(f"{found.start:g} s", found.rates, found.work / mean) for found in windows
        )
    if not trace.sized:
        return _Load(demands, work)
    variation = float(each.std()) / mean
    sizes = LognormalSizes(variation) if variation > 0.0 else DeterministicSizes()
    return _Load(demands, work if work.unit == "jobs" else replace(work, mean=mean), sizes)
