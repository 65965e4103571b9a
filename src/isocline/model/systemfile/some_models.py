"""Models given alone, on a command line: [{name: "lora-*", size: 0.1, load: 0.5}]."""

import yaml
from pydantic import TypeAdapter, ValidationError

from isocline.errors import UsageError
from isocline.model.residency import Model
from isocline.model.systemfile.document import CoreLoader
from isocline.model.systemfile.schema import ModelEntry

_EXAMPLE = '[{name: "lora-*", size: 0.1, load: 0.5}]'


def read_models(text: str, place: str = "--models") -> tuple[Model, ...]:
    """Read the models that `text` lists in YAML or JSON, as they would stand in a system file.

    Raises:
        UsageError: They are none; the message begins with `place` and says what to change.
    """
    try:
        data = CoreLoader(text).get_single_data()
        entries = TypeAdapter(list[ModelEntry]).validate_python(data, strict=True)
        models = tuple(entry.make() for entry in entries)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{place}: {where}: {first['msg']}; give {_EXAMPLE}") from None
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"{place}: {text!r:.80} is not YAML; give {_EXAMPLE}") from None
    if not models:
        raise UsageError(f"{place}: names no model; give {_EXAMPLE}")
    return models
