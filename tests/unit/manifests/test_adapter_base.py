"""The adapter's base: what is mounted, probed, allowed and served fits together."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
BASE = ROOT / "manifests" / "adapter" / "base"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CONFIG = yaml.safe_load((BASE / "config" / "adapter.yaml").read_text())
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())

Objects = list[dict[str, Any]]
One = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def pod(base: Objects, one: One) -> dict[str, Any]:
    """The Deployment's pod template."""
    template: dict[str, Any] = one(base, "Deployment")["spec"]["template"]
    return template


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for path in (ROOT / "manifests" / "adapter").rglob("kustomization.yaml")),
    ids=lambda folder: str(folder.relative_to(ROOT / "manifests")),
)
def test_every_file_beside_a_kustomization_is_listed_in_it(folder: Path) -> None:
    """A file that nobody lists is applied by nobody; a listed one that is not there fails the build."""
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = {name for name in content["resources"] if name.endswith(".yaml")}
    listed |= {patch["path"] for patch in content.get("patches", ()) if "path" in patch}
    listed |= {name for each in content.get("configMapGenerator", ()) for name in each.get("files", ())}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")} - {"kustomization.yaml"}
    assert listed == there
    assert all((folder / name).is_dir() for name in content["resources"] if not name.endswith(".yaml"))


