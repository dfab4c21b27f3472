"""The load: https_load.c beside this folder, compiled once a run."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE = Path(__file__).parent.with_name("https_load.c")

HPA_HEADERS = (
    "X-Remote-User: system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    "X-Remote-Group: system:serviceaccounts",
    "X-Remote-Group: system:serviceaccounts:kube-system",
    "X-Remote-Group: system:authenticated",
    "X-Remote-Extra-Authentication.kubernetes.io%2Fcredential-Id: JTI=1c2d8f9e-6f3a-4a56-9d5b-0f1f0a5b7c11",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Uri: /apis/external.metrics.k8s.io/v1beta1/namespaces/llm/vllm:num_requests_waiting",
    "X-Forwarded-Host: kubernetes.default.svc",
    "X-Forwarded-Proto: https",
    "Audit-Id: 4c9a9a4e-65c4-4d1f-9a0b-6ce0a1f3a0d2",
    "Accept-Encoding: gzip",
)
"""What the aggregation layer adds to a request of the HPA controller (apiserver pkg/util/proxy/proxy.go, apimachinery
pkg/util/proxy/transport.go), and what Go's client always sends."""


class LoadFailed(Exception):
    """The load could not be made, or a server broke a connection: says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run saw. p50, p99, p999, max: seconds. stale: 2xx answers with a sample older than allowed, or none."""

    requests: int
    seconds: float
    non_2xx: int
    stale: int
    p50: float
    p99: float
    p999: float
    max: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def faults(self) -> int:
        """Answers that were not 2xx, or stale."""
        return self.non_2xx + self.stale

    def as_json(self) -> dict[str, float]:
        return {**asdict(self), "per_second": self.per_second}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The compiled program with the certificate it shows."""

    program: Path
    certificate: Path
    key: Path
    folder: Path

    def run(
        self,
        port: int,
        targets: Sequence[str],
        *,
        seconds: float,
        max_age_seconds: float,
        connections: int = 8,
        per_second: float = 0.0,
    ) -> Load:
        """Ask for the targets in turn. per_second: on a timetable, latency from when each was due; 0: closed loop."""
        asked, headers = self.folder / "targets", self.folder / "headers"
        asked.write_text("\n".join(targets) + "\n")
        headers.write_text("\n".join(HPA_HEADERS) + "\n")
        words = [port, self.certificate, self.key, connections, seconds, per_second, max_age_seconds, asked, headers]
        done = subprocess.run(  # noqa: S603 - our own program
            [self.program, *map(str, words)], capture_output=True, text=True, check=False, timeout=seconds + 60
        )
        if done.returncode:
            raise LoadFailed(done.stderr.strip() or f"https_load: exited with {done.returncode}")
        return Load(**json.loads(done.stdout))


def compiled(folder: Path) -> Path:
    """The program. Raises LoadFailed without a C compiler or OpenSSL's headers."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise LoadFailed("no C compiler in PATH; install one (Debian: apt-get install gcc libssl-dev)")
    program = folder / "https_load"
    done = subprocess.run(  # noqa: S603 - our own source
        [compiler, "-O2", "-o", program, SOURCE, "-lssl", "-lcrypto"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LoadFailed(f"https_load.c: does not compile (Debian: apt-get install libssl-dev):\n{done.stderr[-800:]}")
    return program
