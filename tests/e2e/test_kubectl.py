"""What people see who type kubectl: HPAs on the adapter's metrics, its APIs, and all other resources beside them."""

import re
from collections.abc import Iterator

import pytest
from discovery import DISCOVERY, V2, V2_BETA1, group_versions
from exporter_script import by_age
from gpu_cluster import NEVER_SECONDS, service
from kubectl import columns, kubectl, shown
from scenario import World

pytestmark = pytest.mark.e2e

NAMESPACE = "typed"
RUNNING, DUTY_CYCLE = "vllm:num_requests_running", "kubernetes.io|container|accelerator|duty_cycle"
MISSPELLED = "vllm:num_request_waiting"
CUSTOM, EXTERNAL = "custom.metrics.k8s.io", "external.metrics.k8s.io"
OURS = (f"{CUSTOM}/v1beta2", f"{CUSTOM}/v1beta1", f"{EXTERNAL}/v1beta1")

TABLE = ",".join(  # kubectl v0.36.3 pkg/cmd/get/get.go
    [*(f"application/json;as=Table;v={version};g=meta.k8s.io" for version in ("v1", "v1beta1")), "application/json"]
)


@pytest.fixture(scope="module")
def typed(world: World) -> Iterator[World]:
    """A Deployment with an HPA for each kind of metric, and one whose metric is misspelled. The second pods never
    start: each HPA has scaled once, and stays there."""
    on_service = {
        "metric": {"name": RUNNING},
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "object"},
        "target": {"type": "Value", "value": "5"},
    }
    with world.scenario(NAMESPACE) as scenario:
        for app in ("pods", "external", "object", "misspelled"):
            scenario.runs("vllm", app, pull_seconds=NEVER_SECONDS)
        world.plane.api.apply(service(NAMESPACE, "object", "vllm"))
        scenario.shows({RUNNING: by_age(17)}, app="pods")
        scenario.shows({"DCGM_FI_DEV_GPU_UTIL": by_age(85)}, app="external")
        scenario.shows({RUNNING: by_age(8)}, app="object")
        metrics = [{"type": "Object", "object": on_service}]
        hpas = [
            (scenario.autoscales("hpa-batch-size.yaml", target="pods", name="pods"), RUNNING, 17.0),
            (scenario.autoscales("hpa-duty-cycle.yaml", target="external", name="external"), DUTY_CYCLE, 42.5),
            (scenario.autoscales("hpa-queue.yaml", target="object", name="object", metrics=metrics), RUNNING, 8.0),
        ]
        misspelled = scenario.autoscales("hpa-queue.yaml", target="misspelled", name="misspelled", metric=MISSPELLED)
        for hpa, metric, value in hpas:
            hpa.wait_replicas(2, ready=False)
            hpa.wait_value(metric, value)
            hpa.wait(lambda _, hpa=hpa: any("New size: 2" in one.event for one in hpa.timeline), "told")
        misspelled.wait_condition("ScalingActive", "False", "FailedGetPodsMetric")
        yield world


def test_get_raw_prints_values_and_resources(typed: World) -> None:
    for path in (
        f"/apis/{CUSTOM}/v1beta2/namespaces/{NAMESPACE}/pods/*/{RUNNING}?labelSelector=app%3Dpods",
        f"/apis/{CUSTOM}/v1beta1/namespaces/{NAMESPACE}/deployments.apps/pods/{RUNNING}",
        f"/apis/{EXTERNAL}/v1beta1/namespaces/{NAMESPACE}/{RUNNING}?labelSelector=app%3Dpods",
    ):
        assert re.findall(r'"value":"(\d+)000m"', shown(typed.plane.admin, "get", "--raw", path)) == ["17"]
    for group_version in OURS:
        assert '"kind":"APIResourceList"' in shown(typed.plane.admin, "get", "--raw", f"/apis/{group_version}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param(
            f"{CUSTOM}/v1beta2/namespaces/{NAMESPACE}/pods/*/{MISSPELLED}",
            f"could not find the metric {MISSPELLED} for pods: no rule has this name; `leadtime adapter rules list` ",
            id="misspelled",
        ),
        pytest.param(
            f"{EXTERNAL}/v1beta1/namespaces/{NAMESPACE}/{RUNNING}?labelSelector=app%3Dnone",
            f"could not find the metric {RUNNING} for provided labels: its source gives no series that this request ",
            id="selector-of-nothing",
        ),
        pytest.param(
            f"{CUSTOM}/v1beta2/namespaces/{NAMESPACE}/pods/*/tgi_queue_size",
            "could not find the metric tgi_queue_size for pods: source pods gives no series of it",
            id="of-no-page",
        ),
    ],
)
def test_get_raw_says_in_one_line_why_there_is_no_value(typed: World, path: str, message: str) -> None:
    done = kubectl("get", "--raw", f"/apis/{path}", kubeconfig=typed.plane.admin)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error from server (NotFound): the server {message}")
    assert done.stderr.count("\n") == 1


