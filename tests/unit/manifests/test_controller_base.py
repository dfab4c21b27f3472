"""The controller's base: what is mounted, probed, served and elected fits together, and what it is told is taken."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from aiohttp import web
from typer.testing import CliRunner

from autoscaler.act.published import METRIC_NAME, PublishedNeeds
from autoscaler.cli import app
from autoscaler.configuration_file import read_configuration
from autoscaler.controller import _STOP_SECONDS
from autoscaler.crd.custom_resource import manifest
from autoscaler.explain.own_metrics import ControllerMetrics
from autoscaler.http import application
from autoscaler.lead_times.store import DEFAULT_MAX_BYTES
from autoscaler.settings import ControllerSettings

ROOT = Path(__file__).parents[3]
CONTROLLER = ROOT / "manifests" / "controller"
BASE = CONTROLLER / "base"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CONFIG_FILE = BASE / "config" / "controller.yaml"
CONFIG = read_configuration(CONFIG_FILE)
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
GIB = 1024**3

Objects = list[dict[str, Any]]
One = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def pod(controller_base: Objects, one: One) -> dict[str, Any]:
    """The Deployment's pod template."""
    template: dict[str, Any] = one(controller_base, "Deployment")["spec"]["template"]
    return template


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for path in CONTROLLER.rglob("kustomization.yaml")),
    ids=lambda folder: str(folder.relative_to(CONTROLLER)),
)
def test_every_file_beside_a_kustomization_is_listed_in_it(folder: Path) -> None:
    """A file that nobody lists is applied by nobody; a listed one that is not there fails the build."""
    content = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = {name for name in content["resources"] if name.endswith(".yaml")}
    listed |= {name for each in content.get("configMapGenerator", ()) for name in each.get("files", ())}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")} - {"kustomization.yaml"}
    assert listed == there
    folders = [name for name in content["resources"] if not name.endswith(".yaml")] + content.get("components", [])
    assert all((folder / name / "kustomization.yaml").is_file() for name in folders)


def test_the_crd_is_the_one_that_the_models_make() -> None:
    assert (BASE / "crd.yaml").read_text() == manifest()


