"""Parsing of counts in reports: anything but a plain count of jobs is refused."""

import re

from isocline.errors import IsoclineError

LARGEST = 1 << 24  # jobs: no server holds more, so it is no count
_NUMBER = re.compile(r"\+?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


class ReportError(IsoclineError, ValueError):
    """A report cannot be read; the message names the metric and shows its value."""


def count(metric: str, text: str) -> float:
    """Parse a number from 0 to LARGEST; raises ReportError for all else, also NaN."""
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0.0 <= value <= LARGEST:
        raise ReportError(f"{metric} is {text[:40]!r}; a number of jobs is wanted, 0 or more")
    return value
