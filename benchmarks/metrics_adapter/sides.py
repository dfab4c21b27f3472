"""What is compared: each side's command line and configuration, and how it runs and answers."""

import http.client
import json
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics_adapter.load import HPA_HEADERS
from metrics_adapter.processes import Group

ANSWER_TIMEOUT_SECONDS = 30.0


def leadtime_command(configuration: Path) -> list[str]:
    """As the image starts it (ENTRYPOINT of the Dockerfile, args of the Deployment)."""
    return [sys.executable, "-m", "adapter", "serve", f"--config={configuration}"]


def leadtime_configuration(
    *, port: int, certificate: Path, key: Path, kubeconfig: Path, source: Mapping[str, Any]
) -> dict[str, Any]:
    """The adapter as a cluster runs it, all built-in rules included; the source is the benchmark's choice."""
    return {
        "apiVersion": "adapter.leadtime.dev/v1alpha1",
        "kind": "AdapterConfiguration",
        "server": {"host": "127.0.0.1", "port": port},
        "servingCertificate": {"certFile": str(certificate), "keyFile": str(key)},
        "discovery": {"kubernetes": {"kubeconfig": str(kubeconfig)}},
        "sources": [dict(source)],
    }


def prometheus_adapter_command(
    program: Path, *, configuration: Path, port: int, certificate: Path, key: Path, kubeconfig: Path, prometheus: str
) -> list[str]:
    """As its own deploy/manifests start it (relist every minute, the client's default rate limits)."""
    return [
        str(program),
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--config={configuration}",
        f"--prometheus-url={prometheus}",
        "--metrics-relist-interval=1m",
        f"--lister-kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]


PROMETHEUS_ADAPTER_RULES = [
    {"apiGroups": [""], "resources": ["nodes", "namespaces", "pods", "services"], "verbs": ["get", "list", "watch"]}
]
"""Of its deploy/manifests/cluster-role.yaml."""


def prometheus_adapter_configuration() -> dict[str, Any]:
    """The benchmark's series as Pods and as External metrics, in the form of its documentation (docs/config.md)."""
    series = '{__name__=~"^vllm:num_requests_(waiting|running)$",namespace!="",pod!=""}'
    namespace = {"namespace": {"resource": "namespace"}}
    return {
        "rules": [
            {
                "seriesQuery": series,
                "resources": {"overrides": {**namespace, "pod": {"resource": "pod"}}},
                "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            }
        ],
        "externalRules": [
            {
                "seriesQuery": series,
                "resources": {"overrides": namespace},
                "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>})",
            }
        ],
    }


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx answer: the list's items, and when it came (Unix time)."""

    items: list[dict[str, Any]]
    at: float

    @property
    def total_milli(self) -> int:
        """What the HPA makes of an External metric: the sum of the items."""
        return sum(milli(str(item["value"])) for item in self.items)

    @property
    def by_object(self) -> dict[str, int]:
        """Name of the described object -> thousandths."""
        return {item["describedObject"]["name"]: milli(str(item["value"])) for item in self.items}


@dataclass(slots=True, kw_only=True)
class Side:
    """One server under load.

    groups: its processes. stamps_samples: whether an answer's timestamp is the sample's own, and not the moment
    of the answer. client: shows the front proxy's certificate, and checks the server's.
    external: the target for a workload's External metric, where it is not everyone's. serves_pods: has Pods metrics.
    answers_fixed: always the same, whatever is asked.
    """

    name: str
    version: str
    port: int
    groups: tuple[Group, ...]
    client: ssl.SSLContext
    stamps_samples: bool = False
    serves_pods: bool = True
    answers_fixed: bool = False
    external: Callable[[int], str] | None = None

    def ask(self, target: str) -> Answered:
        """One request of the HPA. Raises AnswerRefused on anything but a 2xx."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10.0, context=self.client)
        try:
            connection.putrequest("GET", target, skip_accept_encoding=True)
            for line in HPA_HEADERS:
                name, _, text = line.partition(": ")
                if name != "Accept-Encoding":
                    connection.putheader(name, text)
            connection.endheaders()
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        if reply.status // 100 != 2:
            raise AnswerRefused(f"{self.name}: {target}: {reply.status} {body[:300].decode(errors='replace')}")
        return Answered(json.loads(body)["items"], time.time())

    def wait_until(
        self, ready: Callable[[], bool], what: str, timeout_seconds: float = ANSWER_TIMEOUT_SECONDS
    ) -> float:
        """Wait until ready() without an error; seconds waited. Raises AnswerRefused with the last error."""
        began = time.monotonic()
        while True:
            last = "wrong values"
            try:
                if ready():
                    return time.monotonic() - began
            except (AnswerRefused, OSError, http.client.HTTPException) as error:
                last = str(error)
            if time.monotonic() - began > timeout_seconds:
                raise AnswerRefused(f"{self.name}: {what}: not within {timeout_seconds:g} s; last: {last}")
            time.sleep(0.1)

    def pause(self) -> None:
        for group in self.groups:
            group.pause()

    def go_on(self) -> None:
        for group in self.groups:
            group.go_on()


class AnswerRefused(Exception):
    """A side did not answer as it must: says who, what and how."""


_SUFFIXES = {"n": -6, "u": -3, "m": 0, "": 3, "k": 6, "M": 9, "G": 12}


def milli(quantity: str) -> int:
    """A decimal Kubernetes quantity in thousandths, rounded up as the HPA does (MilliValue)."""
    digits = quantity.rstrip("numkMG")
    power = _SUFFIXES[quantity[len(digits) :]]
    number = int(digits)
    return int(number * 10**power) if power >= 0 else -(-number // int(10**-power))
