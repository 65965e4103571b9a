"""Points in time as routers write them."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_LOCAL = re.compile(r"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(\.\d+)?(?: ([+-]\d{4}))?")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|z|UTC|[+-]\d\d:?\d\d)?"
)
# A number is seconds since 1970 up to here (the year 5138); beyond, ms, us or ns up to that year.
_SECONDS, _MILLI, _MICRO, _NANO = 1e11, 1e14, 1e17, 1e20


def seconds(text: str | float) -> float:
    """Seconds since 1970 of a date of nginx or HAProxy, of ISO 8601, or of a number.

    Without a zone the date is taken to be UTC.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(text, str):
        if (found := _LOCAL.fullmatch(text)) is not None:
            *parts, fraction, zone = found.groups()
            return _local(*parts, zone or "+0000") + float(fraction or 0.0)
        if (found := _ISO.fullmatch(text)) is not None:
            day, time, fraction, zone = found.groups()
            return _iso(day, time, zone or "Z") + (float(f"0.{fraction}") if fraction else 0.0)
    number = float(text)
    if not 0.0 <= number < _NANO:
        raise ValueError(text)
    for most, unit in ((_SECONDS, 1.0), (_MILLI, 1e-3), (_MICRO, 1e-6)):
        if number < most:
            return number * unit
    return number * 1e-9


def is_coarse(text: str | float) -> bool:
    """Whether a point in time is written to the second."""
    return isinstance(text, str) and not re.search(r"[.,]\d", text)


@lru_cache(maxsize=4096)
def _local(
    day: str, month: str, year: str, hour: str, minute: str, second: str, zone: str
) -> float:
    if month not in _MONTHS:
        raise ValueError(month)
    at = datetime(
        int(year),
        _MONTHS[month],
        int(day),
        int(hour),
        int(minute),
        min(int(second), 59),
        tzinfo=UTC,
    )
    return at.timestamp() - _offset(zone)


@lru_cache(maxsize=4096)
def _iso(day: str, time: str, zone: str) -> float:
    return datetime.fromisoformat(f"{day}T{time}+00:00").timestamp() - _offset(zone)


def _offset(zone: str) -> float:
    if zone in ("Z", "z", "UTC"):
        return 0.0
    sign = -1.0 if zone[0] == "-" else 1.0
    digits = zone[1:].replace(":", "")
    return sign * (3600.0 * int(digits[:2]) + 60.0 * int(digits[2:]))
