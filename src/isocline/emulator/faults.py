"""Faults of an emulated server, at the start or while it runs."""

from typing import Annotated, Self, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isocline.arguments import in_one_line
from isocline.errors import UsageError
from isocline.user_code import value_of

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_SHARE = "a share of the requests, from 0 to 1"
_WANTED = {"slow": "a factor above 0", "sick": "true or false"}
_KNOWN = (
    f"known: error, garbage, hang, reset, load_error, load_hang ({_SHARE}), slow (a factor above "
    "0), sick (true or false); as error=0.1,slow=3,sick"
)


@final
class Faults(BaseModel):
    """Each is a share of requests, drawn anew for each one, except `slow` and `sick`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    slow: Factor = 1.0
    """Work takes this many times as long, that of requests in service, too."""
    hang: Share = 0.0
    """No answer ever; the connection stays open."""
    reset: Share = 0.0
    """The connection is reset (TCP RST) when half of the tokens are sent."""
    garbage: Share = 0.0
    """The answer is no HTTP; the connection is closed after it."""
    error: Share = 0.0
    """Status 500 at once."""
    load_error: Share = 0.0
    """Status 500 to a call that loads a model."""
    load_hang: Share = 0.0
    """No answer to such a call, ever."""
    sick: bool = False
    """GET /health answers 503."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Faults written as `error=0.1,slow=3`; a name alone is 1, or true.

        Raises:
            UsageError: One is unknown, or its value makes no sense.
        """
        return cls().with_these(_pairs(text))

    def with_these(self, changes: object) -> Self:
        """These faults with some of them set anew.

        Raises:
            UsageError: `changes` is no mapping, one is unknown, or its value makes no sense.
        """
        if not isinstance(changes, dict):
            raise UsageError(f"faults: {changes!r:.80} is not a mapping; give {{error: 0.1}}")
        try:
            return self.__class__.model_validate(self.model_dump() | changes)
        except ValidationError as errors:
            first = errors.errors(include_url=False)[0]
            name = first["loc"][0]
            if first["type"] == "extra_forbidden":
                raise UsageError(f"fault {name!r:.80} is unknown; {_KNOWN}") from None
            value, wanted = in_one_line(first["input"]), _WANTED.get(str(name), _SHARE)
            raise UsageError(f"fault {name}: is {value}; give {wanted}; {_KNOWN}") from None


def _pairs(text: str) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name or (equals and not value):
            raise UsageError(f"faults {text!r:.80}: give faults as error=0.1,slow=3; {_KNOWN}")
        if name in pairs:
            raise UsageError(f"faults {text!r:.80}: {name} stands twice; give each once")
        pairs[name] = value_of(value) if equals else _switched_on(name)
    return pairs


def _switched_on(name: str) -> object:
    if name == "slow":
        raise UsageError("fault slow: by which factor? give it as slow=3")
    return True if name == "sick" else 1.0
