"""What a Lease says: who holds it, for how long, since when.

Source: coordination.k8s.io/v1 LeaseSpec; client-go tools/leaderelection/resourcelock/leaselock.go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from policies.snapshot import NS_PER_SECOND

_RELEASED_SECONDS = 1
"""What client-go writes as the duration of a lease that was given up (leaderelection.go, release)."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """`spec` of a Lease. holder: "" for nobody. Times as the API server writes them: only their change is looked at,
    never their value, because they come from another machine's clock."""

    holder: str
    duration_seconds: int
    acquire_time: str
    renew_time: str
    transitions: int

    @property
    def is_released(self) -> bool:
        """Given up by its holder, which has stopped to write. Without a holder, but for another reason (somebody
        edited the Lease), the holder may not know of it yet."""
        return not self.holder and self.duration_seconds <= _RELEASED_SECONDS


def record_of(lease: Mapping[str, Any]) -> LeaseRecord:
    """Whatever stands there; what is missing or no number counts as 0 or ""."""
    spec = lease.get("spec") or {}
    return LeaseRecord(
        holder=str(spec.get("holderIdentity") or ""),
        duration_seconds=_number(spec.get("leaseDurationSeconds")),
        acquire_time=str(spec.get("acquireTime") or ""),
        renew_time=str(spec.get("renewTime") or ""),
        transitions=_number(spec.get("leaseTransitions")),
    )


def with_record(lease: Mapping[str, Any], record: LeaseRecord) -> dict[str, Any]:
    """The Lease with this record in its spec, all else as it was: others' annotations and the resourceVersion."""
    spec = {
        **(lease.get("spec") or {}),
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_seconds,
        "acquireTime": record.acquire_time,
        "renewTime": record.renew_time,
        "leaseTransitions": record.transitions,
    }
    return {**lease, "spec": spec}


def released(record: LeaseRecord, now_ns: int) -> LeaseRecord:
    now = micro_time(now_ns)
    return LeaseRecord("", _RELEASED_SECONDS, now, now, record.transitions)


def micro_time(now_ns: int) -> str:
    """metav1.MicroTime: RFC 3339 with six digits."""
    seconds, rest_ns = divmod(now_ns, NS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06d}Z"


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
