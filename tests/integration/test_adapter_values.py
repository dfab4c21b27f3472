"""What the HPA reads: values to the byte, selectors, names, and the reason where there is none."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from adapter_world import EXTERNAL, PAGE_0, PODS, START_SECOND, WAITING, Adapter, collected, running, workload

METRIC_404 = "the server could not find the metric"
NO_RULE = "no rule has this name; `leadtime adapter rules list` prints those there are"
NONE_SELECTED = "its source gives no series that this request selects; `leadtime adapter explain` shows more"
RESOURCE_404 = "the server could not find the requested resource"
STACKDRIVER = f"prometheus.googleapis.com|{WAITING}|gauge"


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with collected(tmp_path) as one:
        yield one


async def test_v1beta2_is_byte_for_byte_what_the_hpa_reads(adapter: Adapter) -> None:
    status, text = await adapter.get(f"{PODS}/vllm-0/{WAITING}")
    assert status == 200
    assert text == (
        '{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":['
        '{"describedObject":{"kind":"Pod","namespace":"llm","name":"vllm-0","apiVersion":"/v1"},'
        '"metric":{"name":"vllm:num_requests_waiting","selector":null},'
        '"timestamp":"2023-11-14T22:13:20Z","windowSeconds":0,"value":"12500m"}]}'
    )


async def test_v1beta1_has_the_older_field_names(adapter: Adapter) -> None:
    status, text = await adapter.get(f"{PODS}/vllm-0/vllm:kv_cache_usage_perc".replace("v1beta2", "v1beta1"))
    assert status == 200
    assert text == (
        '{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":['
        '{"describedObject":{"kind":"Pod","namespace":"llm","name":"vllm-0","apiVersion":"/v1"},'
        '"metricName":"vllm:kv_cache_usage_perc",'
        '"timestamp":"2023-11-14T22:13:20Z","window":0,"value":"500m","selector":null}]}'
    )


async def test_external_has_one_item_per_series_with_its_labels(adapter: Adapter) -> None:
    status, text = await adapter.get(f"{EXTERNAL}/{WAITING}?labelSelector=pod%3Dvllm-0,engine%3D1")
    assert status == 200
    assert text == (
        '{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":['
        '{"metricName":"vllm:num_requests_waiting","metricLabels":{"engine":"1","model_name":"llama","app":"vllm",'
        '"tier":"a","namespace":"llm","pod":"vllm-0"},"timestamp":"2023-11-14T22:13:20Z","window":0,"value":"9500m"}]}'
    )
    everything = await adapter.get_json(f"{EXTERNAL}/{WAITING}")
    assert [item["value"] for item in everything["items"]] == ["3000m", "9500m", "1000m"]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        pytest.param("", {"vllm-0": "12500m", "vllm-1": "1000m"}, id="every-pod"),
        pytest.param("?labelSelector=app%3Dvllm,tier!%3Da", {"vllm-1": "1000m"}, id="equal-and-unequal"),
        pytest.param("?labelSelector=tier+in+(a)", {"vllm-0": "12500m"}, id="in"),
        pytest.param("?labelSelector=tier+notin+(a,c)", {"vllm-1": "1000m"}, id="not-in"),
        pytest.param("?labelSelector=app,!canary", {"vllm-0": "12500m", "vllm-1": "1000m"}, id="there-or-not"),
        pytest.param("?metricLabelSelector=engine%3D0", {"vllm-0": "3000m", "vllm-1": "1000m"}, id="series"),
    ],
)
async def test_selectors_choose_pods_and_series(adapter: Adapter, query: str, values: dict[str, str]) -> None:
    assert await adapter.values(query=query) == values


async def test_a_metric_selector_is_told_back(adapter: Adapter) -> None:
    body = await adapter.get_json(f"{PODS}/*/{WAITING}?metricLabelSelector=engine%3D0")
    assert [item["metric"]["selector"] for item in body["items"]] == [{"matchLabels": {"engine": "0"}}] * 2


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("vllm%3Anum_requests_waiting", {"vllm-0": "12500m", "vllm-1": "1000m"}, id="percent-encoded"),
        pytest.param("vllm_queue_size", {"vllm-0": "12500m", "vllm-1": "1000m"}, id="an-alias"),
        pytest.param(STACKDRIVER.replace("|", "%7C"), {"vllm-0": "12500m", "vllm-1": "1000m"}, id="stackdrivers"),
        pytest.param("vllm:kv_cache_usage_perc", {"vllm-0": "500m", "vllm-1": "125m"}, id="new-name-of-an-old-page"),
        pytest.param("vllm:gpu_cache_usage_perc", {"vllm-0": "500m", "vllm-1": "125m"}, id="old-name-of-a-new-page"),
        pytest.param("DCGM_FI_DEV_GPU_UTIL", {"vllm-0": "60000m"}, id="a-gpu-is-its-workloads"),
    ],
)
async def test_a_value_is_found_under_each_of_its_names(adapter: Adapter, name: str, values: dict[str, str]) -> None:
    assert await adapter.values(name) == values
    assert await adapter.values(name, of=f"{PODS}/%2A") == values


@pytest.mark.parametrize(
    ("path", "values"),
    [
        pytest.param("/dcgm_fi_dev_gpu_util", ["40000m", "80000m"], id="in-lower-case"),
        pytest.param(
            f"/{STACKDRIVER.lower()}?labelSelector=metric.labels.pod%3Dvllm-0,resource.labels.namespace%3Dllm",
            ["3000m", "9500m"],
            id="by-stackdrivers-name-and-keys",
        ),
        pytest.param(f"/{STACKDRIVER}?labelSelector=reducer%3DREDUCE_MAX", ["9500m"], id="with-a-reducer"),
    ],
)
async def test_an_external_name_is_found_as_client_go_writes_it(adapter: Adapter, path: str, values: list[str]) -> None:
    body = await adapter.get_json(EXTERNAL + path)
    assert [item["value"] for item in body["items"]] == values


async def test_a_namespace_is_described_by_its_pods(adapter: Adapter) -> None:
    of = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/metrics"
    assert await adapter.values(of=of) == {"llm": "13500m"}


# Absence.


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param(f"{PODS}/*/queue_depth", f"{METRIC_404} queue_depth for pods: {NO_RULE}", id="no-such-metric"),
        pytest.param(
            f"{PODS}/vllm-9/{WAITING}", f"{METRIC_404} {WAITING} for pods vllm-9: {NONE_SELECTED}", id="no-such-pod"
        ),
        pytest.param(
            f"{PODS}/*/{WAITING}?labelSelector=app%3Dtgi",
            f"{METRIC_404} {WAITING} for pods: {NONE_SELECTED}",
            id="none",
        ),
        pytest.param(
            f"{PODS}/*/DCGM_FI_DEV_GPU_UTIL".replace("/llm/", "/gpu/"),
            f"{METRIC_404} DCGM_FI_DEV_GPU_UTIL for pods: {NONE_SELECTED}",
            id="the-exporters-own-pod",
        ),
        pytest.param(
            f"{PODS}/*/{WAITING}".replace("/llm/", "/other/"),
            f"{METRIC_404} {WAITING} for pods: {NONE_SELECTED}",
            id="their-pods",
        ),
        pytest.param(
            f"{PODS}/*/m".replace("/pods/", "/deployments.apps/"),
            f"{METRIC_404} m for deployments.apps: {NO_RULE}",
            id="another-resource-than-pods",
        ),
        pytest.param(
            f"{EXTERNAL}/depth", f"{METRIC_404} depth for provided labels: {NO_RULE}", id="no-such-external-metric"
        ),
        pytest.param(
            f"{PODS}/*/tgi_queue_size",
            f"{METRIC_404} tgi_queue_size for pods: source scrape gives no series of it",
            id="no-page-has-it",
        ),
        pytest.param("/apis/metrics.k8s.io/v1", RESOURCE_404, id="another-group"),
        pytest.param("/apis/custom.metrics.k8s.io/v1", RESOURCE_404, id="another-version"),
        pytest.param("/api", RESOURCE_404, id="no-such-path"),
    ],
)
async def test_what_is_not_there_is_a_404_status(adapter: Adapter, path: str, message: str) -> None:
    status, text = await adapter.get(path)
    assert status == 404
    assert text == (
        '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        f'"message":"{message}","reason":"NotFound","code":404}}'
    )


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        pytest.param(
            "app+in+vllm",
            "unable to parse requirement: 'app in vllm': found 'vllm', expected: '('",
            id="in-without-brackets",
        ),
        pytest.param("app%3Da%3Db", "unable to parse requirement: 'app=a=b': found '='", id="two-signs"),
    ],
)
async def test_a_bad_selector_is_a_400_status(adapter: Adapter, selector: str, message: str) -> None:
    for path in (f"{PODS}/*/{WAITING}", f"{EXTERNAL}/{WAITING}"):
        status, text = await adapter.get(f"{path}?labelSelector={selector}")
        assert (status, json.loads(text)["reason"]) == (400, "BadRequest")
        assert message in json.loads(text)["message"]


async def test_another_method_is_a_405_status(adapter: Adapter) -> None:
    async with adapter.session.post(f"{adapter.url}/apis") as response:
        assert (response.status, (await response.json())["reason"]) == (405, "MethodNotAllowed")


async def test_a_value_beyond_a_quantity_is_missing_and_says_so(adapter: Adapter) -> None:
    adapter.pages.show("/0", f"{WAITING} 1e30\n")
    await adapter.collect()
    for path in (f"{PODS}/vllm-0/{WAITING}", f"{EXTERNAL}/{WAITING}?labelSelector=pod%3Dvllm-0"):
        status, message = await adapter.refusal(path)
        assert status == 404
        assert "value 1e+30 is beyond a quantity's range" in message
    assert await adapter.values() == {"vllm-1": "1000m"}


async def test_before_the_first_collection_a_metric_is_not_said_to_be_missing(tmp_path: Path) -> None:
    async with running(tmp_path) as adapter:
        for path in (f"{PODS}/*/{WAITING}", f"{EXTERNAL}/{WAITING}"):
            status, message = await adapter.refusal(path)
            assert status == 503
            assert message.endswith(": source scrape has not been asked yet")


async def test_a_fault_of_the_adapter_is_a_500_status_that_tells_nothing_and_is_logged(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    adapter.clock.broken = True
    status, text = await adapter.get(f"{PODS}/*/{WAITING}")
    adapter.clock.broken = False
    assert status == 500
    assert text == (
        '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        '"message":"internal server error; the adapter\'s log holds the cause","reason":"InternalError","code":500}'
    )
    assert "the secret of the clock" in caplog.text
    assert (await adapter.get(f"{PODS}/*/{WAITING}"))[0] == 200


# Age.


async def test_values_age_without_collections_and_the_answer_says_how_old_they_are(adapter: Adapter) -> None:
    adapter.clock.second += 95
    status, message = await adapter.refusal(f"{PODS}/*/{WAITING}")
    assert status == 404
    assert message == f"{METRIC_404} {WAITING} for pods: vllm-0: last sample 95 s old, max age 60 s (and 1 more)"
    status, message = await adapter.refusal(f"{EXTERNAL}/{WAITING}")
    assert status == 404
    assert "last sample 95 s old, max age 60 s (and 2 more)" in message


async def test_an_answer_is_not_kept_beyond_the_age_of_its_oldest_value(adapter: Adapter) -> None:
    """vllm-1 is a second older than vllm-0, the same request is asked again and again, and nobody renews either."""
    adapter.pages.show("/1", f"{WAITING} 1 {(START_SECOND - 1) * 1000}\n")
    await adapter.collect()
    both = {"vllm-0": "12500m", "vllm-1": "1000m"}
    seen = []
    for seconds in (29, 29, 1):
        seen.append(await adapter.values())
        adapter.clock.second += seconds
    assert seen == [both, both, both]
    status, message = await adapter.refusal(f"{PODS}/*/{WAITING}")
    assert (status, message) == (404, f"{METRIC_404} {WAITING} for pods: vllm-1: last sample 61 s old, max age 60 s")


async def test_a_samples_own_timestamp_is_what_ages(adapter: Adapter) -> None:
    adapter.pages.show("/1", f"{WAITING} 4 {(START_SECOND - 30) * 1000}\n")
    await adapter.collect()
    assert await adapter.times() == {"vllm-0": "22:13:20Z", "vllm-1": "22:12:50Z"}
    adapter.clock.second += 31
    assert (await adapter.refusal(f"{PODS}/vllm-1/{WAITING}"))[0] == 404


async def test_a_pod_that_leaves_the_targets_is_gone_with_the_next_collection(adapter: Adapter) -> None:
    adapter.list_targets(*workload(adapter.pages)[1:])
    await adapter.collect()
    assert await adapter.values() == {"vllm-1": "1000m"}
    status, message = await adapter.refusal(f"{PODS}/*/DCGM_FI_DEV_GPU_UTIL")
    assert status == 404, f"the exporter still speaks of a pod that left: {message}"


async def test_a_broken_targets_file_keeps_the_pods_of_the_last_good_one(adapter: Adapter) -> None:
    (adapter.folder / "targets.json").write_text("[{")
    adapter.pages.show("/1", f"{WAITING} 7\n")
    await adapter.collect()
    assert (await adapter.values())["vllm-1"] == "7000m"
    assert (await adapter.own_metrics())['leadtime_adapter_faults{part="discovery"}'] == 1
    adapter.list_targets(*workload(adapter.pages))
    await adapter.collect()
    assert (await adapter.own_metrics())['leadtime_adapter_faults{part="discovery"}'] == 0


async def test_a_rate_needs_two_collections_and_then_says_its_window(adapter: Adapter) -> None:
    """30 requests in 30 s, extended by Prometheus' rules to the window's edges: 1 per second, of a window of 60 s."""
    name = "vllm:requests_per_second"
    for second, count in ((0, 100), (15, 115), (15, 130), (15, 145), (15, 160)):
        adapter.pages.show("/0", f"{PAGE_0}vllm:request_success_total {count}\n")
        await adapter.collect(after_seconds=second)
    (item,) = (await adapter.get_json(f"{PODS}/*/{name}"))["items"]
    assert (item["value"], item["windowSeconds"], item["timestamp"]) == ("1000m", 60, "2023-11-14T22:14:20Z")
