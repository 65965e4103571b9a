"""Schema of backends in system files."""

from abc import ABC
from typing import Annotated, final

from pydantic import Field

from isocline.model.systemfile.curve_schema import AnyCurve
from isocline.model.systemfile.record import Name, Record
from isocline.model.systemfile.serving_schema import BackendServing


@final
class BackendCache(Record):
    """Prefix cache of one backend."""

    tokens: Annotated[int, Field(ge=0)]


class BackendKeys(BackendServing, ABC):
    """Keys that a backend of the file and a template of discovered ones have in common."""

    curve: AnyCurve | None = None
    prefix_cache: BackendCache | None = None


@final
class BackendEntry(BackendKeys):
    """One entry of `backends`; only `isocline serve` does without a curve."""

    name: Name
