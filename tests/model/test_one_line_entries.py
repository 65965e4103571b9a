"""Lists with an entry on each line are read as YAML reads them, or not at all."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isocline.errors import SystemFileError
from isocline.model.systemfile.document import CoreLoader, parsed
from isocline.model.systemfile.one_line_entries import shortened

PATH = Path("system.yaml")
# What differs between YAML and JSON, or could.
SCALARS = st.sampled_from(
    ["a", "b-1", "b.2", "_x", "a-", "a.", "true-1", "True", "nullam", "yes", "NaN", "e5", "1", "-1",
     "+1", "007", "0", "-0", "1.", ".5", "1.5", "-2.5e-05", "1e3", "1E+3", "1_000", "12ab", "1:30",
     "0x1f", "~", "-", "?", "a/b", "é", '"a"', "'a'", "a:b", "a#b", "<<"]
)  # fmt: skip
VALUES: st.SearchStrategy[str] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda them: f"[{', '.join(them)}]")
        | st.lists(st.tuples(SCALARS, inner), max_size=3).map(
            lambda them: f"{{{', '.join(f'{key}: {value}' for key, value in them)}}}"
        )
    ),
)
ENTRIES = st.lists(st.tuples(st.sampled_from(["name", "rate", "a", "b"]), VALUES), max_size=3).map(
    lambda them: f"{{{', '.join(f'{key}: {value}' for key, value in them)}}}"
)
# With what else may stand on a line, wrong or not.
LINES = st.lists(
    ENTRIES.map(lambda entry: f"  - {entry}\n")
    | st.sampled_from(
        ["\n", "# -\n", "  # -\n", " - {a: 1}\n", "  - {a: 1}  \n", "  - {a:1}\n",
         "  - {a: [1 2]}\n", "  - {a: 1,}\n", "  - {a , b: 1}\n", "  - {a}\n", "  - {}\n",
         "  - a\n",
         "  - {a: 1,\n",
         "     b: 2}\n", "other: 1\n", "frontends:\n", "  - {a: 1, a: 2}\n", "  -  {a: 1}\n", '"\n',
         "- {a: 1}\n", "text: |\n", 'text: "\n', "    a: 1\n", "  - [a]\n", "---\n", "...\n"]
    ),
    max_size=6,
)  # fmt: skip


def by_yaml(text: str) -> Any:
    """As YAML has it; None of what it refuses."""
    try:
        return CoreLoader(text).get_single_data()
    except (yaml.YAMLError, ValueError):
        return None


@given(
    before=st.sampled_from(["", "kind: routing\n", "name: a\n\n", "# here\n", "---\n"]),
    lines=LINES,
    after=st.sampled_from(["", "serve: {}\n", "\n", "backends:\n  - {name: a, rate: 1}\n"]),
)
def test_a_file_says_what_it_says_as_yaml(before: str, lines: list[str], after: str) -> None:
    text = f"{before}frontends:\n{''.join(lines)}{after}"
    try:
        found = parsed(PATH, text).data
    except SystemFileError:
        return  # by YAML alone, as the next test sees
    assert repr(found) == repr(by_yaml(text))


@given(lines=LINES)
def test_what_is_taken_out_is_what_yaml_has_there(lines: list[str]) -> None:
    text = f"frontends:\n{''.join(lines)}"
    short, entries = shortened(text, yaml_free_json)
    if (whole := by_yaml(text)) is None or not entries:
        return
    rest = by_yaml(short)
    if isinstance(rest, dict) and rest.get("frontends", "") is None:
        assert repr(whole["frontends"]) == repr(entries["frontends"])


def yaml_free_json(text: str) -> Any:
    """JSON as it is read where no mistakes are looked for."""
    import json

    return json.loads(text)


@pytest.mark.parametrize(
    "entry",
    [
        "{name: f0, rate: 0.8, backends: [b17, b-4, b_4.x]}",
        "{name: b0, curve: {type: hyperbolic, peak: 1.5e-05, half: 12}}",
        "{name: f1,rate: -1, backends: [ b1 , b2 ] }",
    ],
)
def test_usual_entries_need_no_yaml(entry: str) -> None:
    for indent in ("", "  "):
        text = f"kind: routing\nfrontends:\n{indent}- {entry}\n{indent}- {entry}"
        short, entries = shortened(text, yaml_free_json)
        assert short == "kind: routing\nfrontends:\n"
        assert entries == {"frontends": by_yaml(text)["frontends"]}


def test_a_mistake_among_them_has_its_line() -> None:
    entry = "  - {name: f, rate: 1.0, backends: [b]}\n"
    for wrong, line in (
        ("  - {name: f, name: g}\n", 4),
        ("  - {name: [}\n", 4),
        (" - {a: 1}\n", 4),
    ):
        with pytest.raises(SystemFileError, match=rf"^system\.yaml:{line}: "):
            parsed(PATH, f"kind: routing\nfrontends:\n{entry}{wrong}{entry}")
