"""Where a run's money went: by pool and by spot or on-demand, by what it was spent on, and per unit of work.

Every split adds up to the summary's cost. Where nodes have a price, nodes are what is paid for, from the ask to the
removal, and a pod's share is its part of the node's GPUs; else a pod's GPUs are, from the ask for it to its end.
"""

import math
from dataclasses import dataclass

from simulations.results import Result
from simulations.results.lifelines import NodeLine, PodLine, PodStage

SECONDS_PER_HOUR = 3_600.0
PROVISIONING, IDLE = "node provisioning", "idle GPUs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Of one pool's nodes of one kind. units: nodes, or pods where GPUs are priced. hours: node- or GPU-hours."""

    pool: str
    spot: bool
    units: int
    hours: float
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCosts:
    """US dollars; NaN of nothing. Tokens are prompt and generated ones of served requests."""

    per_1000_requests: float
    per_1000_good_requests: float
    per_million_tokens: float


def pays_for_nodes(result: Result) -> bool:
    """Whether the summary's cost is that of nodes; else it is that of the pods' GPUs."""
    pool, lines = result.scenario.nodes, result.lifelines
    if pool is None or pool.price_per_node_hour is None or lines.shares_nodes:
        return False
    return all(node.usd_per_hour is not None for node in lines.nodes)


def paid_by_pool(result: Result) -> tuple[Paid, ...]:
    """A row for each pool and kind that was used, in the order of their first ask."""
    horizon = result.scenario.trace.duration_seconds
    groups: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    if pays_for_nodes(result):
        for node in result.lifelines.nodes:
            hours = node.within(horizon) / SECONDS_PER_HOUR
            groups.setdefault((node.pool, node.spot), []).append((hours, hours * _price(node)))
    else:
        on_spot = {node.name for node in result.lifelines.nodes if node.spot}
        for pod in result.lifelines.pods:
            hours = pod.gpus * _life(pod, horizon) / SECONDS_PER_HOUR
            groups.setdefault((pod.pool, pod.node in on_spot), []).append(
                (hours, hours * result.scenario.price_per_gpu_hour)
            )
    return tuple(
        Paid(
            pool=pool,
            spot=spot,
            units=len(rows),
            hours=math.fsum(hours for hours, _ in rows),
            cost_usd=math.fsum(usd for _, usd in rows),
        )
        for (pool, spot), rows in groups.items()
    )


def paid_by_use(result: Result) -> dict[str, float]:
    """US dollars by what was paid for: each PodStage's name and, where nodes are paid, PROVISIONING and IDLE.

    A pending pod costs GPUs where these are billed from the ask; it has none where nodes are billed.
    """
    horizon = result.scenario.trace.duration_seconds
    lines = result.lifelines
    if not pays_for_nodes(result):
        usd = result.scenario.price_per_gpu_hour / SECONDS_PER_HOUR
        return {
            str(stage): math.fsum(usd * pod.gpus * pod.seconds(stage, horizon) for pod in lines.pods)
            for stage in PodStage
        }
    nodes = {node.name: node for node in lines.nodes}
    uses = {PROVISIONING: 0.0, **{str(stage): 0.0 for stage in PodStage if stage != PodStage.PENDING}, IDLE: 0.0}
    for node in lines.nodes:
        usd = _price(node) / SECONDS_PER_HOUR
        provisioning = node.provisioning_within(horizon)
        uses[PROVISIONING] += usd * provisioning
        uses[IDLE] += usd * (node.within(horizon) - provisioning)
    for pod in lines.pods:
        if pod.node:
            node = nodes[pod.node]
            usd = _price(node) / SECONDS_PER_HOUR * pod.node_share
            for stage in PodStage:
                if stage != PodStage.PENDING:
                    spent = usd * pod.seconds(stage, horizon)
                    uses[str(stage)] += spent
                    uses[IDLE] -= spent
    return uses


def unit_costs(result: Result) -> UnitCosts:
    """Of the whole run's cost."""
    summary = result.summary
    tokens = summary.prompt_tokens + summary.generation_tokens
    return UnitCosts(
        per_1000_requests=_per(1_000 * summary.cost_usd, summary.served_requests),
        per_1000_good_requests=_per(1_000 * summary.cost_usd, result.requests.good),
        per_million_tokens=_per(1e6 * summary.cost_usd, tokens),
    )


def _life(pod: PodLine, horizon_seconds: float) -> float:
    return max(0.0, min(pod.ended_at, horizon_seconds) - pod.asked_at)


def _price(node: NodeLine) -> float:
    assert node.usd_per_hour is not None, "asked for only where nodes have a price"
    return node.usd_per_hour


def _per(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
