"""System files for the plane, and the settings that are read from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from isocline.gateway.serve.config import Overrides, Serving
from isocline.gateway.serve.from_file import read
from isocline.planes.envoy.support import fit

CURVES = {
    "fast": {"type": "hyperbolic", "peak": 200.0, "half": 4.0},
    "slow": {"type": "hyperbolic", "peak": 40.0, "half": 2.0},
}
PLANE = Overrides(plane="envoy", fit=fit)


def backend(name: str, port: int, **more: Any) -> dict[str, Any]:
    curve = CURVES.get(name, CURVES["fast"])
    return {"name": name, "url": f"http://127.0.0.1:{port}", "curve": curve, **more}


def content(
    backends: Sequence[Mapping[str, Any]] = (backend("fast", 9001), backend("slow", 9002)),
    frontends: Sequence[Mapping[str, Any]] = ({"name": "all", "rate": 20.0, "backends": ["*"]},),
    **serve: Any,
) -> dict[str, Any]:
    """Content of a file whose listener has any free port."""
    settings = {"listen": "127.0.0.1:0", **serve}
    return {
        "kind": "routing",
        "backends": list(backends),
        "frontends": list(frontends),
        "serve": settings,
    }


def written(folder: Path, system: Mapping[str, Any]) -> Path:
    file = folder / "system.yaml"
    file.write_text(yaml.safe_dump(dict(system)))
    return file


def settings(folder: Path, system: Mapping[str, Any]) -> Serving:
    return read(written(folder, system), PLANE)
