"""What the controller wrote to scales and HPAs, and which of its replicas did: from kube-apiserver's audit log.

Each replica has a token of its own, whose ID (JTI) the API server writes down with every request of it: "Additional
ServiceAccount token information", kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from audit_log import Request
from control_plane import ControlPlane, Flags
from kube_api import Object
from pod_process import PodProcess
from scenario import FLAGS

AUDITED_WRITES: Flags = {
    **FLAGS,
    "kube-apiserver": [
        *FLAGS["kube-apiserver"],
        f"--audit-policy-file={Path(__file__).with_name('controller_audit_policy.yaml')}",
        "--audit-log-path=-",  # among the program's own log lines
    ],
}
"""For start_world."""
_EVENT = '{"kind":"Event","apiVersion":"audit.k8s.io/v1"'


@dataclass(frozen=True, slots=True)
class Write:
    """One request that would change something. token_id: of the replica that sent it.

    replicas: that it asked for: spec.replicas of a scale, spec.minReplicas of an HPA; None where it set neither.
    """

    request: Request
    token_id: str
    replicas: int | None

    @property
    def what(self) -> tuple[str, int | None]:
        """As a test writes it down: ("deployments/scale", 3)."""
        return self.request.resource, self.replicas


def writes(plane: ControlPlane, namespace: str) -> list[Write]:
    """All so far to scales and HPAs of this namespace, refused ones too, in the order in which they were received."""
    with _log(plane).open(encoding="utf-8", errors="replace") as lines:
        events = [json.loads(line) for line in lines if line.startswith(_EVENT) and line.endswith("}\n")]
    found = [_write(event) for event in events if event["objectRef"].get("namespace") == namespace]
    return sorted(found, key=lambda write: write.request.received_ns)


def made(plane: ControlPlane, namespace: str) -> list[tuple[str, int | None]]:
    """Those that succeeded, as tests write them down."""
    return [write.what for write in writes(plane, namespace) if write.request.succeeded]


def scaled_to(plane: ControlPlane, namespace: str) -> list[int]:
    """The replicas of each write to a scale that succeeded."""
    return [count for resource, count in made(plane, namespace) if resource.endswith("/scale") and count is not None]


def token_id(replica: PodProcess) -> str:
    """Of the token that this replica was given."""
    payload = (replica.folder / "credentials" / "token").read_text().split(".")[1]
    claims: Object = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    found: str = claims["jti"]
    return found


def _write(event: Object) -> Write:
    request = Request.of(event)
    (credential,) = event["user"]["extra"]["authentication.kubernetes.io/credential-id"]
    spec = request.sent.get("spec", {})
    return Write(request, credential.removeprefix("JTI="), spec.get("replicas", spec.get("minReplicas")))


def _log(plane: ControlPlane) -> Path:
    (log,) = {process.log for process in plane.processes.running if process.name == "kube-apiserver"}
    return log
