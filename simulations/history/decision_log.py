"""Every decision of a run, in the words in which it was made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from policies.decision import Decision
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, Snapshot

_KEPT = ("needed_replicas", "ahead_replicas", "margin", "capacity_requests_per_second", "lead_time_seconds")
"""Of a decision's numbers: a run of two weeks makes 80,000 decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One decision. at_seconds: Unix time. replicas: what was asked for before it."""

    at_seconds: float
    replicas: int
    desired_replicas: int
    message: str
    numbers: Mapping[str, float]


def logged(policy: Policy[Any, Any]) -> tuple[Policy[Any, Any], list[Logged]]:
    """The same policy, and a list that grows by each of its decisions."""
    log: list[Logged] = []

    def decide(spec: Any, state: Any, snapshot: Snapshot, now_ns: int) -> tuple[Decision, Any]:
        decision, after = policy.decide(spec, state, snapshot, now_ns)
        log.append(
            Logged(
                at_seconds=now_ns / NS_PER_SECOND,
                replicas=snapshot.replicas,
                desired_replicas=decision.desired_replicas,
                message=decision.message,
                numbers={name: decision.numbers[name] for name in _KEPT if name in decision.numbers},
            )
        )
        return decision, after

    return replace(policy, decide=decide), log
