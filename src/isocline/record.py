"""Results: their JSON, data frame and picture, and how they look at a prompt and in a notebook."""

import importlib
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from isocline.errors import MissingExtraError
from isocline.json_text import json_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Record(ABC):
    """A frozen result of one verb."""

    picture: ClassVar[str]
    """module:function in isocline.report that draws it."""

    words: ClassVar[str] = ""
    """module:function in isocline.report that makes its tables; "": a notebook has its frame."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__repr__ = Record.__repr__  # type: ignore[method-assign] # else @dataclass writes one

    def __repr__(self) -> str:
        """The fields, abbreviated to a line each."""
        return brief(self)

    def _repr_html_(self) -> str:
        """The tables and the picture, in a notebook; without pandas or matplotlib what is there."""
        return in_notebook("record_html", self)

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The verb's JSON document; numbers may be nan or inf."""

    @abstractmethod
    def to_frame(self) -> "pd.DataFrame":
        """The table, one row per line; raises MissingExtraError without pandas."""

    def to_json(self) -> str:
        """What `--json` prints: one document, in which what is not a finite number is null."""
        return json_text(self.to_dict())

    def plot(self) -> "Figure":
        """The picture that `--out` writes; raises MissingExtraError without matplotlib."""
        figure: Figure = reported(self.picture, self)
        return figure


def in_notebook(function: str, value: Any) -> str:
    """HTML of a value, by a function of `isocline.report.notebook`."""
    made: str = reported(f"notebook:{function}", value)
    return made


def reported(place: str, value: Any) -> Any:
    """What a function of `isocline.report` makes of a value; `place` is its module:function.

    By name: report stands on top of the house and knows the records, not they it.
    """
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(f"isocline.report.{module}"), function)(value)


_LONGEST = 72  # characters of a field's value


def brief(value: Any) -> str:
    """A data class with one line for each field, however much the fields hold."""
    lines = [
        f"    {field.name}={_shortened(getattr(value, field.name))}," for field in fields(value)
    ]
    return "\n".join([f"{type(value).__name__}(", *lines, ")"])


@final
class _Shortener(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxtuple = self.maxlist = self.maxdict = 3
        self.maxstring = self.maxother = _LONGEST

    def repr1(self, x: Any, level: int) -> str:
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return f"<{x.dtype} array of shape {x.shape}>" if x.ndim else f"{x:.6g}"
        if isinstance(x, float):
            return f"{x:.6g}"
        if is_dataclass(x) and len(repr(x)) > _LONGEST:
            return f"<{type(x).__name__}>"
        return super().repr1(x, level)


def _shortened(value: Any) -> str:
    text = _Shortener().repr(value).replace("\n", " ")
    if len(text) <= _LONGEST:
        return text
    if isinstance(value, tuple | list | Mapping):
        return f"<{len(value)} {'items' if len(value) > 1 else 'item'}>"
    return f"{text[: _LONGEST - 3]}..."


def data_frame(
    rows: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None
) -> "pd.DataFrame":
    """Rows as a pandas frame; raises MissingExtraError with the install line."""
    try:
        import pandas as pd  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise MissingExtraError("data frames need: pip install 'isocline[frame]'") from error
    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
