"""A container's probes, as its manifest says them and as a kubelet asks them."""

import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from kube_api import Object


@dataclass(frozen=True, slots=True)
class Probe:
    """An httpGet probe. port: a number, already looked up."""

    url: str
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int

    @classmethod
    def of(cls, probe: Object, ports: Mapping[str, int]) -> Self:
        """ports: by the name that the container gives them. Other kinds of probe are a KeyError."""
        get = probe["httpGet"]
        return cls(
            f"{get.get('scheme', 'HTTP').lower()}://127.0.0.1:{ports[get['port']]}{get['path']}",
            probe.get("periodSeconds", 10),
            probe.get("timeoutSeconds", 1),
            probe.get("failureThreshold", 3),
        )

    def ask(self) -> tuple[bool, str]:
        """Whether it succeeds, and what was answered. Like a kubelet it does not verify the certificate."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        https = urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
        try:
            with opener.open(self.url, timeout=self.timeout_seconds) as reply:
                return True, reply.read().decode()
        except urllib.error.HTTPError as error:
            return False, error.read().decode()
        except OSError as error:
            return False, repr(error)


class Prober:
    """Asks a container's probes, each at its own period, from the start probe's success on. As a kubelet does.

    started, ready: what the probes have found. unhealthy: the liveness probe has failed too often; a kubelet would
    restart the container. said: the last answer of the probe asked last.
    """

    def __init__(self, container: Object, ports: Mapping[str, int], alive: Callable[[], bool]) -> None:
        """alive: whether the process still runs; one that ended is not ready from that moment on."""
        self.started = self.unhealthy = False
        self.said = ""
        self._ready = False
        self._startup = Probe.of(container["startupProbe"], ports)
        self._liveness = Probe.of(container["livenessProbe"], ports)
        self._readiness = Probe.of(container["readinessProbe"], ports)
        self._alive = alive
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._ready and not self._stopped.is_set() and self._alive()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set() and not self.started:
            self.started, self.said = self._startup.ask()
            failures += not self.started
            if failures >= self._startup.failure_threshold:
                self.unhealthy = True
                return
            if not self.started:
                self._stopped.wait(self._startup.period_seconds)
        due = {self._readiness: time.monotonic(), self._liveness: time.monotonic()}
        failed = dict.fromkeys(due, 0)
        while not self._stopped.is_set():
            probe = min(due, key=lambda one: due[one])
            if self._stopped.wait(max(0.0, due[probe] - time.monotonic())):
                return
            succeeded, said = probe.ask()
            due[probe] = time.monotonic() + probe.period_seconds
            failed[probe] = 0 if succeeded else failed[probe] + 1
            if probe is self._readiness:
                self.said = said
                self._ready = succeeded or (self._ready and failed[probe] < probe.failure_threshold)
            elif failed[probe] >= probe.failure_threshold:
                self.unhealthy = True
