"""From what was recorded of a cluster to the syncs of each HPA: what the controller saw, and what it decided.

One sync is one run of reconcileAutoscaler (pkg/controller/podautoscaler/horizontal.go, v1.36.3): it reads the target's
scale, asks for each metric, perhaps writes the scale, perhaps writes the HPA's status. The controller never runs two of
one HPA at a time, so a sync lasts from one read of its target's scale to the next,
and the last until the controller finds the HPA deleted.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from audit_log import Request
from decision_log import DecisionLog, Logged
from metric_replies import asks, observation
from pod_history import PodChange, views
from recording_proxy import Reply
from sync_record import Answer, RecordedHpa, RecordedSync, Status, spec_of, status_of

from policies.hpa import ControllerOptions
from policies.snapshot import MetricQuery, Observation

WATCH_SLACK_NS = 500_000_000
"""How much sooner or later than our watch the controller's may be told of a pod's change."""

_METRIC_GROUPS = ("custom.metrics.k8s.io", "external.metrics.k8s.io", "metrics.k8s.io")
_HPA_STATUS = "horizontalpodautoscalers/status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Of one cluster: requests of the audit log, the controller's own log, replies by audit ID, changes of pods."""

    options: ControllerOptions
    requests: Sequence[Request]
    log: DecisionLog
    replies: Mapping[str, Reply]
    pods: Sequence[PodChange]


def recorded_hpas(recording: Recording) -> list[RecordedHpa]:
    """Every HPA whose status was written."""
    by_namespace: dict[str, list[Request]] = defaultdict(list)
    for request in recording.requests:
        by_namespace[request.namespace].append(request)
    found = []
    for namespace, requests in by_namespace.items():
        pods = tuple(change for change in recording.pods if change.namespace == namespace)
        names = dict.fromkeys(one.name for one in requests if one.resource == _HPA_STATUS and one.succeeded)
        found += [_Hpa(recording, namespace, name, requests, pods).recorded() for name in names]
    return found


class _Hpa:
    """Puts together what belongs to one HPA."""

    def __init__(
        self,
        recording: Recording,
        namespace: str,
        name: str,
        requests: Sequence[Request],
        pods: tuple[PodChange, ...],
    ) -> None:
        """requests, pods: of the namespace."""
        self._recording, self._namespace, self._name, self._pods = recording, namespace, name, pods
        self._writes = [one for one in requests if one.resource == _HPA_STATUS and one.name == name]
        sent = self._writes[0].sent
        self._spec = spec_of(sent["spec"], recording.options)
        target = sent["spec"]["scaleTargetRef"]
        self._target = f"{target['kind']}/{namespace}/{target['name']}"
        resource = f"{target['kind'].lower()}s/scale"
        self._scale = [one for one in requests if (one.resource, one.name) == (resource, target["name"])]
        self._asked = [one for one in requests if one.group in _METRIC_GROUPS]
        self._stored = Status()

    def recorded(self) -> RecordedHpa:
        reads = _first_reads(self._scale)
        ends = [one.received_ns for one in reads[1:]]
        ends += [one.at_ns for one in self._recording.log.deletions if one.of == f"{self._namespace}/{self._name}"]
        syncs = [self._sync(read, end_ns) for read, end_ns in zip(reads, ends, strict=False)]
        return RecordedHpa(
            namespace=self._namespace,
            name=self._name,
            spec=self._spec,
            syncs=tuple(syncs),
            cut_off=len(reads) - len(syncs),
        )

    def _sync(self, read: Request, until_ns: int) -> RecordedSync:
        def within(at_ns: int) -> bool:
            return read.received_ns <= at_ns < until_ns

        observations, answered_ns, lost = self._observed(read, until_ns)
        proposal = _first(self._recording.log.proposals, self._target, within)
        if proposal and len(observations) < len({metric.query for metric in self._spec.metrics}):
            lost = lost or "a metric was judged, and no request for it is known"
        updates = [one for one in self._scale if one.verb == "update" and within(one.received_ns)]
        written = next((one for one in updates if one.succeeded), None)
        rescale = _first(self._recording.log.rescales, f"{self._namespace}/{self._name}", within)
        writes = [one for one in self._writes if within(one.received_ns)]
        if any(spec_of(one.sent["spec"], self._recording.options) != self._spec for one in writes):
            lost = lost or "the HPA's spec is not what it was"
        status = status_of(writes[-1].sent["status"]) if writes else self._stored
        if writes and writes[-1].succeeded:
            self._stored = status
        at_ns = proposal.at_ns if proposal else answered_ns
        return RecordedSync(
            at_ns=at_ns,
            rescaled_ns=rescale.at_ns if rescale else at_ns,
            replicas=read.reply["spec"].get("replicas", 0) if read.succeeded else None,
            status_replicas=read.reply["status"]["replicas"] if read.succeeded else 0,
            scale_write_failed=bool(updates) and written is None,
            status_write_failed=bool(writes) and not writes[-1].succeeded,
            observations=observations,
            views=views(self._pods, _selector(read), at_ns=at_ns, slack_ns=WATCH_SLACK_NS) if read.succeeded else (),
            answer=Answer(
                proposed=proposal.replicas if proposal else None,
                metric=proposal.metric if proposal else "",
                written=written.sent["spec"].get("replicas", 0) if written else None,
                status=status,
            ),
            lost=lost,
        )

    def _observed(self, read: Request, until_ns: int) -> tuple[dict[MetricQuery, Observation], int, str]:
        """The answers to the HPA's queries, when the last was given, and what is missing of them."""
        seen: dict[MetricQuery, Observation] = {}
        last_ns, lost = read.answered_ns, ""
        mine = [one for one in self._asked if read.received_ns <= one.received_ns < until_ns]
        for query in dict.fromkeys(metric.query for metric in self._spec.metrics):
            asked = [one for one in mine if asks(query, one.uri, pod_selector=_selector(read))]
            if not asked:
                continue
            if any(one.succeeded for one in asked[:-1]):
                lost = f"{query.name} was asked for {len(asked)} times"
            reply = self._recording.replies.get(asked[-1].audit_id)
            if reply is None and asked[-1].succeeded:
                lost = f"no reply of {asked[-1].uri} is known"
            seen[query] = observation(query, reply or Reply(asked[-1].status, None))
            last_ns = max(last_ns, asked[-1].answered_ns)
        return seen, last_ns, lost


def _first(logged: Sequence[Logged], of: str, within: Callable[[int], bool]) -> Logged | None:
    return next((one for one in logged if one.of == of and within(one.at_ns)), None)


def _first_reads(scale: Sequence[Request]) -> list[Request]:
    """The reads that begin a sync: not those by which a write that failed is tried again."""
    reads = []
    before: Request | None = None
    for request in scale:
        is_retry = before is not None and before.verb == "update" and not before.succeeded
        if request.verb == "get" and not is_retry:
            reads.append(request)
        before = request
    return reads


def _selector(read: Request) -> str:
    selector: str = read.reply["status"].get("selector", "") if read.succeeded else ""
    return selector