def test_the_container_runs_the_controller_with_its_mounted_configuration(container: dict[str, Any]) -> None:
    """The file that the arguments name lies in the mounted folder, as kustomize's generator puts it there."""
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    (folder,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config")
    command, *arguments = container["args"]
    assert arguments == [f"--config={folder}/{Path(name).name}" for name in generator["files"]]
    group: Any = typer.main.get_command(app)
    context = group.commands[command].make_context(command, [f"--config={CONFIG_FILE}"])
    assert context.params["config"] == CONFIG_FILE


@pytest.mark.parametrize(
    "path", sorted(CONTROLLER.rglob("controller.yaml")), ids=lambda path: str(path.parent.relative_to(CONTROLLER))
)
def test_every_configuration_passes_the_controllers_own_check(path: Path, tmp_path: Path) -> None:
    """With the names that are one's own filled in."""
    text = path.read_text().replace("PROJECT_ID", "my-project").replace("CLUSTER_NAME", "my-cluster")
    (tmp_path / "controller.yaml").write_text(text)
    done = CliRunner().invoke(app, ["run", "--check", "--config", str(tmp_path / "controller.yaml")])
    assert done.exit_code == 0, done.output
    assert "good" in done.output


def test_what_the_configuration_says_outright_are_the_defaults() -> None:
    """Whoever leaves a section out gets what these manifests are for; only the source has a name here."""
    told = CONFIG.model_dump()
    for source in told["sources"]:
        source["name"] = None
    assert told == ControllerSettings().model_dump()


def test_probes_ask_paths_and_ports_that_are_served(container: dict[str, Any]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    metrics = ControllerMetrics(PublishedNeeds(lambda: True), lambda: True, lambda: 0)
    served = paths(application(metrics=metrics.page, not_ready=lambda: ()))
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        asked = container[probe]["httpGet"]
        assert asked["path"] == path
        assert asked["path"] in served
        assert asked.get("scheme", "HTTP") == "HTTP"
        assert ports[asked["port"]] == CONFIG.server.port


def paths(served: web.Application) -> set[str]:
    return {route.resource.canonical for route in served.router.routes() if route.resource is not None}


def test_the_page_of_metrics_is_found_by_its_annotations(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """By the metrics adapter, for mode Metric, and by any Prometheus that follows them."""
    annotations = pod["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(container["ports"][0]["containerPort"]),
        "prometheus.io/path": "/metrics",
    }
    metrics = ControllerMetrics(PublishedNeeds(lambda: True), lambda: True, lambda: 0)
    served = application(metrics=metrics.page, not_ready=lambda: ())
    assert annotations["prometheus.io/path"] in paths(served)
    assert METRIC_NAME in metrics.page().decode()


def test_mounts_are_of_volumes_that_exist_and_what_is_written_has_a_place(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    """The root file system is for reading. A new emptyDir belongs to fsGroup, which is the process's own group."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    generated = {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}
    assert {each["configMap"]["name"] for each in volumes.values() if "configMap" in each} == generated
    assert {name for name, mount in mounts.items() if not mount.get("readOnly")} == {"store", "tmp"}
    assert Path(CONFIG.store.path).parent == Path(mounts["store"]["mountPath"])
    assert all("emptyDir" in volumes[name] for name in ("store", "tmp"))
    assert pod["spec"]["securityContext"]["fsGroup"] == pod["spec"]["securityContext"]["runAsGroup"]


def test_the_stores_volume_holds_the_largest_file_and_one_that_was_put_aside(pod: dict[str, Any]) -> None:
    """A pod that goes over its sizeLimit is evicted, and the leadership with it."""
    (store,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "store")
    limit = re.fullmatch(r"(\d+)Gi", store["emptyDir"]["sizeLimit"])
    assert limit is not None
    assert int(limit[1]) * GIB > 2 * DEFAULT_MAX_BYTES


def test_the_pod_may_do_nothing_that_it_need_not(
    controller_base: Objects, one: One, pod: dict[str, Any], container: dict[str, Any]
) -> None:
    """The Pod Security Standard `restricted`, which its namespace enforces, and a root file system for reading."""
    labels = one(controller_base, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
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


def test_one_replica_is_always_there_and_has_the_time_to_hand_over(
    controller_base: Objects, one: One, pod: dict[str, Any]
) -> None:
    """Steps under way end, and the Lease is released, before the kubelet kills the process."""
    deployment = one(controller_base, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert one(controller_base, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    left_seconds = pod["spec"]["terminationGracePeriodSeconds"] - _STOP_SECONDS
    assert left_seconds >= CONFIG.leader_election.renew_deadline_seconds


def test_every_selector_finds_the_controllers_pods_and_no_adapters(
    controller_base: Objects, base: Objects, one: One, pod: dict[str, Any]
) -> None:
    labels = pod["metadata"]["labels"].items()
    selectors = [
        one(controller_base, "Service")["spec"]["selector"],
        one(controller_base, "Deployment")["spec"]["selector"]["matchLabels"],
        one(controller_base, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(controller_base, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod["spec"]["topologySpreadConstraints"]),
    ]
    adapter = one(base, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert all(selector and selector.items() <= labels and not selector.items() <= adapter for selector in selectors)


def test_the_service_leads_to_the_page(controller_base: Objects, one: One, container: dict[str, Any]) -> None:
    """`leadtime explain` asks the port `http` of this name through the API server."""
    service = one(controller_base, "Service")
    (port,) = service["spec"]["ports"]
    assert (service["metadata"]["name"], port["name"]) == ("leadtime-controller", "http")
    assert port["targetPort"] in {each["name"] for each in container["ports"]}


def test_the_lease_is_the_one_that_the_role_is_for(controller_base: Objects, one: One) -> None:
    role = one(controller_base, "Role")
    named = [name for rule in role["rules"] for name in rule.get("resourceNames", ())]
    assert named == [CONFIG.leader_election.lease_name]
    assert role["metadata"]["namespace"] == CONFIG.namespace
    assert one(controller_base, "Namespace")["metadata"]["name"] == CONFIG.namespace
    assert one(controller_base, "Deployment")["metadata"]["namespace"] == CONFIG.namespace


def test_every_binding_is_to_the_controllers_service_account(controller_base: Objects, one: One) -> None:
    account = one(controller_base, "ServiceAccount")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    bindings = {
        (each["kind"], each["metadata"].get("namespace"), each["roleRef"]["kind"], each["roleRef"]["name"]): each
        for each in controller_base
        if each["kind"].endswith("Binding")
    }
    assert bindings.keys() == {
        ("ClusterRoleBinding", None, "ClusterRole", "leadtime-controller"),
        ("RoleBinding", "leadtime-system", "Role", "leadtime-controller-leader-election"),
    }
    assert all(binding["subjects"] == [subject] for binding in bindings.values())
    assert one(controller_base, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]


def test_people_get_the_objects_by_the_clusters_own_roles(controller_base: Objects, one: One) -> None:
    """Status is the controller's to write: nobody else is given the subresource."""
    for role, whose, verbs in (
        ("leadtime-predictiveautoscalers-view", {"view"}, {"get", "list", "watch"}),
        (
            "leadtime-predictiveautoscalers-edit",
            {"edit", "admin"},
            {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
        ),
    ):
        found = one(controller_base, "ClusterRole", role)
        labels = found["metadata"]["labels"]
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        assert {label.removeprefix(prefix) for label in labels if label.startswith(prefix)} == whose
        (rule,) = found["rules"]
        assert (rule["apiGroups"], rule["resources"]) == (["autoscaling.leadtime.dev"], ["predictiveautoscalers"])
        assert set(rule["verbs"]) == verbs


def test_the_network_policy_lets_through_what_is_needed(
    controller_base: Objects, one: One, container: dict[str, Any]
) -> None:
    policy = one(controller_base, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in policy["ingress"]] == [
        [{"protocol": "TCP", "port": port["containerPort"]} for port in container["ports"]]
    ]
    anywhere = {port["port"] for rule in policy["egress"] if "to" not in rule for port in rule["ports"]}
    assert anywhere == {53, 443, 6443}
    (pages,) = (rule for rule in policy["egress"] if "to" in rule)
    assert pages["to"] == [{"namespaceSelector": {}}]
    for port in (80, 4318, 8000, 8002, 8080, 8082, 9090):  # TGI, OpenTelemetry, vLLM, Triton, ..., Prometheus
        assert any(each["port"] <= port <= each.get("endPort", each["port"]) for each in pages["ports"])


def test_the_image_and_the_labels_name_this_version(container: dict[str, Any]) -> None:
    assert container["image"] == f"leadtime-controller:{VERSION}"
    assert KUSTOMIZATION["images"] == [{"name": "leadtime-controller", "newTag": VERSION}]
    assert KUSTOMIZATION["labels"][0]["pairs"]["app.kubernetes.io/version"] == VERSION
