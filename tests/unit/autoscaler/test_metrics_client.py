"""The metrics client: quantities as Kubernetes reads them, and every failure a MetricError with its reason."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from adapter.sources.kubernetes.client import KubeClient
from autoscaler.metrics_client import MetricsClient, quantity_milli
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    MetricQuery,
    ObjectMetric,
    PodMetrics,
    PodSample,
)

QUEUE = MetricQuery(type="Pods", name="vllm:num_requests_waiting", selector=(("engine", "0"),))


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("12500m", 12_500),
        ("92", 92_000),
        ("12k", 12_000_000),
        ("1Ki", 1_024_000),
        ("250u", 1),  # rounded up, as MilliValue does
        ("1e3", 1_000_000),
        ("-500m", -500),
        ("0", 0),
    ],
)
def test_quantities_become_milli_units(text: str, milli: int) -> None:
    assert quantity_milli(text) == milli


@pytest.mark.parametrize("text", ["", "abc", "1x", "NaN", "m", "Infinity"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity: was"):
        quantity_milli(text)


@asynccontextmanager
async def served(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[MetricsClient]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = KubeClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        yield MetricsClient(api)
    finally:
        await api.close()
        await runner.cleanup()


async def test_pods_metrics_are_asked_for_as_the_hpa_asks() -> None:
    asked: list[web.Request] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request)
        item = {
            "describedObject": {"kind": "Pod", "name": "vllm-0", "namespace": "llm"},
            "timestamp": "2023-11-16T18:15:45Z",
            "windowSeconds": 30,
            "value": "12500m",
        }
        return web.json_response({"items": [item]})

    async with served(answer) as client:
        got = await client.observe("llm", QUEUE, "app=vllm,tier in (a,b)")
    assert asked[0].path == ("/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods/*/vllm:num_requests_waiting")
    assert dict(asked[0].query) == {"labelSelector": "app=vllm,tier in (a,b)", "metricLabelSelector": "engine=0"}
    assert isinstance(got, PodMetrics)
    sample = got.samples["vllm-0"]
    assert (sample.value_milli, sample.at_ns, sample.window_ns) == (
        12_500,
        1_700_158_545 * NS_PER_SECOND,
        30 * NS_PER_SECOND,
    )


async def test_external_names_travel_in_lower_case() -> None:
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"items": [{"value": "87"}, {"value": "12"}]})

    async with served(answer) as client:
        got = await client.observe("llm", MetricQuery(type="External", name="DCGM_FI_DEV_GPU_UTIL"))
    assert asked == ["/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/dcgm_fi_dev_gpu_util"]
    assert got == ExternalMetric((87_000, 12_000))


@pytest.mark.parametrize(
    ("response", "named"),
    [
        pytest.param(
            web.json_response({"reason": "NotFound", "message": "no such metric"}, status=404),
            "404 NotFound: /apis/external.metrics.k8s.io/v1beta1/namespaces/llm/queue: no such metric",
            id="a-status-keeps-its-reason",
        ),
        pytest.param(web.json_response({"items": []}), "no metrics returned", id="empty-is-an-error-not-zero"),
        pytest.param(web.Response(text="service unavailable", status=503), "503", id="plain-text-503"),
        pytest.param(web.json_response({"items": [{"value": "NaN"}]}), "quantity", id="nan-is-refused"),
        pytest.param(web.json_response([]), "no object", id="another-shape"),
        pytest.param(web.json_response({"items": [{}]}), "GET /apis", id="an-item-without-a-value"),
    ],
)
async def test_every_failure_is_a_metric_error(response: web.Response, named: str) -> None:
    async with served(lambda _: response) as client:
        got = await client.observe("llm", MetricQuery(type="External", name="queue"))
    assert isinstance(got, MetricError)
    assert named in got.message


async def test_nobody_listening_is_a_metric_error() -> None:
    api = KubeClient(Configuration(host="http://127.0.0.1:9"))
    try:
        got = await MetricsClient(api).observe("llm", MetricQuery(type="External", name="queue"))
    finally:
        await api.close()
    assert isinstance(got, MetricError)


def usage_of(name: str, containers: dict[str, dict[str, str]], window: str = "15s") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "timestamp": "2023-11-16T18:15:45Z",
        "window": window,
        "containers": [{"name": container, "usage": usage} for container, usage in containers.items()],
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            MetricQuery(type="Resource", name="cpu"), {"a": 351, "c": 100}, id="a-pod-is-the-sum-of-its-containers"
        ),
        pytest.param(
            MetricQuery(type="ContainerResource", name="cpu", container="server"),
            {"a": 250, "b": 40},
            id="one-container-of-each-pod-that-has-it",
        ),
    ],
)
async def test_resource_usage_leaves_out_pods_of_which_a_part_is_unknown(
    query: MetricQuery, expected: dict[str, int]
) -> None:
    """100000001n is 100.000001 milli, and rounds up as MilliValue does."""
    items = [
        usage_of("a", {"server": {"cpu": "250m"}, "sidecar": {"cpu": "100000001n"}}),
        usage_of("b", {"server": {"cpu": "40m"}, "sidecar": {"memory": "1Mi"}}),
        usage_of("c", {"other": {"cpu": "100m"}}, window="1m0.5s"),
        usage_of("d", {}),
    ]
    asked: list[web.Request] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.json_response({"items": items})

    async with served(answer) as client:
        got = await client.observe("llm", query, "app=vllm")
    assert asked[0].path == "/apis/metrics.k8s.io/v1beta1/namespaces/llm/pods"
    assert dict(asked[0].query) == {"labelSelector": "app=vllm"}
    assert isinstance(got, PodMetrics)
    assert {name: sample.value_milli for name, sample in got.samples.items()} == expected
    if "c" in got.samples:
        at_ns = 1_700_158_545 * NS_PER_SECOND
        assert got.samples["c"] == PodSample(value_milli=100, at_ns=at_ns, window_ns=60_500_000_000)


@pytest.mark.parametrize(
    ("object_name", "path"),
    [
        ("Service/vllm", "/namespaces/llm/services/vllm/hits"),
        ("Deployment/vllm", "/namespaces/llm/deployments.apps/vllm/hits"),
        ("Namespace/other", "/namespaces/llm/metrics/hits"),
    ],
)
async def test_an_object_metric_is_one_value(object_name: str, path: str) -> None:
    """Of a Namespace only its own: an HPA's reference does not reach out of it."""
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"items": [{"value": "7500m"}]})

    async with served(answer) as client:
        got = await client.observe("llm", MetricQuery(type="Object", name="hits", object_name=object_name))
    assert asked == [f"/apis/custom.metrics.k8s.io/v1beta2{path}"]
    assert got == ObjectMetric(7500)


async def test_an_object_of_a_kind_whose_resource_is_not_known_says_so() -> None:
    async with served(lambda _: web.json_response({})) as client:
        got = await client.observe("llm", MetricQuery(type="Object", name="hits", object_name="Queue/q"))
    assert got == MetricError(
        "describedObject.kind: was 'Queue', must be one of Deployment, HTTPRoute, InferencePool, Ingress, Namespace, "
        "Pod, Service, StatefulSet; use another metric"
    )
