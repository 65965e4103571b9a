"""Check of one value of a document, for values whose form decides on the type."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from isocline.model.systemfile.document import Document
from isocline.model.systemfile.problems import report


def checked(document: Document, kind: Any, value: Any, *field: str | int) -> Any:
    """Return the value at `field`, validated as a `kind`.

    Raises:
        SystemFileError: It is none.
    """
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as errors:
        # One at a time: the others are often a consequence of the first.
        error = errors.errors(include_url=False)[0]
        report(document, {**error, "loc": (*field, *error["loc"])})
