"""A fixed replica count: the fleet that is sized for its peak and never touched.

One end of every frontier: nothing is late, and everything is paid for.
"""

from dataclasses import dataclass

from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.policy import Policy
from policies.snapshot import Snapshot

_MOST_REPLICAS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSpec:
    """How many, always."""

    replicas: int = parameter("replicas", "what the peak needs; asked for at every sync", 8)


def static_policy(spec: StaticSpec, name: str = "static") -> Policy[StaticSpec, None]:
    """The rule with its spec checked; raises BadInput."""
    if not 1 <= spec.replicas <= _MOST_REPLICAS:
        raise BadInput(f"replicas: was {spec.replicas}, must be in [1, {_MOST_REPLICAS}]")
    return Policy(name=name, decide=decide, spec=spec, initial_state=None, queries=())


def decide(spec: StaticSpec, state: None, snapshot: Snapshot, now_ns: int) -> tuple[Decision, None]:  # noqa: ARG001
    """Ask for the fixed count, whatever is there and whatever is known."""
    kept = snapshot.replicas == spec.replicas
    change = f"{spec.replicas} replicas kept" if kept else f"{snapshot.replicas} -> {spec.replicas} replicas"
    decision = Decision(
        desired_replicas=spec.replicas,
        reason="FixedReplicas",
        message=f"{change}: the fleet has a fixed size",
        numbers={"replicas": snapshot.replicas, "desired_replicas": spec.replicas},
    )
    return decision, state


ENTRY = PolicyEntry(
    name="static",
    summary="a fixed replica count, sized for the peak",
    source="none; the over-provisioned end of a frontier",
    spec=StaticSpec,
    knob="replicas",
    build=static_policy,
)
