"""The Prometheus that every side reads: it finds the pods as it does in a cluster, and says what it knows."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRAPE_INTERVAL_SECONDS = 5


def configuration(kubeconfig: Path, namespace: str) -> dict[str, Any]:
    """Every pod that its annotation wants scraped, with labels namespace and pod, and the pod's own."""
    copied = {
        "__meta_kubernetes_namespace": "namespace",
        "__meta_kubernetes_pod_name": "pod",
        "__meta_kubernetes_pod_label_app": "app",
        "__meta_kubernetes_pod_label_fleet": "fleet",
    }
    wanted = {
        "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
        "action": "keep",
        "regex": "true",
    }
    return {
        "global": {"scrape_interval": f"{SCRAPE_INTERVAL_SECONDS}s", "scrape_timeout": "4s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "kubernetes_sd_configs": [
                    {"role": "pod", "kubeconfig_file": str(kubeconfig), "namespaces": {"names": [namespace]}}
                ],
                "relabel_configs": [
                    wanted,
                    *({"source_labels": [meta], "target_label": label} for meta, label in copied.items()),
                ],
            }
        ],
    }


def flags(configuration_file: Path, data: Path, port: int) -> list[str]:
    """For the program."""
    return [
        f"--config.file={configuration_file}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Its HTTP API."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1.0) as reply:  # noqa: S310 - our own
                return bool(reply.status == 200)
        except OSError:
            return False

    def samples(self, metric: str, seconds: int) -> Mapping[str, Sequence[tuple[float, float]]]:
        """Pod -> (Unix time, value) of its samples in the last seconds."""
        found = self._query(f"{metric}[{seconds}s]")
        return {row["metric"]["pod"]: [(at, float(text)) for at, text in row["values"]] for row in found}

    def newest(self, metric: str) -> Mapping[str, float]:
        """Pod -> its newest value."""
        return {row["metric"]["pod"]: float(row["value"][1]) for row in self._query(metric)}

    def wait_for(self, metric: str, expected: Mapping[str, float], *, timeout_seconds: float) -> float:
        """Wait until it knows exactly these values; seconds waited. Raises TimeoutError."""
        began = time.monotonic()
        while self.newest(metric) != expected:
            if time.monotonic() - began > timeout_seconds:
                known = sum(self.newest(metric).get(pod) == value for pod, value in expected.items())
                raise TimeoutError(f"{metric}: Prometheus knows {known} of {len(expected)} pods' values")
            time.sleep(0.2)
        return time.monotonic() - began

    def version(self) -> str:
        with urllib.request.urlopen(f"{self.url}/api/v1/status/buildinfo", timeout=5.0) as reply:  # noqa: S310 - ours
            return str(json.load(reply)["data"]["version"])

    def _query(self, promql: str) -> list[dict[str, Any]]:
        words = urllib.parse.urlencode({"query": promql})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{words}", timeout=10.0) as reply:  # noqa: S310 - our own
            answer: dict[str, Any] = json.load(reply)
        rows: list[dict[str, Any]] = answer["data"]["result"]
        return rows
