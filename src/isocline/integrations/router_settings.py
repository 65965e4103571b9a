"""Settings of a router of replicas, by a deployment's keyword arguments and replicas' reports."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast, final

import yaml
from pydantic import Field, ValidationError

from isocline.errors import CurveError, SystemFileError, UsageError
from isocline.model.curves import Curve
from isocline.model.systemfile.curve_schema import AnyCurve
from isocline.model.systemfile.document import Document
from isocline.model.systemfile.one_curve import read_curve
from isocline.model.systemfile.problems import report
from isocline.model.systemfile.record import Name, NotNegative, Positive, Record, SettingsRecord
from isocline.model.systemfile.serving_schema import LearnEntry, ServeEntry
from isocline.policies.parse import parse

PLACE = "request_router_kwargs"


@final
class CacheSettings(Record):
    """Prefix caches of replicas, and the work of a request that they save."""

    tokens: Annotated[int, Field(ge=0)]  # that each replica holds, unless it reports another number
    prefill: NotNegative  # work of reading a prompt token, where an output token is 1
    output: Positive  # mean tokens of an answer


@final
class RouterSettings(SettingsRecord):
    """Settings of a deployment's router; the defaults are those of `isocline serve`."""

    policy: Name = cast(str, ServeEntry.model_fields["policy"].default)
    # Of replicas that report none, in jobs/s; in tokens/s with a prefix cache. None: learned.
    curve: AnyCurve | None = None
    # Whether curves are learned; None: unless all are given. Given ones are where learning starts.
    learn: bool | None = None
    half_life_completions: Positive = cast(
        float, LearnEntry.model_fields["half_life_completions"].default
    )
    prefix_cache: CacheSettings | None = None


def read_settings(given: Mapping[str, Any]) -> RouterSettings:
    """Check keyword arguments, which are plain data.

    Raises:
        UsageError: One of them cannot be used; the message names it and the remedy.
        PolicyError: There is no such policy.
    """
    settings = _read(given)
    policy = parse(settings.policy)
    if policy.may_hold:
        raise UsageError(
            f"{PLACE}: policy: {settings.policy} holds requests, which a request router cannot; "
            "give one that does not, such as gmsr_secant"
        )
    if settings.prefix_cache is not None and not policy.counts_in_caches():
        raise UsageError(
            f"{PLACE}: policy: {settings.policy} does not consider what replicas have cached; give "
            "one that scores by price, such as gmsr_secant, or leave prefix_cache out"
        )
    return settings


def _read(given: Mapping[str, Any]) -> RouterSettings:
    try:
        text = json.dumps(dict(given))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{PLACE}: {error}; give plain data, as JSON has it") from None
    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None  # a mapping, by its braces
    document = Document(Path(PLACE), json.loads(text), lambda: root)
    try:
        settings = RouterSettings.model_validate(document.data)
        if settings.curve is not None:
            with document.blaming("curve"):
                settings.curve.make()
    except ValidationError as errors:
        try:
            report(document, errors.errors(include_url=False)[0])
        except SystemFileError as error:
            raise _without_line(error) from None
    except SystemFileError as error:
        raise _without_line(error) from None
    return settings


def _without_line(error: SystemFileError) -> UsageError:
    return UsageError(str(error).replace(f"{PLACE}:1:", f"{PLACE}:", 1))


def read_curve_of(replica: str, stats: Mapping[str, Any]) -> Curve | None:
    """Read the curve that a replica reports in its routing stats, under `curve`; None: it does not.

    Raises:
        CurveError: It is no curve.
    """
    reported = stats.get("curve")
    if reported is None:
        return None
    place = f"replica {replica}: routing stats: curve"
    try:
        text = json.dumps(reported)
    except (TypeError, ValueError) as error:
        raise CurveError(f"{place}: {error}; give a mapping, as in a system file") from None
    return read_curve(text, place)


def read_cache_tokens(stats: Mapping[str, Any]) -> int | None:
    """Read the size of a replica's prefix cache in its routing stats, under `cache_tokens`, tokens.

    None: it reports none, or no number.
    """
    tokens = stats.get("cache_tokens")
    return tokens if isinstance(tokens, int) and tokens >= 0 else None
