"""Every overlay of the controller builds, stays as safe as the base, and adds what it says it adds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.sources.kubernetes.monitors import MonitorKind, prune_monitor
from autoscaler.configuration_file import parse_configuration
from autoscaler.crd.node_pool import Placeholders

CONTROLLER = Path(__file__).parents[3] / "manifests" / "controller"
BASE = CONTROLLER / "base"
OVERLAYS = sorted(path.parent for path in (CONTROLLER / "overlays").glob("*/kustomization.yaml"))
COMPONENTS = sorted(path.parent for path in (CONTROLLER / "components").glob("*/kustomization.yaml"))
EACH = pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.name)

Objects = list[dict[str, Any]]
Build = Callable[[Path], Objects]
One = Callable[..., dict[str, Any]]


def configuration(objects: Objects, one: One) -> dict[str, Any]:
    """The controller.yaml that the Deployment mounts: its ConfigMap by the name with the hash."""
    volumes = one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    name = next(each["configMap"]["name"] for each in volumes if each["name"] == "config")
    assert name.startswith("leadtime-controller-config-"), "the hash that rolls the Deployment"
    content: dict[str, Any] = yaml.safe_load(one(objects, "ConfigMap", name)["data"]["controller.yaml"])
    return content


def added(objects: Objects, base: Objects) -> set[tuple[str, str]]:
    """(kind, name) of what the base does not have; the ConfigMap's hash aside."""
    there = {(each["kind"], each["metadata"]["name"]) for each in base}
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    return {name for name in names - there if name[0] != "ConfigMap"}


def test_there_is_an_overlay_for_each_way_of_installing() -> None:
    assert [folder.name for folder in OVERLAYS] == [
        "direct",
        "floor",
        "gke-workload-identity",
        "placeholders",
        "pod-deletion-cost",
        "pod-monitor",
        "pod-monitoring",
        "prometheus",
    ]
    assert [folder.name for folder in COMPONENTS] == [
        "direct",
        "floor",
        "gke-workload-identity",
        "placeholders",
        "pod-deletion-cost",
        "pod-monitor",
        "pod-monitoring",
    ]


@EACH
def test_it_builds_in_its_own_namespace_alone(folder: Path, kustomize: Build) -> None:
    objects = kustomize(folder)
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    assert {namespace for _, namespace, _ in names} == {None, "leadtime-system"}


@EACH
def test_every_mount_has_its_volume_and_the_configuration_is_taken(folder: Path, kustomize: Build, one: One) -> None:
    objects = kustomize(folder)
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert {each["name"] for each in pod["containers"][0]["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    text = yaml.safe_dump(configuration(objects, one)).replace("PROJECT_ID", "p1").replace("CLUSTER_NAME", "c1")
    settings = parse_configuration(text, "controller.yaml")
    assert settings.namespace == one(objects, "Deployment")["metadata"]["namespace"]
    assert settings.server.port == pod["containers"][0]["ports"][0]["containerPort"]
    assert settings.store.path.startswith("/var/lib/leadtime/")


@EACH
def test_the_lease_keeps_its_name(folder: Path, kustomize: Build, one: One) -> None:
    """kustomize puts a ConfigMap's hash into a Role's resourceNames too, where the two have one name."""
    objects = kustomize(folder)
    lease = parse_configuration("{}", "controller.yaml").leader_election.lease_name
    assert [name for rule in one(objects, "Role")["rules"] for name in rule.get("resourceNames", ())] == [lease]


@EACH
def test_every_binding_is_to_the_controllers_service_account_and_to_a_role_that_is_there(
    folder: Path, kustomize: Build, one: One
) -> None:
    objects = kustomize(folder)
    account = one(objects, "ServiceAccount")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    bindings = [each for each in objects if each["kind"].endswith("Binding")]
    assert all(each["subjects"] == [subject] for each in bindings)
    for each in bindings:
        assert one(objects, each["roleRef"]["kind"], each["roleRef"]["name"])


@pytest.mark.parametrize(
    ("overlay", "objects"),
    [
        (name, {(kind, f"leadtime-controller-{name}") for kind in ("ClusterRole", "ClusterRoleBinding")})
        for name in ("direct", "floor", "pod-deletion-cost")
    ]
    + [
        (
            "placeholders",
            {
                ("ClusterRole", "leadtime-controller-placeholders"),
                ("ClusterRoleBinding", "leadtime-controller-placeholders"),
                ("PriorityClass", "leadtime-placeholder"),
            },
        ),
        ("gke-workload-identity", {("NetworkPolicy", "leadtime-controller-metadata-server")}),
        ("pod-monitor", {("PodMonitor", "leadtime-controller")}),
        ("pod-monitoring", {("PodMonitoring", "leadtime-controller")}),
        ("prometheus", set()),
    ],
)
def test_an_overlay_adds_this_and_nothing_else(overlay: str, objects: set[tuple[str, str]], kustomize: Build) -> None:
    assert added(kustomize(CONTROLLER / "overlays" / overlay), kustomize(BASE)) == objects


def test_components_go_together(kustomize: Build, tmp_path: Path) -> None:
    """Overlays do not, for each has the base in it: who needs several rights takes the components."""
    up = Path(*[".."] * len(tmp_path.parts[1:])) / CONTROLLER.relative_to("/")
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(up / "base")],
        "components": [str(up / "components" / folder.name) for folder in COMPONENTS],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(content))
    together = added(kustomize(tmp_path), kustomize(BASE))
    apart = [added(kustomize(folder), kustomize(BASE)) for folder in OVERLAYS]
    assert together == set().union(*apart)


