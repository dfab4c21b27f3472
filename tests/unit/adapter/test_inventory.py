"""What the adapter knows of pods, and what it says about those whose pages it cannot read."""

import asyncio
import logging

import pytest
from fake_kube_api import fake_kube_api, pod, short_sleep, until

from adapter.inventory import ClusterInventory
from adapter.sources.kubernetes.discovery import KubernetesDiscovery
from adapter.sources.kubernetes.settings import KubernetesSettings


async def test_what_discovery_cannot_follow_is_logged_once_with_its_remedy(caplog: pytest.LogCaptureFixture) -> None:
    """A DCGM exporter outside of the namespaces that are believed would else be missing without a word."""
    caplog.set_level(logging.WARNING, "adapter.inventory")
    async with fake_kube_api() as (api, client):
        discovery = KubernetesDiscovery(
            client, KubernetesSettings(monitors=()), watch_options={"sleep": short_sleep}, coalesce_seconds=0.02
        )
        inventory = ClusterInventory(discovery)
        following = asyncio.create_task(inventory.run())
        try:
            await until(lambda: inventory.synced)
            exporter = pod("dcgm-x", ip="10.0.0.9", namespace="monitoring", labels={"app": "dcgm-exporter"})
            await api.put("/api/v1/pods", exporter)
            await until(lambda: bool(inventory.pods()))
            for _ in range(2):
                await inventory.refresh()
        finally:
            following.cancel()
            await asyncio.wait([following])
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == (
        "discovery cannot follow: pods=1: a DCGM exporter in namespace monitoring is not believed: its page speaks of "
        "other namespaces' pods; add the namespace to discovery.kubernetes.exporterNamespaces"
    )
