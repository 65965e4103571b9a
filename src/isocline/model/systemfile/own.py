"""Entries whose type is a user's own class: {type: package.module:Class, key: value, ...}."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidatorFunctionWrapHandler, WrapValidator

from isocline.user_code import is_name


class OwnRecord(BaseModel):
    """Name of a class, and its arguments, which the class checks itself."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", defer_build=True)

    type: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Arguments of the class."""
        return dict(self.model_extra or {})


def or_own(record: type[OwnRecord]) -> WrapValidator:
    """Validate an entry whose type names a class as a `record`, and any other as before."""

    def validated(value: Any, known: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, dict) and isinstance(kind := value.get("type"), str) and is_name(kind):
            return record.model_validate(value)
        return known(value)

    return WrapValidator(validated)
