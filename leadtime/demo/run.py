"""One policy through one scenario over real interfaces, in lock-step virtual time.

    fleet advances -> pods' pages show it -> the adapter process scrapes them over HTTP
                   -> the loop reads custom and external metrics over HTTPS -> decides -> the fleet scales

Time stands still while pages are scraped and decisions are made, so the run depends on nothing but its scenario.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes.aio.client import Configuration

from adapter.settings import AdapterSettings
from adapter.sources.kubernetes.client import KubeClient
from autoscaler.metrics_client import MetricsClient
from autoscaler.reconcile import reconcile
from leadtime.demo.adapter_link import AdapterLink
from leadtime.demo.certificates import Certificates, write_certificates
from leadtime.demo.cluster import TARGET, SimulatedCluster
from leadtime.demo.pages import Pages
from policies.decision import Decision
from policies.policy import Policy, Running
from simulations.fleet import Fleet
from simulations.results import Recorder, Result
from simulations.scenario import Scenario
from simulations.simulate import instants

CLIENT_NAME = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


async def run_over_http(
    scenario: Scenario, policy: Policy[Any, Any], *, port: int, on_sync: Callable[[Recorder], None]
) -> Result:
    """Run the loop. port: of the adapter's HTTPS server, 0 for a free one.

    Raises BadInput when the adapter refuses its settings (a port in use), AdapterEnded when it dies.
    """
    fleet = Fleet(scenario)
    recorder = Recorder(scenario, policy.name, fleet)
    with tempfile.TemporaryDirectory(prefix="leadtime-demo-") as name:
        folder = Path(name)
        certificates = write_certificates(folder, CLIENT_NAME)
        pages = Pages(fleet, folder / "targets.json")
        await pages.follow()
        try:
            settings = _settings(folder, certificates, port, policy.scrape_seconds)
            link = await AdapterLink.start(settings, folder)
            api = KubeClient(_client_configuration(link.port, certificates))
            try:
                await _loop(recorder, Running.start(policy), pages, link, MetricsClient(api), on_sync)
            finally:
                await api.close()
                await link.close()
        finally:
            await pages.close()
    return recorder.result()


async def _loop(
    recorder: Recorder,
    running: Running[Any, Any],
    pages: Pages,
    link: AdapterLink,
    metrics: MetricsClient,
    on_sync: Callable[[Recorder], None],
) -> None:
    fleet = recorder.fleet

    def record(decision: Decision) -> None:
        recorder.record(decision)
        on_sync(recorder)

    cluster = SimulatedCluster(fleet, metrics, record)
    for second, due in instants(fleet, running.policy):
        fleet.advance(second)
        if due == "scrape":
            await pages.follow()
            await link.collect(fleet.now_ns)
        else:
            await link.set_clock(fleet.now_ns)
            await reconcile(TARGET, cluster=cluster, running=running, clock=cluster)
            running.learn_if_due(fleet.now_ns)


def _settings(folder: Path, certificates: Certificates, port: int, scrape_seconds: int) -> AdapterSettings:
    """Pods' pages from the file that the demo writes, its own certificates, no cluster."""
    return AdapterSettings.model_validate(
        {
            "server": {"host": "127.0.0.1", "port": port},
            "servingCertificate": {
                "certFile": certificates.serving_cert,
                "keyFile": certificates.serving_key,
            },
            "authentication": {"clientCAFile": certificates.ca, "allowedNames": [CLIENT_NAME]},
            "discovery": {"targetsFile": folder / "targets.json"},
            "sources": [{"scrape": {"intervalSeconds": scrape_seconds}}],
        }
    )


def _client_configuration(port: int, certificates: Certificates) -> Configuration:
    """The adapter itself in the API server's place, by the HPA's client certificate."""
    configuration = Configuration(host=f"https://127.0.0.1:{port}")
    configuration.ssl_ca_cert = str(certificates.ca)
    configuration.cert_file, configuration.key_file = str(certificates.client_cert), str(certificates.client_key)
    return configuration
