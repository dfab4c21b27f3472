"""From what workloads need to what a node pool is told: a floor (its min-size) and how many of it may be spot.

    replicas asked for and needed now  -> GPUs -> what that comes to by the time a node is ready (need_ahead.py)
    what is ahead beyond the pods      -> placeholders, replicas' worth of headroom
    pods without a node, placeholders  -> packed on the free GPUs and then on new nodes -> floor

The floor is moved within bounds: up at once, at most max_step_nodes; down only after cooldown_seconds in which nobody
needed it. It is never below the nodes that hold pods, and never lowered because a need is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from policies.nodepools.need_ahead import NeedHistory, need_ahead
from policies.nodepools.packing import pack
from policies.nodepools.pool_seen import PoolSeen
from policies.nodepools.spec import PoolSpec
from policies.nodepools.spot import spot_plan
from policies.nodepools.stockout import Asks, follow
from policies.snapshot import NS_PER_SECOND

_MAX_STEP, _COOLDOWN, _NEED_UNKNOWN = "MaxStep", "Cooldown", "NeedUnknown"


class PoolCondition(StrEnum):
    """Whether the pool can hold what is needed; what is lacking otherwise."""

    READY = "Ready"
    AT_MAX_NODES = "AtMaxNodes"
    QUOTA_EXCEEDED = "QuotaExceeded"
    STOCKED_OUT = "StockedOut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """What is kept free beside the pods, and for whom it is safe to count on nodes.

    quantile: share of moments that no climb within a node's lead time surprises, in [0.5, 0.999]. More than
        the default hardly ever paid (docs/nodepools.md).
    attainment, replace_seconds: asked of spot nodes, and how long one is missed: node, image and model load.
    """

    quantile: float = 0.5
    attainment: float = 0.99
    replace_seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolState:
    """Everything the rule remembers. floor_nodes: None before the first; all of it was needed last at needed_ns."""

    history: NeedHistory = field(default_factory=NeedHistory)
    asks: Asks = field(default_factory=Asks)
    floor_nodes: int | None = None
    needed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDecision:
    """What the pool should be told now.

    floor_nodes: its min-size. on_demand_nodes + spot_nodes: the floor and the spares that spot takes.
    placeholders: GPUs of one -> how many: pods of low priority that hold the headroom where no min-size can be set.
    other_pool: takes missing_nodes, where one was named. reason: one CamelCase word. message: one sentence.
    """

    floor_nodes: int
    on_demand_nodes: int
    spot_nodes: int
    placeholders: Mapping[int, int]
    condition: PoolCondition
    missing_nodes: int
    other_pool: str | None
    reason: str
    message: str
    numbers: Mapping[str, float]


def decide(
    spec: PoolSpec, headroom: Headroom, state: PoolState, seen: PoolSeen, now_ns: int
) -> tuple[NodeDecision, PoolState]:
    """Recommend a floor. Raises BadInput where a workload's replica is larger than a node."""
    asks = follow(state.asks, seen.nodes, spec.provision_seconds, now_ns)
    history = state.history.seen(now_ns, None if seen.need_gpus is None else seen.need_gpus + seen.elsewhere_gpus)
    state = replace(state, asks=asks, history=history)
    lead_seconds = asks.expected_seconds(spec.provision_seconds)
    need = _need(spec, seen, history, lead_seconds, headroom.quantile)
    before = len(seen.nodes) if state.floor_nodes is None else state.floor_nodes
    wanted = before if need is None else need.nodes
    admitted, condition = _admitted(spec, seen, asks, wanted, now_ns)
    floor, held, needed_ns = _moved(spec, state, before, admitted, condition, need is None, now_ns)
    floor = min(max(floor, _occupied(spec, seen), spec.min_nodes), spec.max_nodes)
    missing = max(0, wanted - admitted)
    reason = _NEED_UNKNOWN if need is None else held or condition.value
    plan = spot_plan(
        spec,
        floor,
        replace_seconds=headroom.replace_seconds,
        attainment=headroom.attainment,
        most_nodes=spec.most_nodes,
    )
    numbers = {
        "floor_nodes": float(floor),
        "wanted_nodes": float(wanted),
        "admitted_nodes": float(admitted),
        "nodes": float(len(seen.nodes)),
        "ready_nodes": float(sum(node.is_ready for node in seen.nodes)),
        "node_lead_time_seconds": lead_seconds,
        "failed_asks": float(asks.failures),
        "spot_attainment": plan.attainment,
        "usd_per_hour": plan.usd_per_hour,
        **({} if need is None else {"need_gpus": need.gpus, "ahead_gpus": need.ahead_gpus}),
    }
    decision = NodeDecision(
        floor_nodes=floor,
        on_demand_nodes=plan.on_demand_nodes,
        spot_nodes=plan.spot_nodes,
        placeholders={} if need is None else need.placeholders,
        condition=condition,
        missing_nodes=missing,
        other_pool=spec.other_pool if missing else None,
        reason=reason,
        message="",
        numbers=numbers,
    )
    decision = replace(decision, message=_sentence(spec, before, decision, need, asks, now_ns))
    return decision, replace(state, floor_nodes=floor, needed_ns=needed_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """gpus: of all replicas now. ahead_gpus: until a node is ready. nodes: for those, with what stands there."""

    gpus: float
    ahead_gpus: float
    nodes: int
    placeholders: Mapping[int, int]


def _need(spec: PoolSpec, seen: PoolSeen, history: NeedHistory, lead_seconds: float, quantile: float) -> _Need | None:
    """None while any need is unknown."""
    gpus = seen.need_gpus
    ahead = need_ahead(history, lead_seconds, quantile)
    if gpus is None or ahead is None:
        return None
    ahead = min(max(ahead - seen.elsewhere_gpus, gpus), max(gpus, seen.most_gpus))
    sizes = sorted({each.gpus_per_replica for each in seen.workloads}, reverse=True)
    placeholders = _placeholders(round(max(0.0, ahead - gpus)), sizes)
    occupied = [node.free_gpus for node in seen.nodes if node.is_ready and node.free_gpus < spec.gpus_per_node]
    packing = pack(
        [*(each.unplaced for each in seen.workloads), *placeholders.values()],
        [*(each.gpus_per_replica for each in seen.workloads), *placeholders],
        spec.gpus_per_node,
        occupied,
    )
    return _Need(gpus=gpus, ahead_gpus=ahead, nodes=len(occupied) + packing.new_nodes, placeholders=placeholders)


def _placeholders(gpus: int, sizes: list[int]) -> dict[int, int]:
    """Replicas of the given sizes, largest first, that hold at least so many GPUs."""
    counts = {}
    for size in sizes:
        whole, gpus = divmod(gpus, size)
        counts[size] = whole
    if gpus:
        counts[sizes[-1]] += 1
    return {size: count for size, count in counts.items() if count}


def _occupied(spec: PoolSpec, seen: PoolSeen) -> int:
    """Nodes that hold a pod."""
    return sum(node.free_gpus < spec.gpus_per_node for node in seen.nodes)


def _admitted(spec: PoolSpec, seen: PoolSeen, asks: Asks, wanted: int, now_ns: int) -> tuple[int, PoolCondition]:
    """How many of the wanted nodes can be had, and what is in the way. The nearest obstacle is named."""
    ready = sum(node.is_ready for node in seen.nodes)
    admitted, condition = max(wanted, spec.min_nodes), PoolCondition.READY
    quota = len(seen.nodes) if seen.quota_refused else spec.quota_nodes
    for bound, obstacle in (
        (spec.max_nodes, PoolCondition.AT_MAX_NODES),
        (quota, PoolCondition.QUOTA_EXCEEDED),
        (ready + (not asks.is_stocked_out(now_ns)) if asks.failures else None, PoolCondition.STOCKED_OUT),
    ):
        if bound is not None and admitted > bound:
            admitted, condition = bound, obstacle
    return admitted, condition


def _moved(
    spec: PoolSpec,
    state: PoolState,
    before: int,
    admitted: int,
    condition: PoolCondition,
    is_unknown: bool,
    now_ns: int,
) -> tuple[int, str, int]:
    """(floor, why it is not the admitted one or empty, when the floor was last needed)."""
    if is_unknown:
        return before, "", now_ns
    if admitted >= before:
        floor = min(admitted, before + spec.max_step_nodes)
        return floor, _MAX_STEP if floor < admitted else "", now_ns
    is_soon = now_ns - state.needed_ns < spec.cooldown_seconds * NS_PER_SECOND
    if is_soon and condition is PoolCondition.READY:  # what cannot be had is not asked for any longer
        return before, _COOLDOWN, state.needed_ns
    floor = max(admitted, before - spec.max_step_nodes)
    return floor, _MAX_STEP if floor > admitted else "", state.needed_ns


def _sentence(spec: PoolSpec, before: int, decision: NodeDecision, need: _Need | None, asks: Asks, now_ns: int) -> str:
    floor = decision.floor_nodes
    change = (
        f"{spec.name}: floor of {floor} nodes kept" if floor == before else f"{spec.name}: floor {before} -> {floor}"
    )
    if need is None:
        return f"{change}: what a workload needs is not known, and ignorance is no reason to let nodes go"
    text = (
        f"{change}: pods take {need.gpus:.0f} GPUs and may take {need.ahead_gpus:.1f} by the time a node is ready "
        f"({decision.numbers['node_lead_time_seconds']:.0f} s): {need.nodes} nodes of {spec.gpus_per_node}"
    )
    if decision.reason == _MAX_STEP:
        text += f", at most {spec.max_step_nodes} a step"
    elif decision.reason == _COOLDOWN:
        text += f"; it goes down after {spec.cooldown_seconds:.0f} s without need"
    if decision.condition is PoolCondition.STOCKED_OUT:
        wait_seconds = max(0.0, (asks.retry_ns - now_ns) / NS_PER_SECOND)
        text += f"; no node came {asks.failures} times in a row, the next single one is tried in {wait_seconds:.0f} s"
    elif decision.condition is PoolCondition.AT_MAX_NODES:
        text += f"; max_nodes is {spec.max_nodes}"
    elif decision.condition is PoolCondition.QUOTA_EXCEEDED:
        quota = "refused by the cloud" if spec.quota_gpus is None else f"{spec.quota_gpus} GPUs"
        text += f"; the quota is {quota}"
    if decision.missing_nodes:
        other = f", to be had from {spec.other_pool}" if spec.other_pool else ""
        text += f"; {decision.missing_nodes} missing{other}"
    return text
