"""Changes of a fleet between two snapshots, as events for viewers."""

from collections.abc import Iterator
from typing import Literal

from isocline.gateway.metrics.live_page.intervals import rise
from isocline.gateway.metrics.snapshot import BackendSnapshot, LiveBackend, Snapshot
from isocline.pages.live import Event, condensed
from isocline.plural import counted

State = Literal["up", "down", "ejected", "draining", "full"]


def state_of(live: LiveBackend) -> State:
    """State of a backend: the gravest that holds in more than half of the workers."""
    half = live.workers / 2
    if live.up <= half:
        return "down"
    if live.ejected > half:
        return "ejected"
    if live.draining > half:
        return "draining"
    return "full" if live.full > half else "up"


def changes_between(before: Snapshot, after: Snapshot) -> list[Event]:
    """Events between two snapshots, each merged over the same processes."""
    found = [*_of_router(before, after), *_of_backends(before, after)]
    return condensed(found, "backend")


def _of_backends(before: Snapshot, after: Snapshot) -> Iterator[Event]:
    for name, now in after.backends.items():
        then = before.backends.get(name)
        if now.live is None:
            if then is not None and then.live is not None:
                yield Event("removed", name, "is no longer in the system", "idle")
        elif then is None or then.live is None:
            yield Event("added", name, f"joined the system, as {now.live.url}", "idle")
        else:
            yield from _of_backend(name, then, then.live, now, now.live)


def _of_router(before: Snapshot, after: Snapshot) -> Iterator[Event]:
    if after.policy != before.policy:
        yield Event("policy", "", f"{after.policy} now decides, not {before.policy}", "idle")
    died = after.ended - before.ended
    if died > 0:
        text = f"{counted(died, 'worker process', 'worker processes')} ended unexpectedly; "
        yield Event("worker", "", text + "their requests in flight are lost", "bad")
    started = after.workers - before.workers + max(died, 0)
    if started > 0:
        yield Event("worker", "", f"{counted(started, 'worker')} started", "ok")
    if after.draining > before.draining:
        yield Event("draining", "", "the router accepts no new requests", "warn")


def _of_backend(
    name: str, then: BackendSnapshot, was: LiveBackend, now: BackendSnapshot, is_: LiveBackend
) -> Iterator[Event]:
    if is_.url != was.url:
        yield Event("moved", name, f"is now at {is_.url}", "idle")
    yield from _of_state(name, then, state_of(was), now, state_of(is_))
    if is_.draining and not is_.in_flight and (was.in_flight or not was.draining):
        yield Event("drained", name, "holds no request of this router any more", "ok")
    if now.curve_changes > then.curve_changes:
        speed = is_.learned.speed if is_.learned else None
        slower = "" if speed is None else f" at {speed:.2g} of the speed that was learned"
        yield Event("curve", name, f"serves{slower}; its curve is learned anew", "warn")
    elif is_.given != was.given and is_.given and was.given:
        yield Event("curve", name, "has a new curve in the file", "idle")


def _of_state(
    name: str, then: BackendSnapshot, was: State, now: BackendSnapshot, is_: State
) -> Iterator[Event]:
    ejected = now.ejections > then.ejections
    if is_ == was and not ejected:
        return
    if is_ == "down" and was != "down":
        yield Event("down", name, "does not answer its health checks", "bad")
    elif is_ == "ejected" and (was != "ejected" or ejected):
        yield Event("ejected", name, f"gets no requests for a while{_why(then, now)}", "bad")
    elif ejected:
        yield Event("ejected", name, f"was ejected for a moment{_why(then, now)}", "warn")
    elif is_ == "draining" and was != "draining":
        yield Event("draining", name, "gets no new requests", "warn")
    elif was == "down":
        yield Event("up", name, "answers its health checks again", "ok")
    elif was == "ejected":
        yield Event("returned", name, "gets requests again", "ok")
    elif was == "draining":
        yield Event("returned", name, "no longer drains", "ok")


def _why(then: BackendSnapshot, now: BackendSnapshot) -> str:
    causes = rise(then.failures, now.failures)
    if not causes:
        return ""
    cause = max(causes, key=lambda it: causes[it])
    return f": {counted(causes[cause], 'attempt')} failed just now ({cause})"
