"""Complete HTML documents that link to their files or contain them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from isocline.pages.assets import ICON, STYLE, THEME, Asset
from isocline.pages.markup import Markup, element, joined

# For linked pages: nothing from any other host, no inline script, never in a frame.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@final
@dataclass(frozen=True)
class Head:
    """Metadata of a document, and the files that it needs.

    Attributes:
        title: Title of the window.
        description: One sentence.
        styles: Stylesheets besides the shared one, in order.
        scripts: Scripts besides the theme's, in order; they run when the page is parsed.
    """

    title: str
    description: str = ""
    styles: Sequence[Asset] = ()
    scripts: Sequence[Asset] = ()

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All files, the shared ones first."""
        return (ICON, STYLE, THEME, *self.styles, *self.scripts)


def linked(head: Head, body: Markup, folder: str = "assets") -> str:
    """Document with links to its files in `folder`, relative to its own URL.

    Serve it with the header `Content-Security-Policy: CONTENT_SECURITY_POLICY`.
    """
    styles = (
        element("link", rel="stylesheet", href=f"{folder}/{it.name}")
        for it in (STYLE, *head.styles)
    )
    scripts = (
        element("script", src=f"{folder}/{it.name}", defer=it is not THEME)
        for it in (THEME, *head.scripts)
    )
    icon = element("link", rel="icon", href=f"{folder}/{ICON.name}", type="image/svg+xml")
    return _document(head, joined(icon, *styles, *scripts), body)


def self_contained(head: Head, body: Markup) -> str:
    """Self-contained document, which opens from a disk and makes no requests."""
    styles = (element("style", Markup(it.text)) for it in (STYLE, *head.styles))
    scripts = tuple(element("script", _closed(it)) for it in head.scripts)
    allowed = " ".join(f"'sha256-{it.digest}'" for it in (THEME, *head.scripts))
    policy = element(
        "meta",
        http_equiv="Content-Security-Policy",
        content=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'",
    )
    icon = element("link", rel="icon", href=ICON.data_url)
    theme = element("script", _closed(THEME))
    return _document(head, joined(policy, icon, *styles, theme), joined(body, *scripts))


def _closed(script: Asset) -> Markup:
    """Text of a script, checked to be safe inline."""
    if "</script" in script.text.lower() or "<!--" in script.text:
        raise ValueError(f"{script.name} cannot be inlined: it contains </script or <!--")
    return Markup(script.text)


def _document(head: Head, more: Markup, body: Markup) -> str:
    description = head.description and element("meta", name="description", content=head.description)
    parts = joined(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", head.title),
        description or None,
        more,
    )
    whole = element("html", element("head", parts), element("body", body), lang="en")
    return f"<!doctype html>\n{whole}\n"