def test_get_hpa_shows_current_and_target(typed: World) -> None:
    table = columns(shown(typed.plane.admin, "get", "hpa", "--namespace", NAMESPACE))
    assert {row["NAME"]: (row["TARGETS"], row["REPLICAS"]) for row in table} == {
        "pods": ("17/10", "2"),
        "external": ("42500m/60 (avg)", "2"),
        "object": ("8/5", "2"),
        "misspelled": ("<unknown>/5", "1"),
    }


@pytest.mark.parametrize(
    ("name", "metric", "of", "reason"),
    [
        ("pods", f'"{RUNNING}" on pods: 17 / 10', f"pods metric {RUNNING}", f"pods metric {RUNNING} above target"),
        (
            "external",
            f'"{DUTY_CYCLE}" (target average value): 42500m / 60',
            f"external metric {DUTY_CYCLE}(&LabelSelector",
            f"external metric {DUTY_CYCLE}(&LabelSelector",
        ),
        ("object", f'"{RUNNING}" on Service/object (target value): 8 / 5', f"Service metric {RUNNING}", "above target"),
    ],
    ids=["pods", "external", "object"],
)
def test_describe_hpa_tells_metric_conditions_and_events(
    typed: World, name: str, metric: str, of: str, reason: str
) -> None:
    text = " ".join(shown(typed.plane.admin, "describe", "hpa", name, "--namespace", NAMESPACE).split())
    for expected in (
        f"Metrics: ( current / target ) {metric} Min replicas: 1",
        "Deployment pods: 2 current / 2 desired",
        f"ScalingActive True ValidMetricFound the HPA was able to successfully calculate a replica count from {of}",
        "ScalingLimited False DesiredWithinRange",
    ):
        assert expected in text
    (event,) = re.findall(r"Normal SuccessfulRescale \S+ horizontal-pod-autoscaler (New size: 2; reason: .*)", text)
    assert reason in event
    assert event.endswith("above target")


def test_describe_hpa_tells_what_to_do_about_a_misspelled_metric(typed: World) -> None:
    lines = shown(typed.plane.admin, "describe", "hpa", "misspelled", "--namespace", NAMESPACE).splitlines()
    (condition,) = (line for line in lines if line.split()[:1] == ["ScalingActive"])
    why = f"the server could not find the metric {MISSPELLED} for pods: no rule has this name; "
    assert condition.split()[:3] == ["ScalingActive", "False", "FailedGetPodsMetric"]
    assert condition.endswith(f"{why}`leadtime adapter rules list` prints those there are")
    assert any(line.split()[:2] == ["Warning", "FailedGetPodsMetric"] and why in line for line in lines)


def test_api_versions_and_resources_have_ours_beside_all_others(typed: World) -> None:
    """Of the custom group there is nothing to list, as with any adapter: its metrics are subresources."""
    versions = shown(typed.plane.admin, "api-versions").split()
    assert set(OURS) | {"v1", "apps/v1", "autoscaling/v2"} <= set(versions)
    kinds = {(row["APIVERSION"], row["KIND"]) for row in columns(shown(typed.plane.admin, "api-resources"))}
    assert {("v1", "Pod"), ("autoscaling/v2", "HorizontalPodAutoscaler")} <= kinds
    assert (f"{EXTERNAL}/v1beta1", "ExternalMetricValueList") in kinds
    assert columns(shown(typed.plane.admin, "api-resources", f"--api-group={CUSTOM}")) == []


