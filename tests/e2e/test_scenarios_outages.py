"""What workloads share fails: the exporter, Prometheus, the adapter, its certificate. HPAs hold, then go on.

Two pairs of HPAs (hpa_pair.py) go through all of it: one on what the adapter reads from the pods, one on what it gets
from Prometheus only. The controller syncs every second.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from adapter_in_cluster import Adapter
from adapter_manifests import BASE
from adapter_overlay import overlay
from binaries import binaries
from certificates_replaced import OVERLAYS, CertManager, near_its_end, replaced, with_successor_announced
from continuous_reads import continuous_reads
from control_plane import ControlPlane
from gpu_cluster import GPU_STAGES
from hpa_pair import WAITING, HpaPair, hold, lose_metrics, recover, settle, stay
from hpa_watch import HpaWatch
from prometheus_server import PrometheusServer
from scenario import FLAGS, World

pytestmark = pytest.mark.e2e

NODES = 4  # with 8 GPUs each
NAMESPACE = "outages"
SECRET = "/api/v1/namespaces/leadtime-system/secrets/leadtime-adapter-serving"  # noqa: S105
READ = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods/*/{WAITING}"
FROM_PROMETHEUS = "waiting_by_prometheus"
SYNCED_EACH_SECOND = {
    **FLAGS,
    "kube-controller-manager": [*FLAGS["kube-controller-manager"], "--horizontal-pod-autoscaler-sync-period=1s"],
}

SHORT_LIVED = f"""
apiVersion: adapter.leadtime.dev/v1alpha1
kind: MetricRules
rules: # the built-in one lets a sample live for 60 s: four collections of 15 s, as these are of 2 s
- name: {WAITING}
  override: true
  latest: {{series: "{WAITING}"}}
  maxAgeSeconds: 8
  sources: [pods]
"""
ALSO_BY_PROMETHEUS = f"""{SHORT_LIVED}
- name: {FROM_PROMETHEUS}
  latest: {{series: "{WAITING}"}}
  maxAgeSeconds: 8
  sources: [prometheus]