@pytest.mark.parametrize(
    ("overlay", "sources"),
    [
        ("direct", ["scrape"]),
        ("floor", ["scrape"]),
        ("placeholders", ["scrape"]),
        ("pod-deletion-cost", ["scrape"]),
        ("prometheus", ["scrape", "prometheus"]),
        ("gke-workload-identity", ["scrape", "cloudMonitoring"]),
    ],
)
def test_sources_in_order_of_priority(overlay: str, sources: list[str], kustomize: Build, one: One) -> None:
    content = configuration(kustomize(CONTROLLER / "overlays" / overlay), one)
    assert [next(key for key in each if key != "name") for each in content["sources"]] == sources


@pytest.mark.parametrize(
    ("overlay", "kind"), [("pod-monitor", "PodMonitor"), ("pod-monitoring", "PodMonitoring")], ids=lambda each: each
)
def test_a_monitor_names_the_page_of_the_controllers_pods(
    overlay: str, kind: MonitorKind, kustomize: Build, one: One
) -> None:
    """As the adapter reads such an object: the named port is the pods' own, and nothing of it is left out."""
    objects = kustomize(CONTROLLER / "overlays" / overlay)
    monitor = prune_monitor(kind, one(objects, kind))
    (endpoint,) = monitor.endpoints
    deployment = one(objects, "Deployment")
    template = deployment["spec"]["template"]
    (port,) = template["spec"]["containers"][0]["ports"]
    annotations = template["metadata"]["annotations"]
    assert monitor.notes == ()
    assert monitor.namespaces == frozenset({deployment["metadata"]["namespace"]})
    assert monitor.selector.matches(template["metadata"]["labels"])
    assert (endpoint.port, endpoint.path) == (port["name"], annotations["prometheus.io/path"])
    assert str(port["containerPort"]) == annotations["prometheus.io/port"]


def test_placeholders_have_the_priority_class_that_the_crd_names_by_default(kustomize: Build, one: One) -> None:
    """-10 is the lowest priority at which the cluster autoscaler brings a node for a pending pod."""
    priority = one(kustomize(CONTROLLER / "overlays" / "placeholders"), "PriorityClass")
    assert priority["metadata"]["name"] == Placeholders().priority_class_name
    assert (priority["value"], priority["preemptionPolicy"]) == (-10, "Never")
    assert "globalDefault" not in priority


def test_the_way_to_the_metadata_server_is_open_on_gke(kustomize: Build, one: One) -> None:
    objects = kustomize(CONTROLLER / "overlays" / "gke-workload-identity")
    assert "annotations" not in one(objects, "ServiceAccount")["metadata"], "it acts as itself, not as a Google one"
    policy = one(objects, "NetworkPolicy", "leadtime-controller-metadata-server")["spec"]
    assert policy["podSelector"] == one(objects, "NetworkPolicy", "leadtime-controller")["spec"]["podSelector"]
    ports = {rule["to"][0]["ipBlock"]["cidr"]: [port["port"] for port in rule["ports"]] for rule in policy["egress"]}
    assert ports == {"169.254.169.254/32": [80, 8080], "169.254.169.252/32": [987, 988]}
