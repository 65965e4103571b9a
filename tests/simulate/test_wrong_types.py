"""Arguments of public functions that are of another kind than they should, or out of range."""

import math
from typing import Any

import numpy as np
import pytest

import isocline as typed
from isocline.dispatch import Settings
from isocline.errors import IsoclineError, UsageError
from isocline.model.cluster import Cluster, Rates, SampledTasks
from isocline.simulate.routing.compare import sweep
from isocline.simulate.scheduling.compare import sweep_cluster
from tests.builders import mixed

isocline: Any = typed  # Any: the arguments are of the wrong type on purpose


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"system": "two.yaml"}, r"system 'two.yaml': give a system, as isocline.load"),
        ({"system": 3}, r"system 3: give a system, as isocline.load"),
        ({"failures": [("a", 100.0)]}, r"failures\[0\] \('a', 100.0\): give isocline.Failure\("),
        ({"slowdowns": ["a"]}, r"slowdowns\[0\] 'a': give isocline.Slowdown\("),
        ({"changes": [(100, "b.yaml")]}, r"changes\[0\]\[1\] 'b.yaml': give a routing system, as"),
        ({"changes": [100]}, r"changes\[0\] 100: give a tuple of a number and a routing system"),
        ({"policies": len}, r"policies <built-in function len>: give a list"),
        ({"patience": 2}, r"patience 2: give a string such as 'exponential:mean=2', or 'none'"),
        ({"arrivals": 3.0}, r"arrivals 3.0: give a string such as 'gamma:cv=3'"),
        ({"trace": "x.csv"}, r"trace 'x.csv': give a trace, as isocline.read_trace\(path\) gives"),
        ({"deadline": "1"}, r"deadline '1': give a finite number above 0"),
        ({"load": "0.5"}, r"load '0.5': give a finite number above 0"),
        ({"load": [0.5, 0.8]}, r"load \[0.5, 0.8\]: give .* such as 0.8; for several .*--load"),
        ({"load": math.nan}, r"load nan: give a finite number above 0"),
        ({"time_scale": 0}, r"time_scale 0: give a finite number above 0"),
        ({"horizon": "10"}, r"horizon '10': give a finite number above 0"),
        ({"horizon": math.inf}, r"horizon inf: give a finite number above 0"),
        ({"warmup": -1.0}, r"warmup -1.0: give a finite number, 0 or more"),
        ({"replications": 3.5}, r"replications 3.5: give a whole number, 2 or more"),
        ({"replications": 0}, r"replications 0: give a whole number, 2 or more"),
        ({"precision": 1.0}, r"precision 1.0: give a number above 0 and below 1"),
        ({"threads": -3}, r"threads -3: give a whole number, 1 or more"),
        ({"seed": -1}, r"seed -1: give a whole number, 0 or more"),
        ({"seed": 1.0}, r"seed 1.0: give a whole number, 0 or more"),
        ({"percentiles": "no"}, r"percentiles 'no': give True or False"),
        ({"start": "full"}, r"start 'full': give one of empty, fluid"),
        ({"clock": "atomic"}, r"clock 'atomic': give one of continuous, slotted"),
        ({"scale": 0.0}, r"scale 0.0: give a finite number above 0"),
        ({"delay": 0.1}, r"delay 0.1: give isocline.Delay\("),
        ({"learn": True}, r"learn True: give isocline.Learning\(\)"),
        ({"budget": "1e9"}, r"budget '1e9': give a number above 0"),
        ({"progress": 3}, r"progress 3: give a function"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{words}") as refusal:
        isocline.simulate(**{"system": mixed(), "policies": ["jsq"]} | arguments)
    assert "\n" not in str(refusal.value)


SMALL = Cluster.numbered(4, Rates(local=1.0, remote=0.5), SampledTasks(2, 2.0))
CURVE = isocline.HyperbolicCurve(40.0, 12.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: isocline.simulate(SMALL, level="rack"), "level 'rack': give one of"),
        (lambda: isocline.simulate(SMALL, replicas=2.5), "replicas 2.5: give a whole number"),
        (lambda: isocline.simulate(SMALL, trace=3), r"trace 3: give .*read_swim"),
        (lambda: sweep(mixed(), loads=[]), "loads .*: give at least one"),
        (lambda: sweep(mixed(), loads=[0.5, "x"]), r"loads\[1\] 'x': give"),  # type: ignore[list-item]
        (lambda: sweep_cluster(SMALL, loads=[]), "loads .*: give at least one"),
        (lambda: isocline.plan("a.yaml"), "system 'a.yaml': give a routing system"),
        (lambda: isocline.plan(mixed(), edges_to_try=-1), "edges_to_try -1: give"),
        (lambda: isocline.plan(SMALL, replicas_to_try="3"), "replicas_to_try '3': give"),
        (lambda: isocline.plan(SMALL, clock="x"), "clock 'x': give one of"),
        (lambda: isocline.fluid(SMALL), "system .*: give a routing system"),
        (lambda: isocline.fluid(mixed(), horizon="3"), "horizon '3': give"),
        (lambda: isocline.fluid(mixed(), tolerance=1.0), "tolerance 1.0: give"),
        (lambda: isocline.fluid(mixed(), start="a"), "start 'a': give numbers"),
        (lambda: isocline.fluid(mixed(), start={"b0": "x"}), "start: b0 'x': give"),
        (lambda: isocline.fluid(mixed(), changes=[(1.0, 2)]), r"changes\[0\]\[1\] 2: give"),
        (lambda: isocline.paths(mixed(), horizon=9.0, points=1), "points 1: give"),
        (lambda: isocline.convergence(3), "system 3: give a routing system"),
        (lambda: isocline.structure(3, [1.0]), "system 3: give a routing system"),
        (lambda: isocline.price_of_anarchy(3), "system 3: give a routing system"),
        (lambda: isocline.approach(1, 2), "path 1: give a path, as isocline.fluid"),
        (lambda: isocline.notes(3), "system 3: give a"),
        (lambda: isocline.load(3), "path 3: give a string or a path"),
        (lambda: isocline.load("a.yaml", kind="x"), "kind 'x': give one of"),
        (lambda: isocline.read_trace(3), "trace 3: give the path of a file"),
        (lambda: isocline.read_trace("x.csv", columns=3), "columns 3: give"),
        (lambda: isocline.read_swim(3), "path 3: give a string or a path"),
        (lambda: isocline.bursty_trace(0), "requests 0: give"),
        (lambda: isocline.HyperbolicCurve(True, 3.0), "peak is True; give a finite number"),
        (lambda: isocline.ExponentialCurve("4", 3.0), "peak is '4'; give a finite number"),
        (lambda: isocline.ServersCurve(1.0, True), "count is True; give a whole number"),
        (lambda: isocline.TableCurve(3), "table curve: points 3: give a list"),
        (lambda: isocline.TableCurve((("a", 2),)), r"points\[0\]\[0\] 'a': give a number"),
        (lambda: isocline.TableCurve(((1,),)), r"points\[0\] \(1,\): give a tuple of"),
        (lambda: isocline.PoolCurve((1.0,)), r"pool curve: members\[0\] 1.0: give a Curve"),
        (lambda: isocline.PoissonArrivals("3"), "arrival rate '3' must be a finite number"),
        (lambda: isocline.PoissonArrivals(True), "arrival rate True must be a finite number"),
        (lambda: isocline.PiecewiseArrivals(3, 4.0), "piecewise arrivals: steps 3: give a list"),
        (lambda: isocline.PiecewiseArrivals(((0, 1.0),), "a"), "period 'a': give a number"),
        (lambda: isocline.TraceArrivals(np.array([1.0, math.nan]), 3.0), "give finite times"),
        (lambda: isocline.TraceArrivals([2.0, 1.0], 3.0), "each no less than the last"),
        (lambda: isocline.Trace("t", [0.0, 1.0], [1.0, 1.0], ["a", "b"]), "output_tokens .*number"),
        (lambda: isocline.Trace("t", [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]), "times go back; sort"),
        (lambda: isocline.Trace("t", [0.0, math.nan], [1.0, 1.0], [1.0, 1.0]), "times: give a row"),
        (lambda: isocline.Trace("t", [], [], []), "it holds no request"),
        (lambda: isocline.Trace("t", [0.0], [-1.0], [1.0]), "prompt_tokens: give a row of finite"),
        (lambda: isocline.Work(mean="3"), "work: mean '3': give a number"),
        (lambda: isocline.Backend(3, CURVE), "backend name 3: give a string"),
        (lambda: isocline.Delay("a"), "delay: travel 'a': give a finite number, 0 or more"),
        (lambda: isocline.Failure("a", "b"), "failure of a: time 'b': give"),
        (lambda: isocline.Slowdown("a", 0.5, 1.0), "slowdown of a: factor 0.5: give"),
        (lambda: isocline.Rates(local="1", remote=2.0), "rates: local '1': give a number"),
        (lambda: isocline.HotSpot(servers="a", share=2), "hot spot: servers 'a': give a number"),
        (lambda: isocline.SampledTasks("a", 2.0), "tasks: replicas 'a': give a whole number"),
        (lambda: isocline.Learning(half_life="a"), "learning: half_life 'a': give a number"),
        (lambda: isocline.Prior(knee="a"), "prior: knee 'a': give a number"),
        (lambda: isocline.CompatibilityGraph.from_edges(2, 2, [("a", 1)]), "edges .*: give pairs"),
        (lambda: isocline.CompatibilityGraph.from_edges(2, 2, [(0, 1, 2)]), "edges .*: give pairs"),
        (lambda: isocline.Scheduler(policy=3), "policy 3: give a string or a scheduling policy"),
        (lambda: isocline.Scheduler(retries="3"), "retries '3': give a whole number"),
        (lambda: isocline.Scheduler(limit="2"), "limit '2': give a finite number above 0"),
        (lambda: isocline.Scheduler(seed=-1), "seed -1: give a whole number"),
        (lambda: Settings(remember=-1), "remember -1: give a whole number"),
        (lambda: Settings(rates=3), "rates 3: give isocline.Rates"),  # type: ignore[arg-type]
        (lambda: isocline.Scheduler(rules=3), "rules 3: give a Rules"),
        (lambda: isocline.Scheduler(journal=3), "journal 3: give a string or a Path"),
        (lambda: isocline.Scheduler(engine=3), "engine is 3; give processes"),
        (lambda: isocline.Scheduler(nodes="a"), "nodes 'a': give a whole number or a list"),
        (lambda: isocline.Scheduler(copies=1), "copies 1: give True or False"),
        (lambda: isocline.Scheduler(version=3), "version 3: give a function"),
    ],
)
def test_so_is_one_of_every_other_public_function(call: Any, words: str) -> None:
    with pytest.raises(IsoclineError, match=words) as refusal:
        call()
    assert "\n" not in str(refusal.value)
