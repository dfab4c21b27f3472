"""A policy as a value: its rule, its spec, the state it starts from and the metrics it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND, MetricQuery, Snapshot

Spec = TypeVar("Spec")
State = TypeVar("State")

Decide = Callable[[Spec, State, Snapshot, int], tuple[Decision, State]]
Learn = Callable[[Spec, State, int], State]
"""(spec, state, now_ns) -> state. Pure like a decision, but it may take seconds: a caller keeps it apart from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Generic[Spec, State]):
    """One configured policy. `decide` is pure; the caller keeps the state between calls.

    name: what tables and reports call it.
    queries: what the caller must put into `Snapshot.observations`.
    period_seconds: how often the rule is meant to run (the HPA's sync period is 15 s).
    scrape_seconds: how often its metrics are collected (15 s unless its own system does better).
    learn: what the caller does every learn_period_seconds, after a decision; None where nothing is learned.
    """

    name: str
    decide: Decide[Spec, State]
    spec: Spec
    initial_state: State
    queries: tuple[MetricQuery, ...]
    period_seconds: int = 15
    scrape_seconds: int = 15
    learn: Learn[Spec, State] | None = None
    learn_period_seconds: int = 3_600


@dataclass(slots=True)
class Running(Generic[Spec, State]):
    """A policy with its state in between two calls: the one mutable thing, and it belongs to the caller."""

    policy: Policy[Spec, State]
    state: State
    learned_ns: int | None = None

    @classmethod
    def start(cls, policy: Policy[Spec, State]) -> "Running[Spec, State]":
        return cls(policy, policy.initial_state)

    def step(self, snapshot: Snapshot, now_ns: int) -> Decision:
        decision, self.state = self.policy.decide(self.policy.spec, self.state, snapshot, now_ns)
        return decision

    def learn_if_due(self, now_ns: int) -> bool:
        """Let the policy learn when its period is over since the last time, or since the first call; whether it did."""
        if self.learned_ns is None:
            self.learned_ns = now_ns
        if self.policy.learn is None or now_ns - self.learned_ns < self.policy.learn_period_seconds * NS_PER_SECOND:
            return False
        self.learned_ns = now_ns
        self.state = self.policy.learn(self.policy.spec, self.state, now_ns)
        return True
