"""Attributes of spans and metrics in OTLP."""

from collections.abc import Iterable, Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Value = str | int | float | bool | None
"""Value of an attribute; None leaves the attribute out."""

_LONGEST = 1024  # characters of a text: clients' texts are cut, so that no batch becomes too long


def attributes(values: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> list[KeyValue]:
    """Convert attributes; those with an empty text are left out."""
    pairs = values.items() if isinstance(values, Mapping) else values
    return [
        KeyValue(key=key, value=_any(value))
        for key, value in pairs
        if value is not None and value != ""
    ]


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=str(value)[:_LONGEST])
