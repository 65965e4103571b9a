"""`--engine` and `--address` of verbs that simulate: refused before anything runs."""

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isocline.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SIMULATE = ("simulate", str(EXAMPLES / "n_model.yaml"))
REPRODUCE = ("reproduce", "gmsr-fig8", "--quick")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("engine", ["ray", "dask"])
@pytest.mark.parametrize("verb", [SIMULATE, REPRODUCE])
def test_an_address_where_nobody_is_is_refused_at_once(
    verb: tuple[str, ...], engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("distributed" if engine == "dask" else "ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        found = run(*verb, "--engine", engine, "--address", address)
    assert found.exit_code == 2
    assert f"--address {address}: nothing answers there" in found.stderr
    assert "or leave the address out" in found.stderr


@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_a_missing_extra_is_named(
    engine: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("isocline.dispatch.engines.")]:
        if f".{engine}" in name:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    found = run(*SIMULATE, "--engine", engine)
    assert found.exit_code == 2
    assert f"needs: pip install 'isocline[{engine}]'" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*SIMULATE, "--engine", "dask", "--threads", "2"), "--engine does not apply with"),
        ((*SIMULATE, "--address", "h:1"), "--address does not apply without --engine"),
        (("reproduce", "--engine", "ray"), "--engine does not apply without NAME"),
        ((*SIMULATE, "--engine", "spark"), "'spark' is not one of 'ray', 'dask'"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], said: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert said in found.stderr
