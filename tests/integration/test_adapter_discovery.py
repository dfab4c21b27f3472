"""What the aggregation layer and kubectl find out before they ask for a value."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from adapter_world import WAITING, Adapter, collected, running

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"
CUSTOM_GROUP = {
    "name": "custom.metrics.k8s.io",
    "versions": [
        {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
        {"groupVersion": "custom.metrics.k8s.io/v1beta1", "version": "v1beta1"},
    ],
    "preferredVersion": {"groupVersion": "custom.metrics.k8s.io/v1beta2", "version": "v1beta2"},
}


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with collected(tmp_path) as one:
        yield one


async def test_discovery_names_groups_versions_and_resources_before_anything_is_collected(tmp_path: Path) -> None:
    async with running(tmp_path) as adapter:
        groups = await adapter.get_json("/apis")
        assert groups["kind"] == "APIGroupList"
        assert groups["groups"][0] == CUSTOM_GROUP
        group = await adapter.get_json("/apis/custom.metrics.k8s.io")
        assert group == {"kind": "APIGroup", "apiVersion": "v1", **CUSTOM_GROUP}
        for version in ("v1beta1", "v1beta2"):
            resources = await adapter.get_json(f"/apis/custom.metrics.k8s.io/{version}")
            assert resources["groupVersion"] == f"custom.metrics.k8s.io/{version}"
            assert {
                "name": "pods/vllm:num_requests_waiting",
                "singularName": "",
                "namespaced": True,
                "kind": "MetricValueList",
                "verbs": ["get"],
            } in resources["resources"]
        _, text = await adapter.get("/apis/external.metrics.k8s.io/v1beta1")
        assert text == (
            '{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":['
            '{"name":"externalmetrics","singularName":"","namespaced":true,"kind":"ExternalMetricValueList",'
            '"verbs":["get"]}]}'
        )


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_aggregated_discovery_holds_every_metric_of_both_groups(adapter: Adapter, version: str) -> None:
    """An empty list here would make the API server drop both groups."""
    async with adapter.session.get(f"{adapter.url}/apis", headers={"Accept": AGGREGATED.format(version)}) as response:
        assert response.headers["Content-Type"].endswith(f"g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
        tag, body = response.headers["ETag"], await response.json()
    shown = {
        (item["metadata"]["name"], one["version"]): [each["resource"] for each in one["resources"]]
        for item in body["items"]
        for one in item["versions"]
    }
    assert shown[("external.metrics.k8s.io", "v1beta1")] == ["externalmetrics"]
    assert "pods" in shown[("custom.metrics.k8s.io", "v1beta2")]
    pods = next(one for one in body["items"][0]["versions"][0]["resources"] if one["resource"] == "pods")
    assert WAITING in {one["subresource"] for one in pods["subresources"]}
    headers = {"Accept": AGGREGATED.format(version), "If-None-Match": tag}
    async with adapter.session.get(f"{adapter.url}/apis", headers=headers) as response:
        assert response.status == 304


async def test_openapi_describes_both_apis(adapter: Adapter) -> None:
    second = await adapter.get_json("/openapi/v2")
    paths = "\n".join(second["paths"])
    assert "/apis/custom.metrics.k8s.io/v1beta2/" in paths
    assert "/apis/external.metrics.k8s.io/v1beta1/" in paths
    third = await adapter.get_json("/openapi/v3")
    for path, where in third["paths"].items():
        assert path.startswith("apis/")
        assert (await adapter.get_json(where["serverRelativeURL"]))["openapi"].startswith("3.")
