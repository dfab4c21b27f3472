"""One outcome, told to everyone: status and Events by the leader; metrics, page and decision log by every replica."""

import logging
from typing import Protocol

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import NotLeader
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.explain.decision_log import DecisionLog
from autoscaler.explain.events import Events
from autoscaler.explain.own_metrics import ControllerMetrics
from autoscaler.explain.status_writes import StatusWrites
from autoscaler.lead_times.recorder import LeadTimeRecorder
from autoscaler.lead_times.store import Store
from autoscaler.leader.leadership import Leadership
from autoscaler.next_lead_time import NextLeadTime
from autoscaler.outcome import Outcome
from autoscaler.page.history import History
from autoscaler.pod_owners import PodOwners
from autoscaler.pool_steps import PoolSteps
from autoscaler.turn import Decided

_log = logging.getLogger(__name__)


class Forgets(Protocol):
    """Keeps something of each object."""

    def forget(self, key: Key) -> None: ...


class Reports:
    """Implements autoscaler.step.Reporting.

    decisions: None where no log of decisions is kept. What one of them cannot do keeps it from nobody else.
    """

    def __init__(
        self,
        *,
        leadership: Leadership,
        status: StatusWrites,
        events: Events,
        metrics: ControllerMetrics,
        history: History,
        decisions: DecisionLog | None,
        recorder: LeadTimeRecorder,
        lead_time: NextLeadTime,
        owners: PodOwners,
        pools: PoolSteps,
        store: Store,
    ) -> None:
        self._leadership = leadership
        self._status = status
        self._events = events
        self._metrics = metrics
        self._history = history
        self._decisions = decisions
        self._recorder = recorder
        self._lead_time = lead_time
        self._owners = owners
        self._pools = pools
        self._store = store
        self._refused: dict[str, str] = {}

    async def report(self, autoscaler: Autoscaler, outcome: Outcome, decided: Decided | None) -> None:
        self._metrics.step(outcome)
        self._history.record(outcome)
        if decided is not None:
            self._keep(autoscaler, outcome, decided)
        if not self._leadership.may_write():
            self._events.follow(outcome)
            return
        try:
            await self._status.report(autoscaler, outcome)
            self._refused.pop("status", None)
        except NotLeader:
            pass
        except ApiError as error:
            self._failed("status", error)
        try:
            await self._events.report(autoscaler, outcome)
            self._refused.pop("events", None)
        except NotLeader:
            pass
        except ApiError as error:
            self._failed("events", error)

    def failed(self, reason: str) -> None:
        self._metrics.error(reason)

    def forget(self, key: Key) -> None:
        """The object is gone, and everything that is told of it."""
        keepers: tuple[Forgets, ...] = (self._status, self._events, self._metrics, self._history)
        for each in (*keepers, self._recorder, self._lead_time, self._owners, self._pools):
            each.forget(key)
        if self._decisions is not None:
            self._decisions.forget(key)

    def _keep(self, autoscaler: Autoscaler, outcome: Outcome, decided: Decided) -> None:
        """What is learned from, and what is replayed from."""
        key, decision = autoscaler.key, outcome.decision
        assert decision is not None and autoscaler.spec is not None  # noqa: PT018 - there is no Decided without
        self._lead_time.decided(key, decision)
        self._pools.decided(key, decided.seen, decision, outcome.at_ns)
        if self._owners.observed(autoscaler, decided.seen.scale):
            self._recorder.workloads_changed()
        acted = outcome.acted
        if acted.after is not None and acted.before is not None and acted.after > acted.before:
            self._recorder.asked(key, outcome.at_ns)
        before, last = decided.before.predictive.last, decided.after.predictive.last
        if last is not None and (before is None or last.at_ns > before.at_ns):
            tokens = (last.prompt_tokens, last.output_tokens)
            self._store.add_load(key, last.at_ns, last.requests_per_second, *tokens)
        if self._decisions is not None:
            self._decisions.record(
                key,
                autoscaler.spec,
                before=decided.before,
                after=decided.after,
                snapshot=decided.seen.snapshot,
                decision=decision,
                acted=acted,
                at_ns=outcome.at_ns,
                scale_event_taken_back=decided.scale_event_taken_back,
            )

    def _failed(self, what: str, error: ApiError) -> None:
        """Once for each kind of refusal: 1,000 objects would say the same thing every 15 s."""
        self._metrics.error("FailedReport")
        kind = f"{error.status} {error.reason}"
        if self._refused.get(what) != kind:
            _log.warning("%s could not be written: %s; the next step tries again", what, error)
        self._refused[what] = kind
