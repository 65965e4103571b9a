"""Settings of the documentation site, which `make docs` builds with Sphinx, MyST and Furo.

Pages are Markdown that GitHub shows, too, so the navigation lives here and not in the pages, and
links that leave `docs/` are turned into links that the site has.

MkDocs was rejected: its last release, 1.6.1, is of 2024. Sphinx, MyST and Furo are released all the
time, warn of links to headings that do not exist and of pages outside the navigation, and ask no
foreign host for fonts, scripts or the search.
"""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "Isocline"
author = "The Isocline team"
project_copyright = "The Isocline team"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
root_doc = "index"
exclude_patterns = ["_build"]

extensions = ["myst_nb"]
# `$` stands for a prompt and not for mathematics; a link may name any heading.
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4
# Each notebook is run when the site is built, and a cell that raises stops the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = False
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # no script of a foreign host
smartquotes = False  # names of options keep their two dashes
pygments_style = "friendly"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = "Isocline"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

# The navigation: captions, and under each its pages in order. `*` stands for all pages of a folder
# that are not named before. A page that is in no part stops the build.
NAVIGATION: dict[str, list[str]] = {
    "Start": [
        "start/routed-request",
        "start/scheduled-task",
        "start/install",
    ],
    "Guides": [
        "guides/vllm-on-kubernetes",
        "guides/is-my-router-any-good",
        "guides/what-if",
        "guides/cheapest-fleet",
        "guides/tasks-near-parquet-files",
        "own",
        "guides/curves-from-a-benchmark",
        "curve-library",
        "reproduce",
        "choosing",
        "clusters",
        "near-data-plan",
        "notebooks/index",
        "report",
        "pictures",
    ],
    "Run it": [
        "serve",
        "serve-requests",
        "serve-overload",
        "serve-caches",
        "serve-models",
        "guides/lora-adapters",
        "serve-zones",
        "serve-learning",
        "router-speed",
        "envoy",
        "live-page",
        "discovery",
        "endpoint-picker",
        "admin",
        "deploy",
        "tracing",
        "images",
        "dispatch",
        "locations",
        "dispatch-engines",
        "dispatch-faults",
        "dask",
        "ray-serve",
        "ray-near-data",
        "backend-and-load",
        "demo",
    ],
    "Compared with others": ["compare/index", "benchmarks"],
    "Reference": [
        "verbs/index",
        "system-files",
        "near-data-files",
        "settings",
        "metrics",
        "api",
        "glossary",
    ],
    "How it works": [
        "mechanisms",
        "clocks",
        "many-machines",
        "learning",
        "delays-and-layers",
        "models-as-data",
        "design",
    ],
    "Theory": ["theory-in-pictures", "theory", "fluid", "refined-mean-field"],
    "The project": ["contributing", "changes"],
}
# Files outside of docs/ that are pages of the site.
PAGES = {
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changes.md",
    "../README.md": "index.md",
}


def pages_of(entries: list[str], named: set[str]) -> list[str]:
    """Names of pages for a part of the navigation, with folders spelled out."""
    found = []
    for entry in entries:
        if entry.endswith("/*"):
            names = sorted((HERE / entry[:-2]).glob("*.md"))
            rest = [f"{entry[:-2]}/{page.stem}" for page in names]
            found += sorted((name for name in rest if name not in named), key=_index_first)
        else:
            found.append(entry)
    return found


def _index_first(name: str) -> tuple[bool, str]:
    return not name.endswith("/index"), name


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append the navigation to the pages that hold a part of it."""
    if docname == root_doc:
        named = {entry for entries in NAVIGATION.values() for entry in entries}
        for caption, entries in NAVIGATION.items():
            source[0] += _toctree(pages_of(entries, named), caption)
    elif docname.endswith("/index"):
        folder = docname.removesuffix("index")
        suffixes = (".md", ".ipynb")
        files = sorted(each for each in (HERE / folder).iterdir() if each.suffix in suffixes)
        if not any(f"{folder}*" == entry for entries in NAVIGATION.values() for entry in entries):
            source[0] += _toctree([f"/{folder}{it.stem}" for it in files if it.stem != "index"], "")


def _toctree(names: list[str], caption: str) -> str:
    head = f":caption: {caption}\n" if caption else ""
    return "\n\n```{toctree}\n:hidden:\n" + head + "\n" + "\n".join(names) + "\n```\n"


def mend_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links to files outside of docs/ at the pages that the site has of them."""
    up = "../" * docname.count("/")
    for outside, page in PAGES.items():
        source[0] = re.sub(
            rf"\]\({re.escape(up + outside)}(#[^)]*)?\)", rf"](/{page}\1)", source[0]
        )


def mend_notebooks(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links to notebooks at the pages that they become."""
    source[0] = re.sub(r"\]\([./]*examples/(notebooks/\w+\.ipynb)\)", r"](/\1)", source[0])


def mend_pictures(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let a picture of two colour schemes follow the site's switch, not the system's alone."""
    two = re.compile(
        r'<picture>\s*<source [^>]*srcset="(?P<dark>[^"]+)">\s*'
        r'<img alt="(?P<alt>[^"]*)" src="(?P<light>[^"]+)">\s*</picture>'
    )
    shown = r"![\g<alt>](\g<light>){.only-light}\n![\g<alt>](\g<dark>){.only-dark}"
    source[0] = two.sub(shown, source[0])


def bring_in(app: Sphinx) -> None:
    """Copy what the site shows and docs/ does not hold: two pages, and the notebooks."""
    for outside, page in PAGES.items():
        if page != "index.md":
            text = (HERE / outside).read_text(encoding="utf-8")
            text = text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changes.md)")
            text = re.sub(r"\[([^]]*)\]\((requirements/[^)]*)\)", r"\1 (`\2`)", text)
            _write(HERE / page, text)
    for notebook in sorted((ROOT / "examples/notebooks").glob("*.ipynb")):
        _write(HERE / "notebooks" / notebook.name, notebook.read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    """Write a file unless it has this text, so that an unchanged page is not read again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect the steps above with the build."""
    app.connect("builder-inited", bring_in)
    app.connect("source-read", mend_links)
    app.connect("source-read", mend_notebooks)
    app.connect("source-read", mend_pictures)
    app.connect("source-read", add_navigation)
