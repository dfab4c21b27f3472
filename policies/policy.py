"""A policy as a value: its rule, its spec, the state it starts from and the metrics it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from policies.decision import Decision
from policies.snapshot import MetricQuery, Snapshot

Spec = TypeVar("Spec")
State = TypeVar("State")

Decide = Callable[[Spec, State, Snapshot, int], tuple[Decision, State]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Generic[Spec, State]):
    """One configured policy. `decide` is pure; the caller keeps the state between calls.

    name: what tables and reports call it.
    queries: what the caller must put into `Snapshot.observations`.
    period_seconds: how often the rule is meant to run (the HPA's sync period is 15 s).
    scrape_seconds: how often its metrics are collected (15 s unless its own system does better).
    """

    name: str
    decide: Decide[Spec, State]
    spec: Spec
    initial_state: State
    queries: tuple[MetricQuery, ...]
    period_seconds: int = 15
    scrape_seconds: int = 15


@dataclass(slots=True)
class Running(Generic[Spec, State]):
    """A policy with its state in between two calls: the one mutable thing, and it belongs to the caller."""

    policy: Policy[Spec, State]
    state: State

    @classmethod
    def start(cls, policy: Policy[Spec, State]) -> "Running[Spec, State]":
        return cls(policy, policy.initial_state)

    def step(self, snapshot: Snapshot, now_ns: int) -> Decision:
        decision, self.state = self.policy.decide(self.policy.spec, self.state, snapshot, now_ns)
        return decision
