"""The Prometheus that every side reads: what it scrapes, and what it knows."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics_adapter.fleet import Fleet, address

SCRAPE_INTERVAL_SECONDS = 5
"""Beside the peers."""


def configuration(targets_file: Path, interval_seconds: int) -> dict[str, Any]:
    """Scrape what the file lists. (Debian's build has no Kubernetes service discovery.)"""
    return {
        "global": {"scrape_interval": f"{interval_seconds}s", "scrape_timeout": "4s"},
        "scrape_configs": [{"job_name": "pods", "file_sd_configs": [{"files": [str(targets_file)]}]}],
    }


def scrape_targets(fleet: Fleet, port: int) -> list[dict[str, Any]]:
    """For file_sd: each pod's page, with the labels that relabelling gives them in a cluster."""
    return [
        {
            "targets": [f"{address(pod)}:{port}"],
            "labels": {"namespace": fleet.namespace, "pod": fleet.name(pod), **fleet.labels(pod)},
        }
        for pod in range(fleet.pods)
    ]


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
