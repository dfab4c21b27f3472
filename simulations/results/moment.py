"""The fleet right after one sync's decision."""

from dataclasses import dataclass

from policies.decision import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """running and waiting are requests, the rest replicas, GPUs and nodes.

    waiting: in the servers and at the gateway. gateway_queue: of them, those at the gateway.
    gpus: of every pod that exists, starting and terminating ones included. nodes: None where none are simulated.
    """

    second: float
    replicas: int
    ready_replicas: int
    starting_replicas: int
    running: int
    waiting: int
    decision: Decision
    gateway_queue: int = 0
    gpus: int = 0
    nodes: int | None = None
