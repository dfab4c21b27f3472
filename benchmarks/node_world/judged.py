"""What a run came to in a part of it: the share of requests within the SLO, what the nodes cost, what was lost."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simulations.request_rows import NEVER_SENT, SERVED, Rows, latencies
from simulations.results.lifelines import NodeLine, PodLine, PodStage
from simulations.slo import SLO


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Sums over seeds. node_hours: of GPUs, from the ask for each node to its end, idle and provisioning included.

    spot_node_hours: of them, on spot nodes. ready_hours: GPU-hours of replicas that were ready. preempted: nodes that
    were taken back. ttft_p95_seconds: of requests that got a first token; the mean over seeds.
    """

    requests: int
    good: int
    usd: float
    node_hours: float
    spot_node_hours: float
    ready_hours: float
    preempted: int
    ttft_p95_seconds: float

    @property
    def attainment(self) -> float:
        return self.good / self.requests if self.requests else math.nan

    @property
    def spot_share(self) -> float:
        return self.spot_node_hours / self.node_hours if self.node_hours else math.nan

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """Of several seeds."""
        return cls(
            requests=sum(part.requests for part in parts),
            good=sum(part.good for part in parts),
            usd=math.fsum(part.usd for part in parts),
            node_hours=math.fsum(part.node_hours for part in parts),
            spot_node_hours=math.fsum(part.spot_node_hours for part in parts),
            ready_hours=math.fsum(part.ready_hours for part in parts),
            preempted=sum(part.preempted for part in parts),
            ttft_p95_seconds=math.fsum(part.ttft_p95_seconds for part in parts) / len(parts),
        )

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "attainment": self.attainment, "spot_share": self.spot_share}


class Answers:
    """A `Sink`: of each request that was sent, when it arrived, its TTFT and whether it met the SLO."""

    def __init__(self, slo: SLO) -> None:
        self._slo = slo
        self._pieces: list[NDArray[np.float32]] = []

    def add(self, rows: Rows) -> None:
        sent = rows[rows["outcome"] != NEVER_SENT]
        seen = latencies(sent)
        good = (sent["outcome"] == SERVED) & self._slo.met(*seen, e2e_limit=sent["e2e_limit"])
        self._pieces.append(np.stack([sent["arrival"], seen.ttft, good]).astype(np.float32))

    def part(self, begin: float, end: float) -> NDArray[np.float32]:
        """(arrival, TTFT, met) in seconds of those that arrived in [begin, end); shape (3, requests)."""
        rows = np.concatenate(self._pieces, axis=1) if self._pieces else np.empty((3, 0), np.float32)
        return rows[:, (rows[0] >= begin) & (rows[0] < end)]


def part_of(answers: Answers, nodes: Iterable[NodeLine], pods: Iterable[PodLine], begin: float, end: float) -> Part:
    """The run within [begin, end), in seconds."""
    _, ttft, good = answers.part(begin, end)
    nodes = tuple(nodes)
    usd, hours, spot_hours = 0.0, 0.0, 0.0
    for node in nodes:
        share = (node.within(end) - node.within(begin)) / 3_600.0
        assert node.usd_per_hour is not None, "every pool has a price"
        usd += share * node.usd_per_hour
        hours += share * node.gpus
        spot_hours += share * node.gpus * node.spot
    served = ttft[~np.isnan(ttft)]
    ready_seconds = math.fsum(
        (pod.seconds(PodStage.READY, end) - pod.seconds(PodStage.READY, begin)) * pod.gpus for pod in pods
    )
    return Part(
        requests=len(good),
        good=int(good.sum()),
        usd=usd,
        node_hours=hours,
        spot_node_hours=spot_hours,
        ready_hours=ready_seconds / 3_600.0,
        preempted=sum(node.was_taken and begin <= node.removed_at < end for node in nodes),
        ttft_p95_seconds=float(np.quantile(served, 0.95)) if len(served) else math.nan,
    )
