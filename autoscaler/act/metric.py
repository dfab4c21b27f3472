"""Mode Metric: the need is published for a stock HPA, which takes the largest of it and its own metrics.

    controller /metrics -> adapter (rule) -> External metric leadtime_needed_replicas -> HPA

What is published is the need before our own behavior: the HPA applies its own, and one window is enough.
"""

from collections.abc import Sequence

from autoscaler.act.floor_plan import chosen_hpa
from autoscaler.act.hpa_reading import findings_on
from autoscaler.act.published import PublishedNeeds
from autoscaler.act.result import ActResult
from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.observe.scale import Scale
from autoscaler.outcome import Acted, Finding
from policies.decision import Decision
from policies.hpa import Behavior


def act(
    key: Key,
    scale: Scale,
    hpas: Sequence[HpaSeen],
    decision: Decision,
    *,
    named: str | None,
    our_behavior: Behavior,
    bounds: tuple[int, int],
    hold_seconds: float,
    published: PublishedNeeds,
    now_ns: int,
) -> ActResult:
    """Publish the need, or withdraw it where it is not known, and say what keeps the HPA from following it.

    named: spec.horizontalPodAutoscaler. our_behavior, bounds (minReplicas, maxReplicas): of the
    PredictiveAutoscaler. hold_seconds: of its fallback.
    """
    need, why = need_to_publish(decision, scale.replicas, hold_seconds)
    if need is None:
        published.withdraw(key)
    else:
        need = min(max(need, bounds[0]), bounds[1])
        published.publish(key, need, now_ns)
    hpa = chosen_hpa(hpas, named)
    if isinstance(hpa, Finding):
        return ActResult(acted=Acted(withheld=why), findings=(hpa,))
    findings = findings_on(hpa, key, need=need, status_replicas=scale.status_replicas, our_behavior=our_behavior)
    return ActResult(acted=Acted(withheld=why), findings=tuple(findings))


def need_to_publish(decision: Decision, replicas: int, hold_seconds: float) -> tuple[int | None, str]:
    """(replicas, "") or (None, why not).

    While demand is not known beyond the fallback's hold, only a need for more than there is now is published (a
    schedule, a fallback, another metric): on no value an HPA holds, on a low one it would scale down in ignorance.
    """
    numbers = decision.numbers
    wanted = numbers.get("wanted_replicas")
    if wanted is None:
        return None, f"no need is published: {decision.message}"
    unknown_seconds = numbers.get("unknown_seconds", 0.0)
    if not numbers.get("known", 1.0) and unknown_seconds >= hold_seconds and wanted <= replicas:
        return None, f"no need is published, demand is not known for {unknown_seconds:.0f} s: the HPA holds"
    return round(wanted), ""
