"""HTML from untrusted text: names in users' files, messages of backends.

Everything that is not `Markup` is escaped. In names of attributes, `_` stands for `-`, and a final
`_` distinguishes the name from a keyword of Python.
"""

import html
import json
from typing import Any, final

_VOID = frozenset({"br", "circle", "hr", "img", "input", "line", "link", "meta", "path", "rect"})


@final
class Markup(str):
    """Text that already is HTML, and is not escaped again."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """Escaped text for content or a quoted attribute; Markup is returned unchanged."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def joined(*parts: object) -> Markup:
    """Concatenation of parts, each escaped unless it is Markup; None and False are left out."""
    return Markup(
        "".join(escaped(part) for part in parts if part is not None and part is not False)
    )


def element(name: str, /, *content: object, **attributes: object) -> Markup:
    """Element with escaped content and attributes.

    For example:

        element("a", "Backends <1>", href="#b", class_="button", aria_label="All backends")

    An attribute that is None or False is left out; one that is True is written without a value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        words.append(attribute if value is True else f'{attribute}="{escaped(value)}"')
    start = f"<{' '.join(words)}>"
    if name in _VOID and not content:
        return Markup(
            start if name not in {"circle", "line", "path", "rect"} else f"{start[:-1]}/>"
        )
    return Markup(f"{start}{joined(*content)}</{name}>")


def data_script(identifier: str, value: Any) -> Markup:
    """Data for a page's scripts: `JSON.parse(document.getElementById(identifier).textContent)`.

    It is data, not code, so no content security policy forbids it; no value can close the element.

    Raises:
        ValueError: A number is not finite, and so has no JSON.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return element("script", Markup(text), type="application/json", id=identifier)
