"""The syncs of a real HPA controller, decided again by policies.hpa: are the answers the same?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

from sync_join import WATCH_SLACK_NS
from sync_record import Answer, RecordedHpa, RecordedSync, Status

from policies.hpa import HPASpec, HPAState, propose, rescale_failed, rescaled, scale_unreadable
from policies.hpa.golden_values import conditions_to_json, status_to_json
from policies.snapshot import NS_PER_SECOND, Pod, Snapshot


@dataclass(slots=True)
class Comparison:
    """How many syncs were compared, and how they came out.

    matched: the answers are equal in every field. of these: ambiguous, pods changed so shortly before or after that
    the controller may have seen them so or so; resolved, and only the pods as they were at another time within that
    span give its answer. mismatches: texts, one a sync. lost: why, one a sync that could not be replayed.
    cut_off: last syncs, of HPAs that were not deleted in the end.
    """

    hpas: int = 0
    matched: int = 0
    ambiguous: int = 0
    resolved: int = 0
    rescales: int = 0
    cut_off: int = 0
    mismatches: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def syncs(self) -> int:
        return self.matched + len(self.mismatches) + len(self.lost)

    def __str__(self) -> str:
        return (
            f"{self.syncs} syncs of {self.hpas} HPAs, {self.rescales} of them rescales: {self.matched} matched, "
            f"{len(self.mismatches)} mismatched, {len(self.lost)} unmatched; pods changed within "
            f"{WATCH_SLACK_NS / NS_PER_SECOND:g} s of {self.ambiguous}, which made a difference to {self.resolved}; "
            f"{self.cut_off} more were under way at the end"
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried from sync to sync."""

    state: HPAState = field(default_factory=HPAState)
    status: Status = field(default_factory=Status)


def compare(hpas: Iterable[RecordedHpa]) -> Comparison:
    """Replay every HPA from its first sync."""
    result = Comparison()
    for hpa in hpas:
        result.hpas += 1
        result.cut_off += hpa.cut_off
        _compare(hpa, result)
    return result


def _compare(hpa: RecordedHpa, result: Comparison) -> None:
    memory, lost = Memory(), ""
    for number, sync in enumerate(hpa.syncs, start=1):
        where = f"{hpa.namespace}/{hpa.name}, sync {number} of {len(hpa.syncs)}"
        lost = lost or sync.lost  # what follows starts from a state that nobody knows
        if lost:
            result.lost.append(f"{where}: {lost}")
            continue
        replays = [replay(hpa.spec, memory, sync, view) for view in sync.views or ((),)]
        chosen = next((index for index, (answer, _) in enumerate(replays) if answer == sync.answer), None)
        answer, memory = replays[chosen or 0]
        result.rescales += sync.answer.written is not None
        if chosen is None:
            result.mismatches.append(f"{where}\n{_difference(sync.answer, answer)}\n{_inputs(hpa, sync)}")
            continue
        result.matched += 1
        result.ambiguous += len(sync.views) > 1
        result.resolved += chosen > 0


def replay(spec: HPASpec, memory: Memory, sync: RecordedSync, pods: Sequence[Pod]) -> tuple[Answer, Memory]:
    """What policies.hpa answers to one sync."""
    before = memory.state
    if sync.replicas is None:
        state = scale_unreadable(before, "", sync.at_ns)
        status = replace(memory.status, conditions=_conditions(state))
        return Answer(proposed=None, metric="", written=None, status=status), _kept(memory, sync, state, status)
    snapshot = Snapshot(
        replicas=sync.replicas,
        status_replicas=sync.status_replicas,
        pods=tuple(pods),
        observations=sync.observations,
    )
    proposal, state = propose(spec, before, snapshot, sync.at_ns)
    written = None
    if proposal.rescale and sync.scale_write_failed:
        state = rescale_failed(state, "", sync.at_ns)
    elif proposal.rescale:
        state = rescaled(spec, state, proposal, sync.rescaled_ns)
        written = proposal.desired_replicas
    result = proposal.metrics
    counts = () if result is None else zip(spec.metrics, result.counts, strict=True)
    status = Status(
        current_replicas=proposal.current_replicas,
        desired_replicas=state.desired_replicas,
        conditions=_conditions(state),
        metrics=tuple(status_to_json(metric, count) or {} for metric, count in counts),
    )
    answer = Answer(
        proposed=result.replicas if result else None,
        metric=result.metric if result else "",
        written=written,
        status=status,
    )
    return answer, _kept(memory, sync, state, status)


def _kept(before: Memory, sync: RecordedSync, state: HPAState, status: Status) -> Memory:
    """The controller's memory outlives a status that could not be written; the status does not."""
    if not sync.status_write_failed:
        return Memory(state, status)
    known = before.state
    state = replace(
        state,
        conditions=known.conditions,
        desired_replicas=known.desired_replicas,
        last_scale_ns=known.last_scale_ns,
    )
    return Memory(state, before.status)


def _conditions(state: HPAState) -> dict[str, tuple[str, str]]:
    return {kind: (status, reason) for kind, (status, reason) in conditions_to_json(state.conditions).items()}


def _difference(real: Answer, ours: Answer) -> str:
    """One line for each field that is not the same."""
    pairs = [(one.name, getattr(real, one.name), getattr(ours, one.name)) for one in fields(Answer)]
    pairs += [(one.name, getattr(real.status, one.name), getattr(ours.status, one.name)) for one in fields(Status)]
    return "\n".join(f"  {name}: real {a!r}, ours {b!r}" for name, a, b in pairs if a != b and name != "status")


def _inputs(hpa: RecordedHpa, sync: RecordedSync) -> str:
    seen = "\n".join(f"  {query.name}: {answer!r}" for query, answer in sync.observations.items())
    pods = "\n".join(f"  pods, view {index}: {view!r}" for index, view in enumerate(sync.views))
    scale = f"  at {sync.at_ns} ns: replicas {sync.replicas}, status.replicas {sync.status_replicas}"
    return f"{scale}\n{seen}\n{pods}\n  {hpa.spec!r}"
