"""Conditions under which a frontend takes a request, as a system file gives them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from isocline.model.setting import setting


@final
@dataclass(frozen=True)
class Match:
    """Conditions of a frontend: it takes a request that meets all of those given."""

    listener: str | None = setting(None, "name of the listener")
    host: str | None = setting(
        None, "pattern of the host without port, such as `*.example.org`; case is ignored"
    )
    path: str = setting(
        "/",
        "prefix that ends at a slash or at the end of the path: /v1 matches /v1/models, not /v10",
        pattern="^/",
    )
    headers: Mapping[str, str] = setting({}, "mapping from names to patterns of the value")
    model: str | None = setting(None, "shell-style pattern of the `model` field of the body")
