"""The Helm chart, rendered by Helm's own engine: valid for Kubernetes, and right for the router."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from isocline.cli import main
from tests.deploy.promql import DEPLOY, rules

helm = pytest.importorskip("helm_python.chart", reason="needs helm-python-sdk: isocline[deploy]")
schemas = pytest.importorskip("kubernetes_validate", reason="needs isocline[deploy]")

CHART = DEPLOY / "helm/isocline"
SYSTEM: Mapping[str, Any] = {
    "kind": "routing",
    "backends": [
        {"name": "a", "url": "http://a:8000"},
        {
            "name": "b",
            "url": "http://b:8000",
            "curve": {"type": "hyperbolic", "peak": 9, "half": 3},
        },
    ],
    "frontends": [
        {"name": "z-first", "match": {"path": "/v1"}, "backends": ["*"]},
        {"name": "a-last", "backends": ["b"]},
    ],
    "serve": {"drain": 60, "drain_delay": 2.5, "sizes": {"body": 268435456}, "learn": {}},
}
ALL_ON: Mapping[str, Any] = {
    "system": SYSTEM,
    "secrets": {"create": {"api-keys": "team-a sk-1"}},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
    "extraEnv": [{"name": "KEY", "value": "1"}],
    "extraArgs": ["--access-log"],
    "podLabels": {"team": "inference"},
    "podAnnotations": {"note": "none"},
    "nodeSelector": {"pool": "cpu"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
WATCHING: Mapping[str, Any] = {
    "system": {
        "kind": "routing",
        "discover": [
            {"name": "near", "kubernetes": {"service": "vllm"}},
            {"name": "also", "kubernetes": {"service": "sglang"}},
            {"name": "far", "kubernetes": {"service": "vllm", "namespace": "gpus"}},
            {"name": "away", "kubernetes": {"service": "v", "api": "https://10.0.0.1:6443"}},
            {"name": "names", "dns": {"name": "vllm.example.org"}},
        ],
        "frontends": [{"name": "chat"}],
    }
}
OF_OPERATOR = "monitoring.coreos.com/v1"  # not part of Kubernetes


@cache
def chart() -> Any:
    return helm.Chart.load(CHART)


def rendered(values: Mapping[str, Any], name: str = "router") -> list[dict[str, Any]]:
    """All manifests."""
    texts = chart().render(dict(values), name=name, namespace="inference")
    made = (yaml.safe_load_all(text) for path, text in texts.items() if path.endswith(".yaml"))
    return [manifest for file in made for manifest in file if manifest]


def one(kind: str, values: Mapping[str, Any], ending: str = "") -> dict[str, Any]:
    (found,) = [
        it
        for it in rendered(values)
        if it["kind"] == kind and it["metadata"]["name"] == f"router-isocline{ending}"
    ]
    return found


def pod(values: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = one("Deployment", values)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("values", [{}, {"system": SYSTEM}, ALL_ON], ids=["none", "least", "all"])
def test_helm_lints_it(values: Mapping[str, Any]) -> None:
    report = helm.lint(CHART, dict(values), strict=True)
    assert report["errors"] == []
    assert [it["error"] for it in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(27, 38)])
def test_manifests_are_valid(version: str) -> None:
    for values in ({"system": SYSTEM}, ALL_ON, WATCHING):
        for manifest in rendered(values):
            if manifest["apiVersion"] != OF_OPERATOR:
                schemas.validate(manifest, version, strict=True)


def test_what_is_not_valid_is_found() -> None:
    """The schemas are strict: a misspelt field is an error, not ignored."""
    wrong = one("Deployment", ALL_ON)
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, "1.37", strict=True)


def test_the_router_takes_the_file_that_the_config_map_has(tmp_path: Path) -> None:
    file = tmp_path / "system.yaml"
    file.write_text(one("ConfigMap", ALL_ON)["data"]["system.yaml"])
    assert yaml.safe_load(file.read_text()) == SYSTEM  # whole numbers are whole
    container = pod(ALL_ON)["containers"][0]
    verb, path, *options = container["args"]
    mounts = {it["mountPath"]: it for it in container["volumeMounts"]}
    assert path == "/etc/isocline/system.yaml"
    assert "subPath" not in mounts["/etc/isocline"]  # which would never change
    done = CliRunner().invoke(main, [verb, str(file), *options, "--check"])
    assert done.exit_code == 0, done.output
    ports = {it["containerPort"] for it in container["ports"]}
    assert ports == {int(it.rpartition(":")[2]) for it in options if ":" in it}


def test_the_example_of_the_documentation_is_taken(tmp_path: Path) -> None:
    page = (DEPLOY.parent / "docs/deploy.md").read_text()
    (block,) = re.findall(r"```yaml\n# values.yaml\n(.*?)```", page, re.DOTALL)
    values = yaml.safe_load(block)
    assert pod(values)["terminationGracePeriodSeconds"] == 75
    mounts = {it["mountPath"] for it in pod(values)["containers"][0]["volumeMounts"]}
    text = one("ConfigMap", values)["data"]["system.yaml"]
    for folder in ("/etc/isocline-secrets", "/var/lib/isocline"):
        assert folder in mounts
        assert folder in text
        text = text.replace(folder, str(tmp_path))
    (tmp_path / "api-keys").write_text("team-a sk-1")
    file = tmp_path / "system.yaml"
    file.write_text(text)
    done = CliRunner().invoke(main, ["serve", str(file), "--check"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("serve", "pre_stop", "seconds"),
    [({}, 5, 45), ({"drain": 60, "drain_delay": 2.5}, 5, 78), ({"drain": 0}, 0, 10)],
)
def test_the_grace_period_is_above_what_a_stop_takes(
    serve: Mapping[str, float], pre_stop: int, seconds: int
) -> None:
    spec = pod({"system": {**SYSTEM, "serve": serve}, "preStopSeconds": pre_stop})
    assert spec["terminationGracePeriodSeconds"] == seconds
    assert seconds >= pre_stop + serve.get("drain", 30) + serve.get("drain_delay", 0) + 10
    assert ("lifecycle" in spec["containers"][0]) == (pre_stop > 0)


def test_probes_ask_the_admin_listener() -> None:
    container = pod({"system": SYSTEM})["containers"][0]
    paths = {
        name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": {"path": "/health", "port": "admin"},
        "liveness": {"path": "/health", "port": "admin"},
        "readiness": {"path": "/ready", "port": "admin"},
    }


def test_services_choose_the_pods_and_only_one_shows_the_admin_listener() -> None:
    labels = one("Deployment", ALL_ON)["spec"]["template"]["metadata"]["labels"]
    for kind, ending in (("Service", ""), ("Service", "-metrics")):
        chosen = one(kind, ALL_ON, ending)["spec"]["selector"]
        assert chosen.items() <= labels.items()
    for kind in ("PodDisruptionBudget", "Deployment"):
        chosen = one(kind, ALL_ON)["spec"]["selector"]["matchLabels"]
        assert chosen.items() <= labels.items()
    assert [it["targetPort"] for it in one("Service", ALL_ON)["spec"]["ports"]] == ["http"]
    metrics = one("Service", ALL_ON, "-metrics")
    assert [it["name"] for it in metrics["spec"]["ports"]] == ["admin"]
    monitor = one("ServiceMonitor", ALL_ON)
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= metrics["metadata"]["labels"].items()
    )
    assert monitor["spec"]["endpoints"][0]["port"] == "admin"
    assert "isocline" in metrics["metadata"]["name"]  # its job, by which alerts know it


def test_nothing_runs_with_rights() -> None:
    spec = pod(ALL_ON)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["containers"][0]["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False


def test_only_a_router_that_watches_the_cluster_may_and_only_that() -> None:
    assert not any("Role" in it["kind"] or "Account" in it["kind"] for it in rendered(ALL_ON))
    assert not pod(ALL_ON)["automountServiceAccountToken"]
    made = rendered(WATCHING)
    (account,) = (it["metadata"]["name"] for it in made if it["kind"] == "ServiceAccount")
    assert pod(WATCHING)["serviceAccountName"] == account
    assert pod(WATCHING)["automountServiceAccountToken"]
    roles = [it for it in made if it["kind"] == "Role"]
    assert [it["metadata"]["namespace"] for it in roles] == ["inference", "gpus"]
    for role in roles:
        assert role["rules"] == [
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["list", "watch"],
            }
        ]
    bound = [it for it in made if it["kind"] == "RoleBinding"]
    assert [it["metadata"]["namespace"] for it in bound] == ["inference", "gpus"]
    for binding in bound:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account, "namespace": "inference"}
        ]
        assert binding["roleRef"]["name"] == roles[0]["metadata"]["name"]


def test_rules_and_dashboards_are_those_beside_the_chart() -> None:
    ruled = one("PrometheusRule", ALL_ON)["spec"]["groups"]
    assert [rule for group in ruled for rule in group["rules"]] == [
        *rules("recording.yaml"),
        *rules("alerts.yaml"),
    ]
    files = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
    assert files
    for file in files:
        made = one("ConfigMap", ALL_ON, f"-{file.stem}")
        assert made["data"] == {file.name: file.read_text()}
        assert made["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "system is empty"),
        (
            {"system": SYSTEM, "secrets": {"existing": "a", "create": {"b": "c"}}},
            "give one of them",
        ),
        ({"system": SYSTEM, "replica": 2}, "replica"),
        ({"system": SYSTEM, "readinessPath": "/live"}, "readinessPath"),
    ],
)
def test_mistakes_are_named(values: Mapping[str, Any], words: str) -> None:
    def install() -> None:
        """As Helm does it: first the values, then the templates."""
        chart().validate_schema(dict(values))
        rendered(values)

    with pytest.raises(Exception, match=words):
        install()


def test_one_replica_has_no_budget_that_would_block_a_drain_of_its_node() -> None:
    kinds = {it["kind"] for it in rendered({"system": SYSTEM, "replicas": 1})}
    assert "PodDisruptionBudget" not in kinds
