"""The step of one PredictiveAutoscaler, whatever happens: its outcome is always told, and nothing is raised.

its spec as it stands -> reconcile: observe, decide, act, report
                     \\-> a finding that says what is in the way; nothing is written then
"""

import logging
from collections.abc import Callable
from typing import Protocol

from autoscaler.autoscaler import Autoscaler
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.observe.target_error import TargetError
from autoscaler.outcome import Finding, Outcome
from autoscaler.reconcile import reconcile
from autoscaler.turn import Around, Decided, TookTooLong, Turn
from autoscaler.workload import Workloads
from policies.errors import BadInput

_log = logging.getLogger(__name__)


class Reporting(Protocol):
    """Tells outcomes to everyone who wants to know."""

    async def report(self, autoscaler: Autoscaler, outcome: Outcome, decided: Decided | None) -> None:
        """Raises nothing for what the API server refuses. decided: None where it did not come to acting."""
        ...

    def failed(self, reason: str) -> None:
        """To be counted: why a step came to no good end, in one CamelCase word."""
        ...


class Steps:
    """For all objects; steps of one object must not overlap."""

    def __init__(
        self,
        around: Around,
        *,
        workloads: Workloads,
        reporting: Reporting,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._around = around
        self._workloads = workloads
        self._reporting = reporting
        self._clock = clock
        self._monotonic = monotonic

    async def step(self, key: Key) -> bool:
        """One step; False where it took too long. Nothing where the object is gone."""
        autoscaler = self._around.world.autoscalers.get(key)
        if autoscaler is None:
            return True
        began = self._monotonic()

        async def tell(turn: Turn) -> None:
            await self._reporting.report(autoscaler, turn.outcome(self._monotonic() - began), turn.decided)

        turn = Turn(self._around, autoscaler, self._clock.now_ns(), tell)
        with self._around.tracing.span("reconcile", {"namespace": key.namespace, "predictiveautoscaler": key.name}):
            reason, finding = await self._reconciled(turn)
            if finding is not None:
                self._reporting.failed(reason)
                turn.findings += (finding,)
                await self._tell_of_failure(turn)
        return reason != "Timeout"

    async def _reconciled(self, turn: Turn) -> tuple[str, Finding | None]:
        """The step; what was in its way, as a word to count and a finding."""
        key, spec = turn.autoscaler.key, turn.autoscaler.spec
        if spec is None:
            return "InvalidSpec", _not_ready("InvalidSpec", turn.autoscaler.fault)
        try:
            turn.workload = self._workloads.current(turn.autoscaler)
            await reconcile(key, cluster=turn, running=turn.workload.running, clock=turn)
        except BadInput as error:
            return "InvalidSpec", _not_ready("InvalidSpec", str(error))
        except TargetError as error:
            return error.reason, Finding(
                type="AbleToScale",
                status="Unknown" if error.retry_helps else "False",
                reason="FailedGetScale",  # the HPA's own word
                message=error.message,
            )
        except TookTooLong as error:
            return "Timeout", Finding(type="AbleToScale", status="Unknown", reason="Timeout", message=str(error))
        except Exception as error:  # a fault of ours in one object's step: all others go on
            _log.exception("step failed: autoscaler=%s/%s", key.namespace, key.name)
            message = f"{type(error).__name__}: {error}; this is a bug: please report it with the controller's log"
            return "InternalError", _not_ready("InternalError", message)
        return "", None

    async def _tell_of_failure(self, turn: Turn) -> None:
        """Unless it was the telling that failed."""
        if turn.is_told:
            return
        try:
            await turn.tell()
        except TookTooLong as error:
            _log.warning("autoscaler=%s/%s: %s", turn.autoscaler.key.namespace, turn.autoscaler.key.name, error)
        except Exception:
            _log.exception("telling failed: autoscaler=%s/%s", turn.autoscaler.key.namespace, turn.autoscaler.key.name)


def _not_ready(reason: str, message: str) -> Finding:
    return Finding(type="Ready", status="False", reason=reason, message=message)
