"""kube-apiserver's audit log of the HPA controller: its requests, in order, with exact times.

Format: k8s.io/apiserver pkg/apis/audit/v1/types.go (Event). What is logged: audit_policy.yaml.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from control_plane import Flags
from kube_api import Object

AUDITED: Flags = {
    "kube-apiserver": [
        f"--audit-policy-file={Path(__file__).with_name('audit_policy.yaml')}",
        "--audit-log-path=-",  # among the program's own log lines
    ]
}
_EVENT = '{"kind":"Event","apiVersion":"audit.k8s.io/v1"'
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request and its answer. received_ns, answered_ns: since the Unix epoch, to the microsecond.

    uri: path and query as sent. resource: as in "deployments/scale". name: the object's. status: of HTTP.
    sent, reply: the bodies, {} where the policy leaves them out.
    """

    audit_id: str
    received_ns: int
    answered_ns: int
    verb: str
    uri: str
    group: str
    resource: str
    namespace: str
    name: str
    status: int
    sent: Object = field(default_factory=dict)
    reply: Object = field(default_factory=dict)

    @classmethod
    def of(cls, event: Object) -> Self:
        of, status = event["objectRef"], event.get("responseStatus", {})
        subresource = of.get("subresource")
        return cls(
            audit_id=event["auditID"],
            received_ns=unix_ns(event["requestReceivedTimestamp"]),
            answered_ns=unix_ns(event["stageTimestamp"]),
            verb=event["verb"],
            uri=event["requestURI"],
            group=of.get("apiGroup", ""),
            resource=f"{of['resource']}/{subresource}" if subresource else of["resource"],
            namespace=of.get("namespace", ""),
            name=of.get("name", ""),
            status=status.get("code", 0),
            sent=event.get("requestObject", {}),
            reply=event.get("responseObject", {}),
        )

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


def read_audit_log(log: Path) -> list[Request]:
    """Every request that was logged, by the time it was received. log: kube-apiserver's."""
    events: list[Any] = []
    with log.open(encoding="utf-8", errors="replace") as lines:
        events += [json.loads(line) for line in lines if line.startswith(_EVENT) and line.endswith("}\n")]
    return sorted((Request.of(event) for event in events), key=lambda request: request.received_ns)


def unix_ns(timestamp: str) -> int:
    """RFC 3339 -> nanoseconds since the Unix epoch."""
    return (datetime.fromisoformat(timestamp) - _EPOCH) // timedelta(microseconds=1) * 1000
