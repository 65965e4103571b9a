"""Building blocks of system files: numbers, names, and mappings with known keys.

Values are strict: a number in quotes is not a number.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from importlib import import_module
from typing import Annotated, Any, TypeVar, final, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from isocline.errors import IsoclineError
from isocline.model.setting import settings_of
from isocline.user_code import is_name

Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
# No control characters: names are printed to terminals and logs.
PRINTED = r"^[^\x00-\x1f\x7f-\x9f]*$"
Name = Annotated[str, Field(min_length=1, pattern=PRINTED)]
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Record(BaseModel, ABC):
    """A mapping with known keys."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        # In place of extra="forbid", which does not say which keys are known.
        if not isinstance(data, dict):
            return data
        known, _ = _keys_of(cls)
        if not data.keys() <= known:
            key = next(key for key in data if key not in known)
            found = {"key": key, "known": list(cls.model_fields)}
            raise PydanticCustomError("unknown_key", "unknown key {key}", found)
        return cls._given(data)

    @classmethod
    def _given(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the entries that count as given."""
        return data


class SettingsRecord(Record, ABC):
    """A mapping of settings; a key without a value, as in `holding:`, keeps its default."""

    @classmethod
    def _given(cls, data: dict[str, Any]) -> dict[str, Any]:
        _, needed = _keys_of(cls)
        return {key: it for key, it in data.items() if it is not None or key in needed}


@cache
def _keys_of(record: type[Record]) -> tuple[frozenset[str], frozenset[str]]:
    """Known keys, and those of them that are needed."""
    fields = record.model_fields
    return frozenset(fields), frozenset(key for key, it in fields.items() if it.is_required())


@final
class _FromFile:
    """Validation of a data class of settings by the record derived from it."""

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def made(record: Record) -> Any:
            try:
                return kind(**dict(record))
            except IsoclineError as error:  # of several values that do not fit together
                raise PydanticCustomError("said", "{it}", {"it": str(error)}) from error

        return no_info_after_validator_function(made, handler.generate_schema(record_of(kind)))


T = TypeVar("T")
Group = Annotated[T, _FromFile()]
"""A data class of settings (`isocline.model.setting`), which a file gives as a mapping."""


@cache
def record_of(kind: Any) -> type[Record]:
    """Derive the record that checks what a file gives for a data class of settings."""
    hints = get_type_hints(kind)
    made: dict[str, Any] = {
        name: (_in_a_file(hints[name]), like(kind, name)) for name in settings_of(kind)
    }
    record: type[Record] = create_model(kind.__name__, __base__=SettingsRecord, **made)
    return record


def like(kind: Any, name: str) -> Any:
    """Field of a record with the default, bounds and description of a data class's setting."""
    setting = settings_of(kind)[name]
    (it,) = (each for each in fields(kind) if each.name == name)
    default = ... if it.default is MISSING else it.default
    if it.default_factory is not MISSING:
        default = it.default_factory()
    more: dict[str, Any] = {"json_schema_extra": {"unit": setting.unit}, **setting.bounds}
    return Field(default, description=setting.description, **more)


def _in_a_file(hint: Any) -> Any:
    """Type of a value in a file: numbers finite, names not empty, sequences as lists."""
    if get_origin(hint) is tuple:
        return Annotated[list[Name], AfterValidator(tuple)]
    if get_origin(hint) is Mapping:
        return dict[str, _in_a_file(get_args(hint)[1])]  # type: ignore[misc]
    if hint == str | None:
        return Name | None
    if hint == float | None:
        return Number | None
    return Number if hint is float else hint


class OwnRecord(BaseModel, ABC):
    """Entry whose type is a user's own class: {type: package.module:Class, key: value, ...}.

    The class checks its arguments itself.
    """

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


def later(module: str, name: str) -> Any:
    """Type of an entry whose record is in a module that is imported when a file has the entry.

    Schemas take long to build, and few verbs read all parts of a file.
    """

    def validated(value: Any) -> Any:
        record: type[Record] = getattr(import_module(module), name)
        return record.model_validate(value)

    return Annotated[Any, PlainValidator(validated)]
