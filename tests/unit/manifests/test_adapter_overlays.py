"""Every overlay builds, stays as safe as the base, and changes what it says it changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ADAPTER = Path(__file__).parents[3] / "manifests" / "adapter"
OVERLAYS = sorted(path.parent for path in (ADAPTER / "overlays").glob("*/kustomization.yaml"))
EACH = pytest.mark.parametrize("folder", [ADAPTER / "base", *OVERLAYS], ids=lambda folder: folder.name)

Objects = list[dict[str, Any]]
Build = Callable[[Path], Objects]
One = Callable[..., dict[str, Any]]


def configuration(objects: Objects, one: One) -> dict[str, Any]:
    """The adapter.yaml that the Deployment mounts: its ConfigMap by the name with the hash."""
    volumes = one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    name = next(each["configMap"]["name"] for each in volumes if each["name"] == "config")
    assert name.startswith("leadtime-adapter-"), "the hash that rolls the Deployment"
    content: dict[str, Any] = yaml.safe_load(one(objects, "ConfigMap", name)["data"]["adapter.yaml"])
    return content


def test_there_is_an_overlay_for_each_way_of_installing() -> None:
    assert [folder.name for folder in OVERLAYS] == [
        "cert-manager",
        "cloud-monitoring-service-account",
        "cloud-monitoring-workload-identity",
        "keda-pass-through",
        "prometheus",
    ]


@EACH
def test_it_builds_and_leaves_no_object_in_a_wrong_namespace(folder: Path, kustomize: Build) -> None:
    """kustomize's `namespace:` would move the RoleBinding out of kube-system, where alone it works."""
    objects = kustomize(folder)
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    assert ("RoleBinding", "kube-system", "leadtime-adapter-authentication-reader") in names
    assert {namespace for _, namespace, _ in names} == {None, "leadtime-system", "kube-system"}


@EACH
def test_every_mount_has_its_volume_and_every_generated_config_map_is_there(
    folder: Path, kustomize: Build, one: One
) -> None:
    objects = kustomize(folder)
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert {each["name"] for each in pod["containers"][0]["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    maps = {each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each}
    built = {each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"}
    assert maps - built <= {"keda-ca"}, "which people make of KEDA's own Secret"
    content = configuration(objects, one)
    assert (content["apiVersion"], content["kind"]) == ("adapter.leadtime.dev/v1alpha1", "AdapterConfiguration")


@EACH
def test_tls_is_verified_and_somebody_writes_the_ca_bundle(folder: Path, kustomize: Build, one: One) -> None:
    objects = kustomize(folder)
    injected = {
        each["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from")
        for each in objects
        if each["kind"] == "APIService"
    }
    assert not any("insecureSkipTLSVerify" in each["spec"] for each in objects if each["kind"] == "APIService")
    may_patch = any(each["metadata"]["name"] == "leadtime-adapter-ca-bundle" for each in objects)
    if "secretName" in configuration(objects, one)["servingCertificate"]:
        assert (injected, may_patch) == ({None}, True)
    else:
        assert (injected, may_patch) == ({"leadtime-system/leadtime-adapter-serving"}, False)


def test_cert_managers_certificate_is_for_the_service_and_read_from_its_secret(kustomize: Build, one: One) -> None:
    objects = kustomize(ADAPTER / "overlays" / "cert-manager")
    certificate = one(objects, "Certificate", "leadtime-adapter-serving")["spec"]
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    (secret,) = (each for each in pod["volumes"] if "secret" in each)
    folder = next(each["mountPath"] for each in pod["containers"][0]["volumeMounts"] if each["name"] == secret["name"])
    assert secret["secret"]["secretName"] == certificate["secretName"]
    assert certificate["dnsNames"] == ["leadtime-adapter.leadtime-system.svc"]
    assert configuration(objects, one)["servingCertificate"] == {
        "certFile": f"{folder}/tls.crt",
        "keyFile": f"{folder}/tls.key",
    }
    assert not [each for each in objects if each["kind"] == "Role"], "it need not touch Secrets"


@pytest.mark.parametrize(
    ("overlay", "sources"),
    [
        ("prometheus", ["scrape", "prometheus"]),
        ("cloud-monitoring-workload-identity", ["scrape", "cloudMonitoring"]),
        ("cloud-monitoring-service-account", ["scrape", "cloudMonitoring"]),
        ("cert-manager", ["scrape"]),
        ("keda-pass-through", ["scrape"]),
    ],
)
def test_sources_in_order_of_priority(overlay: str, sources: list[str], kustomize: Build, one: One) -> None:
    content = configuration(kustomize(ADAPTER / "overlays" / overlay), one)
    assert [next(key for key in each if key != "name") for each in content["sources"]] == sources


def test_the_service_account_is_annotated_only_where_it_acts_as_a_google_one(kustomize: Build, one: One) -> None:
    direct = kustomize(ADAPTER / "overlays" / "cloud-monitoring-workload-identity")
    acting = kustomize(ADAPTER / "overlays" / "cloud-monitoring-service-account")
    assert "annotations" not in one(direct, "ServiceAccount")["metadata"]
    assert one(acting, "ServiceAccount")["metadata"]["annotations"] == {
        "iam.gke.io/gcp-service-account": "leadtime-adapter@PROJECT_ID.iam.gserviceaccount.com"
    }
    for objects in (direct, acting):
        egress = one(objects, "NetworkPolicy", "leadtime-adapter-metadata-server")["spec"]["egress"]
        ports = {rule["to"][0]["ipBlock"]["cidr"]: [port["port"] for port in rule["ports"]] for rule in egress}
        assert ports == {"169.254.169.254/32": [80, 8080], "169.254.169.252/32": [987, 988]}


def test_pass_through_reaches_keda_with_its_ca_and_may_only_list(kustomize: Build, one: One) -> None:
    objects = kustomize(ADAPTER / "overlays" / "keda-pass-through")
    content = configuration(objects, one)["passThrough"]
    mounts = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    folder = next(each["mountPath"] for each in mounts if each["name"] == "keda-ca")
    assert content["url"].startswith("https://")
    assert content["caFile"] == f"{folder}/ca.crt"
    role = one(objects, "ClusterRole", "leadtime-adapter-external-metrics-reader")
    assert role["rules"] == [{"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["list"]}]