"""


@dataclass(frozen=True, slots=True)
class Shared:
    """What fails, and the HPAs that feel it. by_prometheus, prometheus: None where the machine has no Prometheus."""

    world: World
    direct: HpaPair
    by_prometheus: HpaPair | None
    prometheus: PrometheusServer | None

    @property
    def pairs(self) -> list[HpaPair]:
        return [pair for pair in (self.direct, self.by_prometheus) if pair]

    @property
    def hpas(self) -> list[HpaWatch]:
        return [hpa for pair in self.pairs for hpa in pair.hpas]


@pytest.fixture(scope="module")
def shared(
    start_control_plane: Callable[..., ControlPlane], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    with start_control_plane(
        controllers=True, scheduler=True, kwok=True, stages=GPU_STAGES, flags=SYNCED_EACH_SECOND
    ) as plane:
        prometheus = PrometheusServer(plane) if shutil.which("prometheus") else None
        base = _manifests(tmp_path_factory.mktemp("adapter"), prometheus)
        world = World(plane, nodes=NODES, base=base, own_ports=False)
        try:
            with world.scenario(NAMESPACE) as scene:
                direct = HpaPair(scene, WAITING, "External")
                asked = HpaPair(scene, FROM_PROMETHEUS, "Pods", name="prometheus-") if prometheus else None
                yield Shared(world, direct, asked, prometheus)
        finally:
            world.stop()
            if prometheus:
                prometheus.close()


def _manifests(folder: Path, prometheus: PrometheusServer | None) -> Path:
    """The overlay with Prometheus where there is one; what changes is looked at each second."""

    def change(settings: Any) -> None:
        settings["servingCertificate"]["syncSeconds"] = 1
        for source in settings["sources"]:
            if prometheus and "prometheus" in source:
                source["lagSeconds"] = 1  # 60 by default: a Prometheus scrapes each minute
                source["prometheus"] = {"url": prometheus.url, "intervalSeconds": 1, "absentRetrySeconds": 5}

    if prometheus:
        base = OVERLAYS / "prometheus"
        return overlay(base, folder, rules=ALSO_BY_PROMETHEUS, settings=base / "adapter.yaml", change=change)
    return overlay(BASE, folder, rules=SHORT_LIVED, settings=BASE / "config" / "adapter.yaml", change=change)


def test_the_exporter_dies_and_comes_back(shared: Shared) -> None:
    """Every page is gone: the adapter's and Prometheus'."""
    settle(*shared.pairs)
    shared.world.exporter.kill()
    lose_metrics(*shared.pairs)
    hold(*shared.pairs)
    shared.world.exporter.start_again()
    recover(*shared.pairs)


def test_prometheus_dies_and_comes_back(shared: Shared) -> None:
    """What it last said gets too old; what the pods themselves say is as good as before."""
    if not (shared.prometheus and shared.by_prometheus):
        binaries("prometheus")  # raises Unavailable
        return
    settle(*shared.pairs)
    failed = [hpa.now.failed_syncs for hpa in shared.direct.hpas]
    shared.prometheus.kill()
    lose_metrics(shared.by_prometheus)
    for hpa in shared.by_prometheus.hpas:
        assert "last sample" in hpa.messages["ScalingActive"]
        assert f"source prometheus is not available: {shared.prometheus.url}" in hpa.messages["ScalingActive"]
    hold(shared.by_prometheus)
    shared.direct.end_window()
    recover(shared.direct)
    assert [hpa.now.failed_syncs for hpa in shared.direct.hpas] == failed
    shared.prometheus.start()
    recover(shared.by_prometheus)


def test_the_adapter_dies_and_comes_back(shared: Shared) -> None:
    """Its only replica. The first answers of the new one are whole: a part of a sum would scale the steady one down."""
    settle(*shared.pairs)
    (replica,) = shared.world.adapter.replicas
    replica.kill()
    shared.world.adapter.wait_unavailable()
    lose_metrics(*shared.pairs)
    hold(*shared.pairs)
    replica.start()
    replica.wait_ready()
    shared.world.adapter.wait_available()
    stay(*(pair.steady for pair in shared.pairs))
    recover(*shared.pairs)


def test_its_certificate_is_replaced(shared: Shared) -> None:
    """When its end is near, and with its authority when that one's successor was announced: not a single read fails."""
    settle(*shared.pairs)
    api, adapter = shared.world.plane.api, shared.world.adapter
    failed = [hpa.now.failed_syncs for hpa in shared.hpas]
    with continuous_reads(api, READ) as reads:
        for successor, has_new_authority in ((near_its_end, False), (with_successor_announced, True)):
            secret = api.get(SECRET)
            with replaced(adapter):
                api.call("PUT", SECRET, secret | {"data": successor(secret["data"])})
            assert (api.get(SECRET)["data"]["ca.crt"] != secret["data"]["ca.crt"]) is has_new_authority
        stay(*shared.hpas)
    assert reads.failures == []
    assert [hpa.now.failed_syncs for hpa in shared.hpas] == failed
    _finish(shared)


def test_its_secret_is_deleted(shared: Shared, record_property: Callable[[str, object], None]) -> None:
    """To begin anew with another authority at once. Reads may fail until adapter and API server both know it, and
    nothing is scaled meanwhile."""
    settle(*shared.pairs)
    with continuous_reads(shared.world.plane.api, READ) as reads:
        with replaced(shared.world.adapter):
            shared.world.plane.api.delete(SECRET)
        stay(*shared.hpas)
    record_property("the adapter's Secret is deleted", f"{len(reads.failures)} of {reads.count} reads failed")
    assert {status for _, status, _ in reads.failures} <= {503}
    _finish(shared)


def test_cert_manager_replaces_its_certificate(shared: Shared, tmp_path: Path) -> None:
    """By a new one of the same authority, in the files of the volume: not a single read fails."""
    plane, direct = shared.world.plane, shared.direct
    shared.world.adapter.stop()
    manager = CertManager(plane, tmp_path)
    manager.renews()
    shared.world.adapter = adapter = Adapter.install(plane, manager.manifests(SHORT_LIVED))
    manager.injects_authority(adapter.api_services)
    replica = adapter.start_replica()
    replica.wait_ready()
    adapter.wait_available()
    settle(direct)
    failed = [hpa.now.failed_syncs for hpa in direct.hpas]
    with continuous_reads(plane.api, READ) as reads:
        with replaced(adapter):
            manager.renews()
            replica.write_secret("tls")
        stay(*direct.hpas)
    assert reads.failures == []
    assert [hpa.now.failed_syncs for hpa in direct.hpas] == failed
    direct.end_window()
    recover(direct)


def _finish(shared: Shared) -> None:
    """The window of a scale-down ends, too."""
    for pair in shared.pairs:
        pair.end_window()
    recover(*shared.pairs)
