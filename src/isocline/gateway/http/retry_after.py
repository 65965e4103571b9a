"""The field Retry-After (RFC 9110, Section 10.2.3)."""

from datetime import UTC
from email.utils import parsedate_to_datetime

_DIGITS = 9  # of seconds: 31 years; more say "never", and are as good as these
_LONGEST = 40  # bytes of a date, as "Sun, 06 Nov 1994 08:49:37 GMT" has 29


def seconds_of(value: bytes, unix_time: float) -> float | None:
    """Time from `unix_time`, s, to that of the field, s; None if the value is malformed.

    A date that is past is 0.
    """
    text = value.decode("latin-1")
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _DIGITS else 10.0**_DIGITS
    if len(text) > _LONGEST:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000", or an obsolete form, which is in UTC, too
        date = date.replace(tzinfo=UTC)
    return max(date.timestamp() - unix_time, 0.0)
