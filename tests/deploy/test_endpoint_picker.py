"""The manifest of an endpoint picker: valid, and of one piece."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isocline.gateway.serve.config import Overrides
from isocline.gateway.serve.from_file import read
from isocline.model.endpoint import Endpoint
from isocline.planes.picker.health import LIVENESS, READINESS
from isocline.planes.picker.support import fit
from tests.deploy.promql import DEPLOY

MANIFEST = DEPLOY / "endpoint-picker.yaml"
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text()))
OWN = "inference.networking.k8s.io"  # a group that Kubernetes itself has not


def of_kind(kind: str, name: str) -> dict[str, Any]:
    (found,) = (it for it in OBJECTS if (it["kind"], it["metadata"]["name"]) == (kind, name))
    return found


def test_kubernetes_takes_its_objects() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="needs isocline[deploy]")
    for one in OBJECTS:
        if not one["apiVersion"].startswith(OWN):
            schemas.validate(one, "1.32", strict=True)


def test_its_system_file_is_one_that_a_picker_takes(tmp_path: Path) -> None:
    file = tmp_path / "system.yaml"
    file.write_text(of_kind("ConfigMap", "picker")["data"]["system.yaml"])
    overrides = Overrides(plane="picker", fit=fit)
    made = read(file, overrides, {"pool": [Endpoint("pod-1", "10.1.0.1:8000")]})
    (listener,) = made.proxy.listeners
    (container,) = of_kind("Deployment", "picker")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert listener.port == ports["grpc"]
    assert made.admin is not None
    assert made.admin.port == ports["admin"]
    assert container["args"][2:4] == ["--plane", "picker"]


def test_its_parts_name_each_other() -> None:
    pool, service = of_kind("InferencePool", "vllm"), of_kind("Service", "picker")
    reference = pool["spec"]["endpointPickerRef"]
    (port,) = service["spec"]["ports"]
    assert (reference["name"], reference["port"]["number"]) == ("picker", port["port"])
    pods = of_kind("Deployment", "picker")["spec"]["template"]
    assert service["spec"]["selector"] == pods["metadata"]["labels"]
    (container,) = pods["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["grpc"] for name in ("liveness", "readiness")}
    assert asked["liveness"] == {"port": port["port"], "service": LIVENESS}
    assert asked["readiness"] == {"port": port["port"], "service": READINESS}
    # The slices that are watched are of the pods that the pool selects.
    slices = of_kind("Service", "vllm")["spec"]
    assert slices["selector"] == pool["spec"]["selector"]["matchLabels"]
