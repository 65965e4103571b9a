"""Building blocks of system files: numbers, names, and mappings with known keys.

Values are strict: a number in quotes is not a number.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Record(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        # In place of extra="forbid", which does not say which keys are known.
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    found = {"key": key, "known": list(cls.model_fields)}
                    raise PydanticCustomError("unknown_key", "unknown key {key}", found)
        return data
