"""What every result knows: its JSON, its data frame, its picture."""

import importlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from isocline.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Record(ABC):
    """A frozen result of one verb."""

    picture: ClassVar[str]
    """module:function in isocline.report that draws it."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The verb's JSON document; numbers may be nan or inf."""

    @abstractmethod
    def to_frame(self) -> "pd.DataFrame":
        """The table, one row per line; raises MissingExtraError without pandas."""

    def to_json(self) -> str:
        """What `--json` prints: one document, in which what is not a finite number is null."""
        return json.dumps(finite(self.to_dict()), indent=2, allow_nan=False, ensure_ascii=False)

    def plot(self) -> "Figure":
        """The picture that `--out` writes; raises MissingExtraError without matplotlib."""
        # By name: report stands on top of the house and knows the records, not they it.
        module, _, function = self.picture.partition(":")
        figure: Figure = getattr(importlib.import_module(f"isocline.report.{module}"), function)(
            self
        )
        return figure


def data_frame(
    rows: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None
) -> "pd.DataFrame":
    """Rows as a pandas frame; raises MissingExtraError with the install line."""
    try:
        import pandas as pd  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise MissingExtraError("data frames need: pip install 'isocline[frame]'") from error
    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))


def finite(value: Any) -> Any:
    """A JSON document with None in place of nan and inf."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
