"""One decision, acted upon in the object's mode. May be killed between any two lines and run again."""

from collections.abc import Sequence
from dataclasses import replace

from autoscaler.act import direct, floor, metric, recommend
from autoscaler.act.conflicts import older_acts
from autoscaler.act.floor import FloorMemory
from autoscaler.act.floor_plan import FORCE_ANNOTATION, chosen_hpa
from autoscaler.act.hpa_reading import metric_read, still_reading
from autoscaler.act.published import PublishedNeeds
from autoscaler.act.result import ActResult, withheld
from autoscaler.act.switching import StandingFloors
from autoscaler.act.writer import Writer
from autoscaler.autoscaler import PAUSED_ANNOTATION, Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.observe.scale import Scale
from autoscaler.outcome import Finding
from policies.decision import Decision
from policies.hpa import Behavior


class Actor:
    """Acts for all objects; the steps of one object must not overlap.

    published: what mode Metric shows on /metrics.
    """

    def __init__(self, writer: Writer, published: PublishedNeeds) -> None:
        self._writer = writer
        self._published = published
        self._floors: dict[Key, FloorMemory] = {}
        self._standing = StandingFloors()

    async def act(
        self,
        autoscaler: Autoscaler,
        scale: Scale,
        decision: Decision,
        hpas: Sequence[HpaSeen],
        *,
        behavior: Behavior,
        now_ns: int,
        cluster_paused: bool = False,
        older: Key | None = None,
    ) -> ActResult:
        """What was written or withheld, and what people should know.

        hpas: all on the workload. behavior: in force by the spec. cluster_paused: the Lease says so.
        older: another PredictiveAutoscaler that acts on this workload (conflicts.older_rivals).
        Never raises for what the API server refuses: then `acted.error` says what, and the next step tries again.
        """
        spec, key = autoscaler.spec, autoscaler.key
        assert spec is not None, f"{key}: there is no decision without a spec"
        if spec.mode != "Metric":
            self._published.withdraw(key)
        if paused := why_paused(autoscaler, cluster_paused=cluster_paused):
            self._published.withdraw(key)
            return withheld(paused)
        is_taken = older is not None and spec.mode != "Recommend"
        if is_taken:
            self._published.withdraw(key)
        kept = None if is_taken else _floor_kept(spec, hpas)
        undone = await self._standing.give_back(key, [hpa.name for hpa in hpas], writer=self._writer, keep=kept)
        if undone.acted.error or undone.acted.withheld:
            return undone
        if is_taken:
            assert older is not None
            finding = older_acts(older)
            result = withheld(finding.message, finding)
        else:
            result = await self._by_mode(autoscaler, spec, scale, decision, hpas, behavior, now_ns)
        if undone.acted.to and not result.acted.to:
            result = replace(result, acted=undone.acted)
        return replace(result, findings=(*result.findings, *_waiting_in_vain(spec, key, hpas)))

    async def _by_mode(
        self,
        autoscaler: Autoscaler,
        spec: PredictiveAutoscalerSpec,
        scale: Scale,
        decision: Decision,
        hpas: Sequence[HpaSeen],
        behavior: Behavior,
        now_ns: int,
    ) -> ActResult:
        key = autoscaler.key
        if spec.mode == "Recommend":
            return recommend.act(scale, decision)
        if spec.mode == "Direct":
            return await direct.act(scale, decision, hpas, writer=self._writer)
        if spec.mode == "Metric":
            return metric.act(
                key,
                scale,
                hpas,
                decision,
                named=spec.horizontal_pod_autoscaler,
                our_behavior=behavior,
                bounds=(spec.min_replicas, spec.max_replicas),
                hold_seconds=spec.fallback.hold_seconds,
                published=self._published,
                now_ns=now_ns,
            )
        hpa = chosen_hpa(hpas, spec.horizontal_pod_autoscaler)
        if isinstance(hpa, Finding):
            return withheld(hpa.message, hpa)
        self._standing.may_stand(key)
        return await floor.act(
            key,
            hpa,
            decision,
            may_force=autoscaler.annotations.get(FORCE_ANNOTATION) == "true",
            memory=self._floors.setdefault(key, FloorMemory()),
            writer=self._writer,
            now_ns=now_ns,
        )

    async def give_back(self, key: Key, hpas: list[str]) -> ActResult:
        """Of an object that was deleted: undo its floor on these HPAs of its namespace."""
        result = await self._standing.give_back(key, hpas, writer=self._writer)
        self._standing.forget(key)
        return result

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._published.withdraw(key)
        self._floors.pop(key, None)
        self._standing.forget(key)


def why_paused(autoscaler: Autoscaler, *, cluster_paused: bool) -> str:
    """ "" where nothing pauses this object."""
    if cluster_paused:
        return f"the whole cluster is paused; remove the annotation {PAUSED_ANNOTATION} from the controller's Lease"
    if autoscaler.spec is not None and autoscaler.spec.paused:
        return "paused by spec.paused; set it to false"
    if autoscaler.annotations.get(PAUSED_ANNOTATION) == "true":
        return f"paused by the annotation {PAUSED_ANNOTATION}; remove it"
    return ""


def _floor_kept(spec: PredictiveAutoscalerSpec, hpas: Sequence[HpaSeen]) -> str | None:
    """The HPA whose floor is wanted; while it is not clear which one that is, the named one."""
    if spec.mode != "Floor":
        return None
    chosen = chosen_hpa(hpas, spec.horizontal_pod_autoscaler)
    return spec.horizontal_pod_autoscaler if isinstance(chosen, Finding) else chosen.name


def _waiting_in_vain(spec: PredictiveAutoscalerSpec, key: Key, hpas: Sequence[HpaSeen]) -> tuple[Finding, ...]:
    if spec.mode == "Metric":
        return ()
    return tuple(still_reading(hpa, spec.mode) for hpa in hpas if metric_read(hpa, key) is not None)
