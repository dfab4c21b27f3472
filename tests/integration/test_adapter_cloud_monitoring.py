"""Cloud Monitoring behind the adapter: GKE's duty cycle, a metric that is collected because it is asked for, quota."""

import re
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from adapter_world import EXTERNAL, PODS, START_SECOND, Configuration, configuration, running
from google.api import metric_pb2
from google.cloud.monitoring_v3 import types

DUTY_CYCLE = "kubernetes.io|container|accelerator|duty_cycle"
UNDELIVERED = "pubsub.googleapis.com|subscription|num_undelivered_messages"


class FakeMonitoring:
    """A MetricService that knows the duty cycle of vllm-0 and one subscription, at START_SECOND.

    is_throttling: every call is refused for its quota.
    """

    def __init__(self) -> None:
        self.is_throttling = False
        workload = {"namespace_name": "llm", "pod_name": "vllm-0", "container_name": "vllm"}
        place = {"project_id": "project", "location": "us-central1", "cluster_name": "gpus"}
        self._series = {
            DUTY_CYCLE: ("k8s_container", {**place, **workload}, 87.5),
            UNDELIVERED: ("pubsub_subscription", {"project_id": "project", "subscription_id": "jobs"}, 12.0),
        }

    @contextmanager
    def served(self) -> Iterator[str]:
        handlers = {
            "ListTimeSeries": grpc.unary_unary_rpc_method_handler(
                self._list_time_series,
                request_deserializer=types.ListTimeSeriesRequest.deserialize,
                response_serializer=types.ListTimeSeriesResponse.serialize,
            ),
            "GetMetricDescriptor": grpc.unary_unary_rpc_method_handler(
                self._get_metric_descriptor,
                request_deserializer=types.GetMetricDescriptorRequest.deserialize,
                response_serializer=metric_pb2.MetricDescriptor.SerializeToString,
            ),
        }
        server = grpc.server(futures.ThreadPoolExecutor(4))
        service = grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", handlers)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()

    def _list_time_series(self, request: Any, context: grpc.ServicerContext) -> Any:
        metric_type = self._found(re.findall(r'metric\.type = "([^"]*)"', request.filter)[0], context)
        answer = types.ListTimeSeriesResponse.pb(types.ListTimeSeriesResponse())
        resource_type, labels, value = self._series[metric_type.replace("/", "|")]
        series = answer.time_series.add()
        series.metric.type, series.resource.type = metric_type, resource_type
        series.resource.labels.update(labels)
        series.metric_kind, series.value_type = 1, 3  # GAUGE, DOUBLE
        point = series.points.add()
        point.interval.start_time.seconds = point.interval.end_time.seconds = START_SECOND
        point.value.double_value = value
        return types.ListTimeSeriesResponse(answer)

    def _get_metric_descriptor(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._found(request.name.partition("/metricDescriptors/")[2], context)
        return metric_pb2.MetricDescriptor(metric_kind=1, value_type=3)

    def _found(self, metric_type: str, context: grpc.ServicerContext) -> str:
        if self.is_throttling:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded for 'Time series queries'")
        if metric_type.replace("/", "|") not in self._series:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Cannot find metric(s) that match type = {metric_type}")
        return metric_type


@pytest.fixture
def monitoring() -> FakeMonitoring:
    return FakeMonitoring()


def asking(folder: Path, endpoint: str) -> Configuration:
    """Of one pod without a page."""
    (folder / "targets.json").write_text('[{"targets": [], "labels": {"namespace": "llm", "pod": "vllm-0"}}]')
    place = {"project": "project", "location": "us-central1", "cluster": "gpus"}
    cloud = {**place, "endpoint": endpoint, "plaintext": True, "requestsPerMinute": 60_000}
    return configuration(folder, sources=[{"cloudMonitoring": cloud}])


async def test_an_hpa_written_for_the_stackdriver_adapter_finds_the_duty_cycle(
    tmp_path: Path, monitoring: FakeMonitoring
) -> None:
    """As Pods and as External with its selector, with the sample's own time, percent as percent."""
    with monitoring.served() as endpoint:
        async with running(tmp_path, asking(tmp_path, endpoint)) as adapter:
            adapter.clock.second += 100
            await adapter.collect()
            assert await adapter.values(DUTY_CYCLE) == {"vllm-0": "87500m"}
            assert await adapter.times(DUTY_CYCLE) == {"vllm-0": "22:13:20Z"}
            selector = "resource.labels.cluster_name%3Dgpus,resource.type%3Dk8s_container"
            (item,) = (await adapter.get_json(f"{EXTERNAL}/{DUTY_CYCLE}?labelSelector={selector}"))["items"]
            assert item["value"] == "87500m"


async def test_a_metric_that_no_rule_has_is_there_with_the_collection_after_its_first_request(
    tmp_path: Path, monitoring: FakeMonitoring
) -> None:
    path = f"{EXTERNAL}/{UNDELIVERED}?labelSelector=resource.labels.subscription_id%3Djobs"
    with monitoring.served() as endpoint:
        async with running(tmp_path, asking(tmp_path, endpoint)) as adapter:
            await adapter.collect()
            code, message = await adapter.refusal(path)
            assert (code, message.endswith("source cloudMonitoring has not been asked yet")) == (503, True), message
            await adapter.collect(after_seconds=30)
            (item,) = (await adapter.get_json(path))["items"]
            assert item["value"] == "12000m"


async def test_throttling_is_told_as_throttling_and_never_as_a_metric_that_is_not_there(
    tmp_path: Path, monitoring: FakeMonitoring
) -> None:
    """From the start; then the last values stay for 60 s and the source's lag of 240; then it is told again."""
    monitoring.is_throttling = True
    with monitoring.served() as endpoint:
        async with running(tmp_path, asking(tmp_path, endpoint)) as adapter:
            await adapter.collect()
            for path in (f"{PODS}/*/{DUTY_CYCLE}", f"{EXTERNAL}/{DUTY_CYCLE}"):
                code, message = await adapter.refusal(path)
                assert (code, "throttled project project (Quota exceeded" in message) == (503, True), message
            monitoring.is_throttling = False
            await adapter.collect(after_seconds=15)
            monitoring.is_throttling = True
            await adapter.collect(after_seconds=285 - 1)
            assert await adapter.values(DUTY_CYCLE) == {"vllm-0": "87500m"}
            own = await adapter.own_metrics()
            assert own['leadtime_adapter_source_failures_total{reason="throttled",source="cloudMonitoring"}'] >= 2
            adapter.clock.second += 2
            for path in (f"{PODS}/*/{DUTY_CYCLE}", f"{EXTERNAL}/{DUTY_CYCLE}"):
                code, message = await adapter.refusal(path)
                assert (code, "last sample 302 s old" in message, "throttled" in message) == (503, True, True), message