def test_probes_ask_paths_and_ports_that_are_served(container: dict[str, Any]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        asked = container[probe]["httpGet"]
        assert (asked["path"], asked["scheme"]) == (path, "HTTPS")
        assert ports[asked["port"]] == CONFIG["server"]["port"]


def test_mounts_are_whole_folders_of_volumes_that_exist(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """A subPath mount never sees an update, so rules and certificates would not be read again."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    assert not any("subPath" in mount for mount in mounts.values())
    generated = {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}
    assert {each["configMap"]["name"] for each in volumes.values() if "configMap" in each} == generated
    writable = {name for name, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {"tmp"}
    assert mounts["rules"]["mountPath"] in CONFIG["rules"]


def test_the_pod_may_do_nothing_that_it_need_not(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """The Pod Security Standard `restricted`, which its namespace enforces, and a root file system for reading."""
    security = pod["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}


def test_one_replica_is_always_there(base: Objects, one: One) -> None:
    deployment = one(base, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert one(base, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    pause = deployment["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pause[0] == "sleep"
    assert int(pause[1]) < deployment["template"]["spec"]["terminationGracePeriodSeconds"]


def test_every_selector_finds_the_adapters_pods(base: Objects, one: One, pod: dict[str, Any]) -> None:
    labels = pod["metadata"]["labels"].items()
    selectors = [
        one(base, "Service")["spec"]["selector"],
        one(base, "Deployment")["spec"]["selector"]["matchLabels"],
        one(base, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(base, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod["spec"]["topologySpreadConstraints"]),
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


@pytest.mark.parametrize(
    ("kind", "name", "rules"),
    [
        (
            "ClusterRole",
            "leadtime-adapter",
            {
                ("", "pods"): "list watch",
                ("", "services"): "list watch",
                ("monitoring.googleapis.com", "podmonitorings"): "list watch",
                ("monitoring.googleapis.com", "clusterpodmonitorings"): "list watch",
                ("monitoring.coreos.com", "podmonitors"): "list watch",
                ("monitoring.coreos.com", "servicemonitors"): "list watch",
            },
        ),
        (
            "Role",
            "leadtime-adapter-serving-certificate",
            {("", "secrets"): "create", ("", "secrets/leadtime-adapter-serving"): "get update"},
        ),
        (
            "ClusterRole",
            "leadtime-adapter-ca-bundle",
            {
                ("apiregistration.k8s.io", f"apiservices/{name}"): "get patch"
                for name in (
                    "v1beta1.custom.metrics.k8s.io",
                    "v1beta2.custom.metrics.k8s.io",
                    "v1beta1.external.metrics.k8s.io",
                )
            },
        ),
        ("ClusterRole", "leadtime-adapter-metrics-reader", {("nonResourceURLs", "/metrics"): "get"}),
    ],
)
def test_roles_allow_exactly_this(base: Objects, one: One, kind: str, name: str, rules: dict[Any, str]) -> None:
    allowed: dict[tuple[str, str], str] = {}
    for rule in one(base, kind, name)["rules"]:
        verbs = " ".join(sorted(rule["verbs"]))
        if "nonResourceURLs" in rule:
            allowed |= {("nonResourceURLs", url): verbs for url in rule["nonResourceURLs"]}
            continue
        names = [f"/{each}" for each in rule.get("resourceNames", ())] or [""]
        for group in rule["apiGroups"]:
            allowed |= {(group, f"{each}{suffix}"): verbs for each in rule["resources"] for suffix in names}
    assert allowed == rules


def test_every_binding_is_to_the_adapters_service_account(base: Objects, one: One) -> None:
    account = one(base, "ServiceAccount")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    bindings = {
        (each["kind"], each["metadata"].get("namespace"), each["roleRef"]["name"]): each["subjects"]
        for each in base
        if each["kind"].endswith("Binding")
    }
    assert bindings == {
        ("ClusterRoleBinding", None, "leadtime-adapter"): [subject],
        ("ClusterRoleBinding", None, "system:auth-delegator"): [subject],
        ("ClusterRoleBinding", None, "leadtime-adapter-ca-bundle"): [subject],
        ("RoleBinding", "leadtime-system", "leadtime-adapter-serving-certificate"): [subject],
        ("RoleBinding", "kube-system", "extension-apiserver-authentication-reader"): [subject],
    }
    assert one(base, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]


def test_the_api_server_is_led_to_the_service_and_never_skips_tls(base: Objects, one: One) -> None:
    """The HPA takes the version of the highest versionPriority; caBundle is the adapter's to write."""
    service = one(base, "Service")
    port = service["spec"]["ports"][0]
    served = {each["metadata"]["name"]: each["spec"] for each in base if each["kind"] == "APIService"}
    assert set(served) == {f"{spec['version']}.{spec['group']}" for spec in served.values()}
    assert len(served) == 3
    for spec in served.values():
        assert not {"insecureSkipTLSVerify", "caBundle"} & spec.keys()
        assert spec["service"] == {
            "name": service["metadata"]["name"],
            "namespace": service["metadata"]["namespace"],
            "port": port["port"],
        }
    priority = {name: spec["versionPriority"] for name, spec in served.items()}
    assert priority["v1beta2.custom.metrics.k8s.io"] > priority["v1beta1.custom.metrics.k8s.io"]


def test_the_certificate_is_for_the_service_and_in_the_secret_that_may_be_written(base: Objects, one: One) -> None:
    managed = CONFIG["servingCertificate"]
    service = one(base, "Service")["metadata"]
    role = one(base, "Role", "leadtime-adapter-serving-certificate")
    assert (managed["serviceName"], managed["namespace"]) == (service["name"], service["namespace"])
    assert role["rules"][1]["resourceNames"] == [managed["secretName"]]
    assert role["metadata"]["namespace"] == managed["namespace"]


def test_the_network_policy_lets_through_what_is_needed(base: Objects, one: One, container: dict[str, Any]) -> None:
    policy = one(base, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in policy["ingress"]] == [
        [{"protocol": "TCP", "port": port["containerPort"]} for port in container["ports"]]
    ]
    anywhere = {port["port"] for rule in policy["egress"] if "to" not in rule for port in rule["ports"]}
    assert anywhere == {53, 443, 6443}
    (pages,) = (rule for rule in policy["egress"] if "to" in rule)
    assert pages["to"] == [{"namespaceSelector": {}}]
    for port in (80, 8000, 8002, 8080, 8082, 9090, 9400):  # TGI, vLLM, Triton, vLLM behind a proxy, TorchServe, ...
        assert any(each["port"] <= port <= each.get("endPort", each["port"]) for each in pages["ports"])


def test_the_image_and_the_labels_name_this_version(container: dict[str, Any]) -> None:
    assert container["image"] == f"leadtime-adapter:{VERSION}"
    assert KUSTOMIZATION["images"] == [{"name": "leadtime-adapter", "newTag": VERSION}]
    assert KUSTOMIZATION["labels"][0]["pairs"]["app.kubernetes.io/version"] == VERSION
