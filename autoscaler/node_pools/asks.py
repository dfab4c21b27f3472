"""Nodes that were asked for and are not in the cluster yet: since when each is awaited."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from policies.nodepools.pool_seen import NodeSeen

_REFUSED_NS = 0
"""When an ask was made that the cloud has refused outright: patience with it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedNodes:
    """awaited_ns: of each missing node, when it was asked for, oldest first.

    asked_ns: of nodes that came, by name. known: names at the last step; None before the first: when
    the nodes that were there then were asked for, nobody knows.
    """

    awaited_ns: tuple[int, ...] = ()
    asked_ns: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    known: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a pool was told to hold, and when."""

    nodes: int
    at_ns: int


def follow(awaited: AwaitedNodes, names: Collection[str], told: Told | None, now_ns: int) -> AwaitedNodes:
    """Take note of what was told since the last step, of the nodes that came, oldest ask first, and of those that are
    still missing. told: None where telling brings no node."""
    there = frozenset(names)
    before = there if awaited.known is None else awaited.known
    asked_for = _cut_or_filled(awaited.awaited_ns, 0 if told is None else told.nodes - len(before), told)
    came = sorted(there - before)
    asked = {name: at_ns for name, at_ns in awaited.asked_ns.items() if name in there}
    asked.update(zip(came, asked_for, strict=False))
    missing = 0 if told is None else told.nodes - len(there)
    lost = None if told is None else Told(nodes=told.nodes, at_ns=now_ns)
    return AwaitedNodes(
        awaited_ns=_cut_or_filled(asked_for[len(came) :], missing, lost),
        asked_ns=MappingProxyType(asked),
        known=there,
    )


def _cut_or_filled(instants: tuple[int, ...], count: int, told: Told | None) -> tuple[int, ...]:
    """So many, the newest left out or more added at the instant of the ask."""
    if told is None or count <= 0:
        return ()
    return (*instants, *[told.at_ns] * (count - len(instants)))[:count]


def with_awaited(nodes: Collection[NodeSeen], awaited: AwaitedNodes, *, gpus: int, refused: bool) -> list[NodeSeen]:
    """The nodes with those that are missing, each since its ask.

    refused: the cloud said that it has none. Of a node whose ask nobody saw the two instants are one, so that nothing
    is learned from it: its registration is not the beginning of its provisioning.
    """
    there = [
        replace(node, asked_ns=awaited.asked_ns[node.name])
        if node.name in awaited.asked_ns
        else replace(node, asked_ns=node.ready_ns or node.asked_ns)
        for node in nodes
    ]
    missing = [
        NodeSeen(name=f"awaited-{number}", asked_ns=_REFUSED_NS if refused else at_ns, ready_ns=None, free_gpus=gpus)
        for number, at_ns in enumerate(awaited.awaited_ns)
    ]
    return there + missing
