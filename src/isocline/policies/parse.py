"""From words to a policy: `name`, `name:key=value,...`, or `package.module:function`."""

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from isocline.errors import PolicyError
from isocline.policies.contract import RoutingPolicy
from isocline.policies.custom import custom
from isocline.policies.routing import ALL

P = TypeVar("P")


def parse(text: str) -> RoutingPolicy:
    """The policy that `text` names.

    Raises:
        PolicyError: Unknown name, module, function or option, or a value of the wrong type.
    """
    name, _, rest = text.strip().partition(":")
    if name not in ALL and rest and "=" not in rest:
        return _imported(name, rest)
    return named(text, ALL, "; your own is named package.module:function")


def named(text: str, known: Mapping[str, type[P]], otherwise: str = "") -> P:
    """The policy of `known` that `text` names: `name` or `name:key=value,...`.

    Args:
        text: The words.
        known: Policies by name: data classes whose fields are their options.
        otherwise: What the message about an unknown name ends with.

    Raises:
        PolicyError: Unknown name or option, or a value of the wrong type.
    """
    name, _, rest = text.strip().partition(":")
    if name in known:
        return _with_options(name, known[name], rest)
    if kind := _kind_of(name):
        listed = ", ".join(known)
        raise PolicyError(f"{name} is a policy for {kind} systems; known here are {listed}")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise PolicyError(f"unknown policy {name!r}: {hint}known are {', '.join(known)}{otherwise}")


def _kind_of(name: str) -> str | None:
    """The kind of system that a policy is for."""
    # Imported here: the scheduling policies are not needed where nothing is wrong.
    scheduling = importlib.import_module("isocline.policies.scheduling")
    return "near-data" if name in scheduling.ALL else "routing" if name in ALL else None


def options(policy: type) -> Mapping[str, Any]:
    """The options of a policy with their defaults."""
    if not dataclasses.is_dataclass(policy):
        return {}
    return {field.name: field.default for field in dataclasses.fields(policy)}


def _with_options(name: str, policy: type[P], text: str) -> P:
    known = options(policy)
    given: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if key not in known or not equals:
            listed = ", ".join(f"{k}={word(v)}" for k, v in known.items()) or "none"
            raise PolicyError(f"{name}:{item}: not an option; options are {listed}")
        given[key] = _converted(name, item, value, known[key])
    return policy(**given)


def _converted(name: str, item: str, value: str, default: object) -> object:
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise PolicyError(f"{name}:{item}: give true or false")
        return value == "true"
    if default is None and value == "auto":
        return None
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


def _imported(module_name: str, function_name: str) -> RoutingPolicy:
    label = f"{module_name}:{function_name}"
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise PolicyError(f"policy {label}: cannot import {module_name}: {error}") from error
    found = getattr(module, function_name, None)
    if isinstance(found, type) and issubclass(found, RoutingPolicy):
        return found()
    if not callable(found):
        raise PolicyError(f"policy {label}: {module_name} has no function {function_name}")
    return custom(label, found)
