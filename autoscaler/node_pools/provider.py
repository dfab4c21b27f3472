"""What every way of telling a node pool has in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from autoscaler.cluster import Key

ProviderState = Literal["Idle", "Resizing", "QuotaExceeded", "StockedOut", "Refused", "Unreachable", "Recommended"]
"""Idle: as it was told. Resizing: an operation is under way, ours or another's. Refused: a person must mend something.
Unreachable: nobody answered, the next step tries again. Recommended: nothing is ever written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTold:
    """How the pool stands with its provider. min_nodes, max_nodes: of the whole pool, None where it has none or nobody
    knows. operation: its name while one is under way. message: a sentence, with the remedy where a person must act."""

    state: ProviderState
    message: str = ""
    min_nodes: int | None = None
    max_nodes: int | None = None
    operation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A PredictiveAutoscaler that the pool serves. pool_name: what it calls the pool."""

    key: Key
    uid: str
    pool_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Of a node, as in v1.Taint."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolAsk:
    """What the pool should be told now.

    keep_nodes: at least so many. placeholders: GPUs of one -> how many, which together with the pods take keep_nodes.
    nodes, occupied_nodes: in the cluster now, and those of them that hold a pod with GPUs.
    owners: by key; objects in the cluster live in the first one's namespace. taints: of the pool's nodes, lasting ones.
    """

    keep_nodes: int
    placeholders: Mapping[int, int]
    nodes: int
    occupied_nodes: int
    owners: tuple[Owner, ...]
    taints: tuple[Taint, ...] = ()


class Provider(Protocol):
    """One pool. Neither method raises for what can go wrong outside: that is a state.

    brings_nodes: whether nodes come because it was told; False where only a pod without room brings one.
    """

    @property
    def brings_nodes(self) -> bool: ...

    async def state(self, now_ns: int) -> PoolTold:
        """Look, and follow an operation that is under way. Writes nothing."""
        ...

    async def tell(self, ask: PoolAsk, now_ns: int) -> PoolTold:
        """Look, then write what differs, once, if the leadership still allows it."""
        ...