def test_pods_are_the_core_groups_for_whoever_says_pods(typed: World) -> None:
    """Although the custom group has a resource of that name, too."""
    listed = columns(shown(typed.plane.admin, "get", "pods", "--namespace", NAMESPACE))
    assert sorted(row["STATUS"] for row in listed) == ["Pending"] * 3 + ["Running"] * 4
    for resource, kind in (("pods", "Pod"), ("hpa", "HorizontalPodAutoscaler")):
        assert re.search(rf"^KIND: +{kind}$", shown(typed.plane.admin, "explain", resource), re.MULTILINE)


def test_get_apiservices_shows_ours_available(typed: World) -> None:
    rows = {row["NAME"]: row for row in columns(shown(typed.plane.admin, "get", "apiservices"))}
    for group_version in OURS:
        group, version = group_version.split("/")
        row = rows[f"{version}.{group}"]
        assert (row["SERVICE"], row["AVAILABLE"]) == ("leadtime-system/leadtime-adapter", "True")


@pytest.mark.parametrize("accept", [DISCOVERY, f"{V2};profile=nopeer,{DISCOVERY}"], ids=["usual", "without-peers"])
def test_aggregated_discovery_has_our_metrics(typed: World, accept: str) -> None:
    reply = typed.plane.api.send("GET", "/apis", headers={"Accept": accept})
    assert reply.headers["Content-Type"].startswith(V2)
    found = group_versions(reply.json())
    assert {found[name]["freshness"] for name in OURS} == {"Current"}
    for name in OURS[:2]:
        (pods,) = (one for one in found[name]["resources"] if one["resource"] == "pods")
        assert {RUNNING, "DCGM_FI_DEV_GPU_UTIL"} <= {one["subresource"] for one in pods["subresources"]}
    assert [one["resource"] for one in found[OURS[2]]["resources"]] == ["externalmetrics"]


def test_older_kubectls_find_our_groups_one_by_one(typed: World) -> None:
    """Kubernetes 1.36 no longer has the discovery (v2beta1) that kubectl 1.26 to 1.29 ask for, but plain JSON."""
    accept = {"Accept": f"{V2_BETA1},application/json"}
    groups = typed.plane.api.send("GET", "/apis", headers=accept).json()
    assert groups["kind"] == "APIGroupList"
    preferred = {one["name"]: one["preferredVersion"]["version"] for one in groups["groups"]}
    assert (preferred[CUSTOM], preferred[EXTERNAL]) == ("v1beta2", "v1beta1")


@pytest.mark.parametrize(
    ("accept", "path", "kind"),
    [
        (TABLE, f"{CUSTOM}/v1beta2/namespaces/{NAMESPACE}/pods/*/{RUNNING}", "MetricValueList"),
        (TABLE, f"{EXTERNAL}/v1beta1/namespaces/{NAMESPACE}/{RUNNING}", "ExternalMetricValueList"),
        (DISCOVERY, f"{CUSTOM}/v1beta2", "APIResourceList"),
        (DISCOVERY, f"{EXTERNAL}/v1beta1", "APIResourceList"),
        (DISCOVERY, CUSTOM, "APIGroup"),
    ],
    ids=["values", "external-values", "version", "external-version", "group"],
)
def test_what_kubectl_would_rather_have_is_answered_as_plain_json(
    typed: World, accept: str, path: str, kind: str
) -> None:
    """We print no tables, and there is no aggregated discovery of one group; each header takes JSON, too."""
    reply = typed.plane.api.send("GET", f"/apis/{path}", headers={"Accept": accept})
    assert (reply.status, reply.headers["Content-Type"], reply.json()["kind"]) == (200, "application/json", kind)
