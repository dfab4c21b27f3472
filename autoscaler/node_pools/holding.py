"""Which placeholders hold a floor of nodes: pods that fill what the real ones leave of it."""

from collections.abc import Iterable, Mapping


def placeholders_for(
    keep_nodes: int, *, gpus_per_node: int, used_gpus: int, unplaced_gpus: int, sizes: Iterable[int]
) -> Mapping[int, int]:
    """GPUs of one -> how many, largest first.

    used_gpus: by pods on the pool's nodes, placeholders not counted. unplaced_gpus: of replicas that have no node yet
    and will take their own. sizes: GPUs of the workloads' replicas. Following the floor, and not the headroom alone,
    they keep to whatever bounds it: the step, the cooldown, the budget, a need that is unknown.
    """
    room = max(0, keep_nodes * gpus_per_node - used_gpus - unplaced_gpus)
    counts: dict[int, int] = {}
    for size in sorted(set(sizes), reverse=True):
        whole, room = divmod(room, size)
        if whole:
            counts[size] = whole
    return counts
