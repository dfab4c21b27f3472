"""Replicas of several sizes on equal nodes: how many nodes they take.

First fit decreasing: the largest replicas first, each on the first node with room. With m nodes the fewest possible:

  - never more than 11/9 m + 6/9, and that is tight. Source: G. Dosa, "The tight bound of First Fit Decreasing
    bin-packing algorithm is FFD(I) <= 11/9 OPT(I) + 6/9", ESCAPE 2007;
  - exactly m = ceil(GPUs / gpus_per_node) where every size divides the next larger one and the largest divides the
    node (1, 2, 4 and 8 of 8: tensor parallelism). Proof: all that lies on the nodes when a replica of size k is
    placed is a multiple of k, and so is the node, hence the room left on it; a new node is opened only when no
    room is left at all, so that all nodes but the last are full. Source: Coffman, Garey, Johnson, "Bin packing with
    divisible item sizes", Journal of Complexity 3 (1987).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput

I8 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packing:
    """free_gpus: on the nodes that were given, then on the new ones, int64 of shape (nodes,)."""

    free_gpus: I8
    new_nodes: int


def pack(
    replicas: Sequence[int], gpus_per_replica: Sequence[int], gpus_per_node: int, free_gpus: Sequence[int] = ()
) -> Packing:
    """Put replicas[i] replicas of gpus_per_replica[i] GPUs on nodes with room, then on new ones.

    free_gpus: of nodes that are there, in the order to fill them, each in [0, gpus_per_node]. The bounds above are for
    none; with some, the new nodes are at least ceil((GPUs - free) / gpus_per_node) and at most one a replica.
    Raises BadInput for a replica that no node can hold.
    """
    count, size = np.asarray(replicas, np.int64), np.asarray(gpus_per_replica, np.int64)
    assert count.shape == size.shape, "one size for each count"
    assert np.all(count >= 0), "counts are 0 or more"
    if len(size) and (size.min() < 1 or size.max() > gpus_per_node):
        wrong = int(size.min() if size.min() < 1 else size.max())
        raise BadInput(
            f"gpus_per_replica: was {wrong}, must be in [1, {gpus_per_node}], the GPUs of one node: a replica does not "
            "span nodes; choose a pool with larger nodes"
        )
    free = np.array(free_gpus, np.int64)
    given = len(free)
    for gpus in np.unique(size)[::-1]:
        left = int(count[size == gpus].sum())
        fitting = free // gpus
        placed = np.clip(left - (np.cumsum(fitting) - fitting), 0, fitting)
        free = free - placed * gpus
        left -= int(placed.sum())
        each = gpus_per_node // int(gpus)
        opened = -(-left // each)
        room = np.full(opened, gpus_per_node - each * int(gpus), np.int64)
        if opened:
            room[-1] = gpus_per_node - (left - (opened - 1) * each) * int(gpus)
        free = np.concatenate([free, room])
    return Packing(free_gpus=free, new_nodes=len(free) - given)


def nodes_needed(replicas: Sequence[int], gpus_per_replica: Sequence[int], gpus_per_node: int) -> int:
    """Nodes for all of them, starting from none. Raises BadInput as `pack` does."""
    return pack(replicas, gpus_per_replica, gpus_per_node).new_nodes
