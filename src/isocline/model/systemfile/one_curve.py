"""Service curves given alone, on a command line or in a request: {type: knee, peak: 40, ...}."""

from pathlib import Path
from typing import final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from isocline.errors import CurveError, SystemFileError
from isocline.model.curves import Curve
from isocline.model.systemfile.curve_schema import AnyCurve
from isocline.model.systemfile.document import CoreLoader, Document, LongNumberError
from isocline.model.systemfile.problems import report

_KEY = "curve"


@final
class _OneCurve(BaseModel):
    model_config = ConfigDict(strict=True)

    curve: AnyCurve


def read_curve(text: str, place: str = "--curve") -> Curve:
    """Read the curve that `text` describes in YAML or JSON, as it would stand in a system file.

    Raises:
        CurveError: It is none; the message begins with `place` and says what to change.
    """
    document = _document(text, place)
    try:
        return _OneCurve.model_validate(document.data).curve.make()
    except ValidationError as errors:
        try:
            report(document, errors.errors(include_url=False)[0])
        except SystemFileError as error:
            problem = str(error).removeprefix(f"{place}:1: {_KEY}").removeprefix(".")
            raise CurveError(f"{place}: {problem.removeprefix(': ')}") from None
    except CurveError as error:
        raise CurveError(f"{place}: {error}") from None


def _document(text: str, place: str) -> Document:
    try:
        loader = CoreLoader(f"{{{_KEY}: {text.strip()}}}")
        root = loader.get_single_node()
        assert root is not None  # a mapping, by its braces
        data = loader.construct_document(root)
    except LongNumberError as error:
        raise CurveError(f"{place}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise CurveError(
            f"{place}: {text!r:.80} is not YAML; give a curve as {{type: hyperbolic, peak: 40, "
            "half: 12}"
        ) from None
    return Document(Path(place), data, lambda: root)
