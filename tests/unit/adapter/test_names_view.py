"""Labels of series under plain names and under Stackdriver names."""

from adapter.names.view import PLAIN, Place, View, answered, labels
from adapter.sources.pods import PodInfo
from adapter.sources.series import PodKey, Series

PLACE = Place(project="p", location="us-central1", cluster="gpu")
POD = PodInfo(
    labels={"app": "vllm", "engine": "blue"},
    node="node-1",
    owners=(("replicasets.apps", "vllm-5d4f"), ("deployments.apps", "vllm")),
)
KEY = PodKey("llm", "vllm-0")
GMP = View("stackdriver", "prometheus_target")
CONTAINER = View("stackdriver", "k8s_container")


def series(pod: PodKey | None = KEY, resource: dict[str, str] | None = None, **own: str) -> Series:
    return Series(own, 1.0, 0, pod, resource_labels=resource or {})


def test_a_plain_series_has_its_pods_labels_over_the_exporters_which_move() -> None:
    assert labels(PLAIN, series(engine="0", model_name="llama"), POD, PLACE) == {
        "app": "vllm",
        "engine": "blue",
        "exported_engine": "0",
        "model_name": "llama",
        "namespace": "llm",
        "pod": "vllm-0",
    }


def test_a_plain_series_of_no_pod_shows_what_it_was_measured_on() -> None:
    one = series(None, {"type": "pubsub_subscription", "subscription_id": "jobs"}, shard="1")
    assert labels(PLAIN, one, None, PLACE) == {
        "resource_type": "pubsub_subscription",
        "subscription_id": "jobs",
        "shard": "1",
    }


def test_a_scraped_series_looks_as_managed_prometheus_would_store_it() -> None:
    assert labels(GMP, series(model_name="llama"), POD, PLACE) == {
        "metric.labels.model_name": "llama",
        "metric.labels.pod": "vllm-0",
        "resource.type": "prometheus_target",
        "resource.labels.project_id": "p",
        "resource.labels.location": "us-central1",
        "resource.labels.cluster": "gpu",
        "resource.labels.namespace": "llm",
        "metadata.user_labels.app": "vllm",
        "metadata.user_labels.engine": "blue",
        "metadata.system_labels.node_name": "node-1",
        "metadata.system_labels.top_level_controller_name": "vllm",
        "metadata.system_labels.top_level_controller_type": "Deployment",
    }


def test_prometheus_job_and_instance_are_the_resources() -> None:
    shown = labels(GMP, series(job="vllm", instance="10.0.0.7:8000"), None, PLACE)
    assert shown["resource.labels.job"] == "vllm"
    assert shown["resource.labels.instance"] == "10.0.0.7:8000"
    assert not {"metric.labels.job", "metric.labels.instance"} & shown.keys()


def test_what_is_not_known_is_not_shown() -> None:
    shown = labels(GMP, series(), None)
    assert shown == {
        "metric.labels.pod": "vllm-0",
        "resource.labels.namespace": "llm",
        "resource.type": "prometheus_target",
    }


def test_dcgms_container_is_the_workloads() -> None:
    """Straight from the exporter it is `container`; behind Prometheus that is the exporter's own."""
    for one in (series(container="server"), series(exported_container="server", container="dcgm-exporter")):
        assert (
            labels(CONTAINER, one, POD, PLACE).items()
            >= {
                "resource.type": "k8s_container",
                "resource.labels.cluster_name": "gpu",
                "resource.labels.namespace_name": "llm",
                "resource.labels.pod_name": "vllm-0",
                "resource.labels.container_name": "server",
            }.items()
        )


def test_cloud_monitorings_own_resource_stays_as_it_is() -> None:
    own = {"type": "k8s_container", "project_id": "other", "container_name": "server", "pod_name": "vllm-0"}
    shown = labels(CONTAINER, series(KEY, own, make="nvidia"), None, PLACE)
    assert shown == {
        "metric.labels.make": "nvidia",
        "resource.type": "k8s_container",
        "resource.labels.project_id": "other",
        "resource.labels.container_name": "server",
        "resource.labels.pod_name": "vllm-0",
    }


def test_managed_prometheus_series_name_their_pod_among_the_metrics_labels() -> None:
    shown = labels(GMP, series(KEY, {"type": "prometheus_target", "namespace": "llm"}), None, PLACE)
    assert shown["metric.labels.pod"] == "vllm-0"


def test_an_answer_carries_no_metadata_as_the_stackdriver_adapters() -> None:
    shown = labels(GMP, series(), POD, PLACE)
    assert {key.partition(".")[0] for key in answered(GMP, shown)} == {"metric", "resource"}
    assert answered(PLAIN, {"metadata.x": "y"}) == {"metadata.x": "y"}
