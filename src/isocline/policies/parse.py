"""Parsing of policies: `name`, `name:key=value,...`, or one's own as `package.module:name`.

Parsing for one kind of system does not load the policies of the other, which takes 60 ms.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from isocline.errors import PolicyError
from isocline.policies.custom import Custom, custom, require_compiled
from isocline.policies.own_code import as_written
from isocline.policies.routing import ALL
from isocline.policies.routing.contract import RoutingPolicy
from isocline.user_code import imported, is_name, made, value_of
from isocline.user_code import is_own as is_own_class

if TYPE_CHECKING:
    from isocline.policies.scheduling.contract import SchedulingPolicy

P = TypeVar("P")
Function = Callable[..., Any]
"""`choose(candidates, view, now, rng) -> edge`, compiled or not."""


def parse(text: str) -> RoutingPolicy:
    """The policy that `text` names.

    Raises:
        PolicyError: Unknown name, module, function or option, or a value of the wrong type.
    """
    if text.strip().partition(":")[0] not in ALL and _is_own(text):
        return _own(text)
    return _named(text, ALL, "; your own is named package.module:function")


def routing_policy(given: str | RoutingPolicy | Function) -> RoutingPolicy:
    """A policy as Python code gives it: its name, the policy, or a function `choose`.

    Raises:
        PolicyError: As `parse`; or the function has another signature, or numba cannot compile it;
            or it is something else.
    """
    if isinstance(given, str):
        return parse(given)
    if isinstance(given, RoutingPolicy):
        if is_own_class(type(given)):
            _require_name(given)
            require_compiled(label(given), given)
        return given
    if isinstance(given, type) or not callable(given):
        raise PolicyError(_no_policy(given, "a routing policy, or a function", RoutingPolicy))
    return custom(_name_of(given), given)


def scheduling_policy(given: "str | SchedulingPolicy") -> "SchedulingPolicy":
    """A scheduling policy: the one that words name, or the policy that Python code gives.

    Raises:
        PolicyError: Unknown name, module, class or option, or a value of the wrong type; or it is
            something else.
    """
    from isocline.policies import scheduling  # noqa: PLC0415
    from isocline.policies.scheduling.contract import SchedulingPolicy  # noqa: PLC0415

    if not isinstance(given, str):
        return _require_policy(given, SchedulingPolicy, "a scheduling policy")  # type: ignore[type-abstract]
    if given.strip().partition(":")[0] not in scheduling.ALL and _is_own(given):
        return _own_class(given, SchedulingPolicy)  # type: ignore[type-abstract]
    return _named(given, scheduling.ALL, "; your own is named package.module:Class")


def _no_policy(given: object, wanted: str, base: type) -> str:
    """The message about something that is no policy."""
    if isinstance(given, type):
        hint = f"; give {given.__name__}(), an instance" if issubclass(given, base) else ""
        return f"policy {given.__name__} is a class{hint or f'; give {wanted}'}"
    if kind := _kind_of(getattr(given, "name", "")):
        return f"{given.name} is a policy for {kind} systems; give {wanted}"  # type: ignore[attr-defined]
    return f"policy {given!r}: give a name, {wanted}"


def _require_policy(given: object, base: type[P], wanted: str) -> P:
    """`given`, if it is a policy; raises PolicyError otherwise."""
    if not isinstance(given, base):
        raise PolicyError(_no_policy(given, wanted, base))
    _require_name(given)
    return given


def _require_name(given: object) -> None:
    """Raise PolicyError unless the class of a policy says what results call it."""
    if not isinstance(name := getattr(given, "name", None), str) or not name:
        found = "has no name" if name is None else f"has the name {name!r}"
        raise PolicyError(
            f'policy class {type(given).__qualname__} {found}; give it one, as in name = "mine"'
        )


def label(given: Any) -> str:
    """Name of a policy in results: as it would be written on the command line."""
    if isinstance(given, str):
        return given
    if isinstance(given, Custom):
        return given.label
    name = getattr(given, "name", None)
    if name is None:
        return _name_of(given)
    set_here = [
        f"{key}={word(value)}"
        for key, default in options(type(given)).items()
        if isinstance(value := getattr(given, key), bool | int | float | str | None)
        and value != default
    ]
    return f"{name}:{','.join(set_here)}" if set_here else str(name)


def _name_of(function: Function) -> str:
    """`module:name`, as it is written on the command line."""
    python = as_written(function)
    return f"{python.__module__}:{getattr(python, '__qualname__', type(python).__name__)}"


def _named(text: str, known: Mapping[str, type[P]], otherwise: str = "") -> P:
    """The policy of `known` that `text` names: `name` or `name:key=value,...`.

    Args:
        text: The words.
        known: Policies by name: data classes whose fields are their options.
        otherwise: What the message about an unknown name ends with.

    Raises:
        PolicyError: Unknown name or option, or a value of the wrong type.
    """
    name, colon, rest = text.strip().partition(":")
    if name in known:
        return _with_options(name, known[name], rest if colon else None)
    if kind := _kind_of(name):
        listed = ", ".join(known)
        raise PolicyError(f"{name} is a policy for {kind} systems; known here are {listed}")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise PolicyError(f"unknown policy {name!r}: {hint}known are {', '.join(known)}{otherwise}")


def _kind_of(name: str) -> str | None:
    """The kind of system that a policy is for."""
    from isocline.policies import scheduling  # noqa: PLC0415

    return "near-data" if name in scheduling.ALL else "routing" if name in ALL else None


def options(policy: type) -> Mapping[str, Any]:
    """The options of a policy with their defaults."""
    if not dataclasses.is_dataclass(policy):
        return {}
    return {field.name: field.default for field in dataclasses.fields(policy)}


def _with_options(name: str, policy: type[P], text: str | None) -> P:
    return policy(**_values(name, policy, text))


def _values(name: str, policy: type, text: str | None) -> dict[str, Any]:
    """The options that `text`, `key=value,...`, gives; None: there is no colon, and so none."""
    known = options(policy)
    given: dict[str, Any] = {}
    for item in [] if text is None else text.split(","):
        if not item.strip():
            mark = "','" if given else "':'"
            raise PolicyError(
                f"{name}:{text}: an option is missing after {mark}; give key=value, or leave out "
                f"{mark}"
            )
        key, equals, value = item.partition("=")
        if key not in known or not equals:
            listed = ", ".join(_listed(k, v) for k, v in known.items()) or "none"
            what = f"{key!r} is" if equals else "is"
            shape = "" if equals else " of the form key=value"
            raise PolicyError(f"{name}:{item}: {what} not an option{shape}; options are {listed}")
        if key in given:
            raise PolicyError(f"{name}:{text}: {key} is given twice; give it once")
        given[key] = _converted(name, item, value, known[key])
    return given


def _listed(key: str, default: object) -> str:
    """An option with its default, where it has one."""
    return key if default is dataclasses.MISSING else f"{key}={word(default)}"


def _converted(name: str, item: str, value: str, default: object) -> object:
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise PolicyError(f"{name}:{item}: give true or false")
        return value == "true"
    if default is None and value == "auto":
        return None
    if default is dataclasses.MISSING:  # of a user's class: whatever the word is
        return value_of(value)
    kind = float if default is None else type(default)
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        wanted += " or auto" if default is None else ""
        raise PolicyError(f"{name}:{item}: give {wanted}") from None


def word(value: object) -> str:
    """An option's value as it is written on the command line; None is `auto`."""
    if value is None:
        return "auto"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_own(text: str) -> bool:
    """Whether `text` begins as the name of a user's own function or class."""
    return is_name(":".join(text.strip().split(":", 2)[:2]))


def _own(text: str) -> RoutingPolicy:
    """A user's function or class, with options: `function`, `Class` or `Class:key=value,...`."""
    module, name, *given = text.strip().split(":", 2)
    label = f"{module}:{name}"
    found = imported("policy", label, PolicyError)
    if not isinstance(found, type):
        if not callable(found) or given:
            wanted = "a function has no options" if callable(found) else "is no function or class"
            raise PolicyError(f"policy {label}: {wanted}")
        return custom(label, found)
    chosen = _own_class(text, RoutingPolicy)  # type: ignore[type-abstract]
    require_compiled(label, chosen)
    return chosen


def _own_class(text: str, base: type[P]) -> P:
    """A policy of a user's class: `package.module:Class` or `package.module:Class:key=value,...`.

    Raises:
        PolicyError: There is no such class, it does not derive from `base` or leaves a method out,
            or an option is unknown or of the wrong type.
    """
    module, name, *rest = text.strip().split(":", 2)
    label = f"{module}:{name}"
    found = imported("policy", label, PolicyError)
    given = _values(label, found, rest[0] if rest else None) if isinstance(found, type) else {}
    policy = made("policy", label, base, given, PolicyError)
    _require_name(policy)
    return policy
