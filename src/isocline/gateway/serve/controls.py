"""Controls of backends: what the system file says, and what operators have changed since the start.

A change goes by the backend's name and holds until it is undone or the router ends: reloads, and
workers that are started again, keep it. A change to what the file says undoes it. A control that
the file no longer allows is undone at the reload that says so; nobody could undo it any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, final

from isocline.gateway.core.actions import Action
from isocline.gateway.core.core import Core

ControlName = Literal["drain", "weight", "max_share", "curves", "reload", "backends"]


@final
@dataclass(frozen=True)
class BackendControl:
    """Controls of one backend in force.

    Attributes:
        draining: It gets no new requests.
        weight: It counts as so many machines of its kind.
        max_share: Greatest share of each frontend's requests; 1: no limit.
        frozen: Its learned curve stands still.
    """

    draining: bool = False
    weight: float = 1.0
    max_share: float = 1.0
    frozen: bool = False


CONTROL_OF: Mapping[str, ControlName] = {
    "draining": "drain",
    "weight": "weight",
    "max_share": "max_share",
    "frozen": "curves",
}
"""Control that a file has to allow, by field of a backend."""

_BY_FILE = BackendControl()  # where a file says nothing


@final
@dataclass(frozen=True)
class OperatorChange:
    """Value that an operator has set."""

    value: Any
    by: str  # name of the key
    since: float  # s since 1970


@final
@dataclass(frozen=True)
class ControlSettings:
    """Whom the file lets control what.

    Attributes:
        key_digests: SHA-256 of the keys, see `config.digest`.
        key_names: Name of each of them.
        allowed: Controls that may be used.
    """

    key_digests: tuple[bytes, ...]
    key_names: tuple[str, ...]
    allowed: tuple[ControlName, ...]


@final
@dataclass(frozen=True)
class Controls:
    """Controls of all backends, by name.

    Attributes:
        given: Of the backends in the file, as it says.
        changes: Fields that operators have set, also of backends that the file no longer has.
    """

    given: Mapping[str, BackendControl] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, OperatorChange]] = field(default_factory=dict)

    def of(self, name: str) -> BackendControl:
        """Controls of a backend in force."""
        changes = self.changes.get(name, {})
        values = {what: change.value for what, change in changes.items()}
        return replace(self.given.get(name, _BY_FILE), **values)

    def changed(self, name: str, values: Mapping[str, Any], by: str, now: float) -> "Controls":
        """Set fields of a backend; None: as the file says. `now` is s since 1970."""
        given = self.given.get(name, _BY_FILE)
        changes = dict(self.changes.get(name, {}))
        for what, value in values.items():
            changes.pop(what, None)
            if value is not None and value != getattr(given, what):
                changes[what] = OperatorChange(value, by, now)
        others = {it: theirs for it, theirs in self.changes.items() if it != name}
        return replace(self, changes=others | ({name: changes} if changes else {}))

    def reloaded(
        self, given: Mapping[str, BackendControl], allowed: Sequence[str]
    ) -> tuple["Controls", list[str]]:
        """Go on with another file.

        Args:
            given: As that file says.
            allowed: Controls that it allows.

        Returns:
            The controls, and a sentence for each contradiction.
        """
        notes: list[str] = []
        kept: dict[str, dict[str, OperatorChange]] = {}
        for name, changes in self.changes.items():
            for what, change in changes.items():
                shown = f"backend {name}: {what} {_shown(change.value)}, set by {change.by}, "
                if CONTROL_OF[what] not in allowed:
                    notes.append(f"{shown}is undone: the file no longer allows it")
                    continue
                says = getattr(given.get(name, _BY_FILE), what)
                if says == change.value:
                    continue
                kept.setdefault(name, {})[what] = change
                if name not in given:
                    if name in self.given:
                        notes.append(f"{shown}waits for it: it is no longer in the file")
                elif says != getattr(self.given.get(name, _BY_FILE), what):
                    notes.append(f"{shown}holds, though the file now says {_shown(says)}")
        return Controls(given, kept), notes


def differences(before: BackendControl, after: BackendControl) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, with both values."""
    values = {it.name: (getattr(before, it.name), getattr(after, it.name)) for it in fields(before)}
    return {what: both for what, both in values.items() if both[0] != both[1]}


def apply(controls: Controls, core: Core, names: Sequence[str], now: float) -> list[Action]:
    """Put weights, shares and frozen curves of a core's backends in force; drains are events.

    Raises:
        PolicyError: The policy cannot use a weight.
    """
    actions: list[Action] = []
    for backend, name in enumerate(names):
        wanted = controls.of(name)
        if wanted.weight != core.policy_runtime.weights[backend]:
            actions += core.weight_changed(backend, wanted.weight, now)
        if wanted.max_share != core.availability.candidates.shares[backend]:
            actions += core.share_changed(backend, wanted.max_share, now)
        if core.feedback is not None:
            core.feedback.freeze(backend, wanted.frozen)
    return actions


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
