"""Pods and targets of a cluster, from its watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_kube_api import FakeKubeApi, fake_kube_api, pod, short_sleep, until

from adapter.sources.kubernetes.discovery import KubernetesDiscovery
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.series import PodKey

PODS, SERVICES = "/api/v1/pods", "/api/v1/services"
POD_MONITORINGS = "/apis/monitoring.googleapis.com/v1/podmonitorings"
SERVICE_MONITORS = "/apis/monitoring.coreos.com/v1/servicemonitors"
CRDS = {
    POD_MONITORINGS,
    "/apis/monitoring.googleapis.com/v1/clusterpodmonitorings",
    "/apis/monitoring.coreos.com/v1/podmonitors",
    SERVICE_MONITORS,
}
POD_MONITORING = {
    "metadata": {"namespace": "llm", "name": "vllm"},
    "spec": {"selector": {"matchLabels": {"app": "vllm"}}, "endpoints": [{"port": "http", "path": "/pm"}]},
}


@asynccontextmanager
async def discovery(
    *,
    coalesce_seconds: float = 0.02,
    **settings: Any,
) -> AsyncIterator[tuple[FakeKubeApi, KubernetesDiscovery, list[int], asyncio.Task[None]]]:
    """A cluster without monitors' CRDs, not yet followed until the task runs; the pods at each telling of a change."""
    async with fake_kube_api() as (api, client):
        api.not_served |= CRDS
        found = KubernetesDiscovery(
            client,
            KubernetesSettings.model_validate(settings),
            coalesce_seconds=coalesce_seconds,
            watch_options={"sleep": short_sleep},
        )
        told: list[int] = []
        found.on_pods_changed = lambda: told.append(len(found.pods()))
        task = asyncio.create_task(found.run())
        try:
            yield api, found, told, task
        finally:
            task.cancel()
            await asyncio.wait([task])


def urls(found: KubernetesDiscovery) -> list[str]:
    return [target.url for target in found.targets().targets]


async def test_pods_and_their_pages_are_found_without_any_monitor() -> None:
    async with discovery() as (api, found, told, _):
        await until(lambda: found.synced)
        assert dict(found.pods()) == {}
        await api.put(PODS, pod("vllm-0", ip="10.0.0.7"))
        await until(lambda: told == [1])
        assert urls(found) == ["http://10.0.0.7:8000/metrics"]
        assert found.targets().pods is found.pods()
        assert found.pods()[PodKey("llm", "vllm-0")].owners[-1] == ("deployments.apps", "vllm")
        assert found.faults == ()
        assert found.found_by(PodKey("llm", "vllm-0")).found_by == "known system vllm"


async def test_a_pod_leaves_when_it_begins_to_end() -> None:
    async with discovery() as (api, found, told, _):
        await api.put(PODS, pod("vllm-0"))
        await until(lambda: told[-1:] == [1])
        await api.put(PODS, pod("vllm-0", deleting=True))
        await until(lambda: told[-1:] == [0])
        assert urls(found) == []
        assert not found.pods()


async def test_readiness_and_services_are_followed() -> None:
    key = PodKey("llm", "vllm-0")
    async with discovery() as (api, found, told, _):
        await api.put(PODS, pod("vllm-0", ready=False))
        await until(lambda: told[-1:] == [1])
        assert found.pods()[key].ready is False
        await api.put(PODS, pod("vllm-0"))
        await until(lambda: found.pods()[key].ready is True)
        service = {"metadata": {"namespace": "llm", "name": "vllm"}, "spec": {"selector": {"app": "vllm"}}}
        await api.put(SERVICES, service)
        await until(lambda: found.pods()[key].services == ("vllm",))


async def test_a_monitor_that_appears_later_counts_from_then_on_and_until_it_is_deleted() -> None:
    async with discovery() as (api, found, _, _task):
        await api.put(PODS, pod("vllm-0"))
        await until(lambda: found.synced and len(urls(found)) == 1)
        api.not_served.discard(POD_MONITORINGS)
        await api.put(POD_MONITORINGS, POD_MONITORING)
        await until(lambda: urls(found) == ["http://10.0.0.1:8000/pm"])
        await api.delete(POD_MONITORINGS, "llm", "vllm")
        await until(lambda: urls(found) == ["http://10.0.0.1:8000/metrics"])


async def test_rights_that_are_missing_for_monitors_hold_nothing_up_and_are_said() -> None:
    async with discovery() as (api, found, _, _task):
        api.forbidden = {SERVICES, SERVICE_MONITORS}
        api.not_served.discard(SERVICE_MONITORS)
        await until(lambda: found.synced)
        assert len(found.faults) == 2
        assert 'resources: ["servicemonitors"]' in "".join(found.faults)


async def test_without_the_right_to_list_pods_it_is_never_in_step() -> None:
    async with discovery() as (api, found, _, _task):
        api.forbidden = {PODS}
        await until(lambda: any('resources: ["pods"]' in fault for fault in found.faults))
        assert not found.synced


async def test_only_the_namespaces_of_the_settings_are_asked_for() -> None:
    async with discovery(namespaces=["llm", "nim"], monitors=["PodMonitor"], services=False) as (api, found, _, _task):
        await api.put(PODS, pod("vllm-0"))
        await api.put(PODS, pod("other-0", namespace="other"))
        await until(lambda: found.synced)
        assert list(found.pods()) == [PodKey("llm", "vllm-0")]
        assert {path for path, _ in api.requests} == {
            "/api/v1/namespaces/llm/pods",
            "/api/v1/namespaces/nim/pods",
            "/apis/monitoring.coreos.com/v1/namespaces/llm/podmonitors",
            "/apis/monitoring.coreos.com/v1/namespaces/nim/podmonitors",
        }


async def test_what_cannot_be_followed_is_counted_by_pods() -> None:
    item = {"metadata": POD_MONITORING["metadata"], "spec": {**POD_MONITORING["spec"], "endpoints": [{"port": "web"}]}}
    async with discovery() as (api, found, _, _task):
        api.not_served.discard(POD_MONITORINGS)
        await api.put(POD_MONITORINGS, item)
        for number in range(3):
            await api.put(PODS, pod(f"vllm-{number}"))
        await until(lambda: found.notes == {"PodMonitoring llm/vllm: no running container declares port 'web'": 3})
        assert len(urls(found)) == 3


async def test_a_thousand_pods_replaced_are_told_in_bursts() -> None:
    async with discovery() as (api, found, told, _):
        for number in range(1000):
            await api.put(PODS, pod(f"old-{number}", ip=f"10.1.{number // 250}.{number % 250}"))
        await until(lambda: found.synced and len(found.pods()) == 1000)
        told.clear()
        for number in range(1000):
            await api.put(PODS, pod(f"old-{number}", deleting=True))
            await api.put(PODS, pod(f"new-{number}", ip=f"10.2.{number // 250}.{number % 250}"))
            await api.delete(PODS, "llm", f"old-{number}")
        names = {PodKey("llm", f"new-{number}") for number in range(1000)}
        await until(lambda: found.pods().keys() == names)
        await until(lambda: told[-1:] == [1000])
        assert len(told) < 200  # of 3,000 events
        assert {target.owner for target in found.targets().targets} == names


async def test_a_cancelled_discovery_stops_telling() -> None:
    async with discovery(coalesce_seconds=60.0) as (api, found, told, task):
        await until(lambda: found.synced)
        await api.put(PODS, pod("vllm-0"))
        await until(lambda: len(found.pods()) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told == []
        assert found._telling is not None
        assert found._telling.cancelled()
