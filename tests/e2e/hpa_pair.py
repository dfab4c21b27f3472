"""The two states in which metrics get lost, side by side: under load, and idle with a scale-down due.

    pair = HpaPair(scene, "vllm:num_requests_waiting", "Pods")
    settle(pair)                    # both at 3 replicas, one under load, one idle
    pair.fails("refuse")
    lose_metrics(pair)              # ScalingActive is False
    hold(pair)                      # the idle one's window ends, and still nothing changes
    pair.heals()
    recover(pair)                   # the load rises, and so do the replicas; the idle one goes down

The functions take several pairs, and wait for all of them together.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from exporter_process import Fault
from exporter_script import by_age
from hpa_watch import SYNC_TIMEOUT_SECONDS, HpaWatch, Moment
from kube_api import Object
from scenario import Scenario

WAITING = "vllm:num_requests_waiting"
TARGET = 5  # requests waiting per pod
SETTLED, RISEN, IDLE = 3, 5, 1  # replicas
WINDOW_SECONDS = 300  # the default


class HpaPair:
    """Two workloads of vLLM and their HPAs on one metric.

    steady: at its target. Its scale-down has no window, so that one sync that saw a part of the load would show.
    idle: scaled up, without load since. Its scale-down waits for a window that ends when `end_window` is called.
    The whole load is on each workload's oldest pod: pages that are read one after the other still add up to it.
    """

    def __init__(self, scene: Scenario, metric: str, kind: str, *, name: str = "") -> None:
        """kind: Pods or External, of the HPAs' metric. name: where a scene has several pairs."""
        self._scene, self._metric, self._kind = scene, metric, kind
        self.reason = f"FailedGet{kind}Metric"
        self.steady = self._autoscales(f"{name}steady", window_seconds=0)
        self.idle = self._autoscales(f"{name}idle", window_seconds=WINDOW_SECONDS)
        self.hpas = (self.steady, self.idle)

    def waiting(self, *, steady: float, idle: float) -> None:
        """Requests that wait, in all, from now on."""
        for hpa, requests in ((self.steady, steady), (self.idle, idle)):
            self._scene.shows({WAITING: by_age(requests)}, app=hpa.target)

    def fails(self, fault: Fault) -> None:
        """Break the pages of all pods."""
        for hpa in self.hpas:
            self._scene.fails(fault, app=hpa.target)

    def heals(self) -> None:
        for hpa in self.hpas:
            self._scene.heals(app=hpa.target)

    def begin_window(self) -> None:
        self._set_window(WINDOW_SECONDS)

    def end_window(self) -> None:
        """As if its time had passed: the controller forgets the recommendations that are older than the window."""
        self._set_window(0)

    def _set_window(self, seconds: int) -> None:
        path = f"/apis/autoscaling/v2/namespaces/{self._scene.namespace}/horizontalpodautoscalers/{self.idle.name}"
        behavior = {"scaleDown": {"stabilizationWindowSeconds": seconds}}
        self._scene.world.plane.api.merge(path, {"spec": {"behavior": behavior}})

    def _autoscales(self, app: str, *, window_seconds: int) -> HpaWatch:
        self._scene.runs("vllm", app)
        behavior = {"scaleDown": {"stabilizationWindowSeconds": window_seconds}}
        metrics = [metric_of(self._kind, self._metric, app)]
        return self._scene.autoscales("hpa-queue.yaml", name=app, behavior=behavior, metrics=metrics)


def metric_of(kind: str, name: str, app: str) -> Object:
    """An entry of an HPA's metrics. External: summed over the pods of this workload."""
    metric: Object = {"name": name}
    if kind == "External":
        metric["selector"] = {"matchLabels": {"app": app}}
    return {
        "type": kind,
        kind.lower(): {"metric": metric, "target": {"type": "AverageValue", "averageValue": str(TARGET)}},
    }


def settle(*pairs: HpaPair) -> None:
    """Both workloads of each pair at 3 replicas: one under load, one idle since, its scale-down not yet due."""
    load = SETTLED * TARGET
    for pair in pairs:
        pair.begin_window()
        pair.waiting(steady=load, idle=load)
    for hpa in _all(pairs):
        hpa.wait_replicas(SETTLED)
    for pair in pairs:
        pair.waiting(steady=load, idle=0)
    for pair in pairs:
        pair.idle.wait_condition("AbleToScale", "True", "ScaleDownStabilized")


def lose_metrics(*pairs: HpaPair) -> None:
    """Until every HPA says that it has none, and why."""
    for pair in pairs:
        for hpa in pair.hpas:
            hpa.wait_condition("ScalingActive", "False", pair.reason)


def hold(*pairs: HpaPair, syncs: int = 3) -> None:
    """The scale-down gets due, and in so many further syncs of each HPA nothing is decided and nothing changes."""
    for pair in pairs:
        pair.end_window()
    before = _present(_all(pairs))
    for hpa, (_, then) in before.items():
        until = partial(_has_failed, then.failed_syncs + syncs)
        hpa.wait(until, f"failing {syncs} times", timeout_seconds=syncs * SYNC_TIMEOUT_SECONDS)
    for hpa, (start, then) in before.items():
        for moment in hpa.timeline[start:]:
            assert moment.syncs == then.syncs, f"{hpa.name}: decided without a metric\n{hpa.table()}"
            assert moment.replicas == moment.desired == SETTLED, f"{hpa.name}: did not hold\n{hpa.table()}"
            assert moment.condition("AbleToScale") == ("True", "SucceededGetScale"), hpa.table()


def stay(*hpas: HpaWatch, syncs: int = 3) -> None:
    """Each HPA decides so many times more, and leaves its 3 replicas as they are. Syncs that fail do not count."""
    before = _present(hpas)
    for hpa, (_, then) in before.items():
        until = partial(_has_decided, then.syncs + syncs)
        hpa.wait(until, f"deciding {syncs} times", timeout_seconds=syncs * SYNC_TIMEOUT_SECONDS)
    for hpa, (start, _) in before.items():
        for moment in hpa.timeline[start:]:
            assert moment.replicas == SETTLED, f"{hpa.name}: did not stay\n{hpa.table()}"


def recover(*pairs: HpaPair) -> None:
    """The load rises and the replicas with it, so values flow again; the scale-down that was due comes.

    Neither turns back on its way: while only some pods have a value again, the HPA may stop in between.
    """
    before = _present(_all(pairs))
    for pair in pairs:
        pair.waiting(steady=RISEN * TARGET, idle=0)
    for pair in pairs:
        for hpa, goal in ((pair.steady, RISEN), (pair.idle, IDLE)):
            hpa.wait_replicas(goal, timeout_seconds=60)
            hpa.wait_condition("ScalingActive", "True", "ValidMetricFound")
            start, then = before[hpa]
            path = [then.replicas, *(moment.replicas for moment in hpa.timeline[start:])]
            assert path == sorted(path, reverse=hpa is pair.idle), f"{hpa.name}: turned back\n{hpa.table()}"


def _present(hpas: Iterable[HpaWatch]) -> Mapping[HpaWatch, tuple[int, Moment]]:
    """How long the timeline of each is, and its last moment."""
    return {hpa: (len(hpa.timeline), hpa.now) for hpa in hpas}


def _has_failed(times: int, moment: Moment) -> bool:
    return moment.failed_syncs >= times


def _has_decided(times: int, moment: Moment) -> bool:
    return moment.syncs >= times


def _all(pairs: Iterable[HpaPair]) -> list[HpaWatch]:
    return [hpa for pair in pairs for hpa in pair.hpas]
