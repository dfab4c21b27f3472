"""The metrics client: quantities as Kubernetes reads them, and every failure a MetricError with its reason."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from autoscaler.metrics_client import MetricsClient, quantity_milli
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, MetricQuery, PodMetrics

QUEUE = MetricQuery(type="Pods", name="vllm:num_requests_waiting", selector=(("app", "vllm"),))


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
    client = MetricsClient(f"http://127.0.0.1:{runner.addresses[0][1]}", ssl.create_default_context())
    try:
        yield client
    finally:
        await client.close()
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
        got = await client.observe("llm", QUEUE)
    assert asked[0].path == ("/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods/*/vllm:num_requests_waiting")
    assert asked[0].query["labelSelector"] == "app=vllm"
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
            "404 NotFound: no such metric",
            id="a-status-keeps-its-reason",
        ),
        pytest.param(web.json_response({"items": []}), "no metrics returned", id="empty-is-an-error-not-zero"),
        pytest.param(web.Response(text="service unavailable", status=503), "GET /apis", id="plain-text-503"),
        pytest.param(web.json_response({"items": [{"value": "NaN"}]}), "quantity", id="nan-is-refused"),
        pytest.param(web.json_response([]), "GET /apis", id="another-shape"),
    ],
)
async def test_every_failure_is_a_metric_error(response: web.Response, named: str) -> None:
    async with served(lambda _: response) as client:
        got = await client.observe("llm", MetricQuery(type="External", name="queue"))
    assert isinstance(got, MetricError)
    assert named in got.message


async def test_nobody_listening_is_a_metric_error() -> None:
    client = MetricsClient("http://127.0.0.1:9", ssl.create_default_context())
    try:
        got = await client.observe("llm", MetricQuery(type="External", name="queue"))
    finally:
        await client.close()
    assert isinstance(got, MetricError)
