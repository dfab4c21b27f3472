"""Replicas on nodes: never too few, never more than the bound of first fit decreasing."""

import math
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from policies.nodepools.packing import nodes_needed, pack


@pytest.mark.parametrize(
    ("replicas", "sizes", "node", "nodes"),
    [
        pytest.param([], [], 8, 0, id="nothing-takes-no-node"),
        pytest.param([0, 0], [1, 8], 8, 0, id="no-replica-takes-no-node"),
        pytest.param([9], [1], 8, 2, id="the-ninth-of-one-gpu-opens-a-second-node"),
        pytest.param([3], [3], 4, 3, id="a-replica-does-not-span-nodes"),
        pytest.param([1, 2, 4], [4, 2, 1], 8, 2, id="powers-of-two-leave-no-room"),
        pytest.param([2, 4], [5, 3], 8, 3, id="small-ones-fill-what-large-ones-leave"),
        pytest.param([4, 4], [3, 2], 8, 3, id="more-than-the-sum-where-sizes-do-not-divide"),
    ],
)
def test_nodes_needed(replicas: Sequence[int], sizes: Sequence[int], node: int, nodes: int) -> None:
    assert nodes_needed(replicas, sizes, node) == nodes


MIXES = st.integers(1, 16).flatmap(
    lambda node: st.tuples(
        st.lists(st.tuples(st.integers(0, 30), st.integers(1, node)), max_size=8),
        st.just(node),
        st.lists(st.integers(0, node), max_size=10),
    )
)


@given(MIXES)
def test_never_fewer_than_the_gpus_take_and_never_more_than_a_node_a_replica(
    mix: tuple[list[tuple[int, int]], int, list[int]],
) -> None:
    pairs, node, free = mix
    replicas, sizes = [count for count, _ in pairs], [size for _, size in pairs]
    packing = pack(replicas, sizes, node, free)
    gpus = sum(count * size for count, size in pairs)
    assert packing.new_nodes >= math.ceil((gpus - sum(free)) / node)
    assert packing.new_nodes <= sum(replicas)
    assert packing.free_gpus.min(initial=0) >= 0
    assert packing.free_gpus.max(initial=0) <= node
    assert packing.free_gpus.sum() == sum(free) + node * packing.new_nodes - gpus, "every replica is placed once"


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 4, 8])), max_size=6))
def test_powers_of_two_take_exactly_their_gpus_worth(pairs: list[tuple[int, int]]) -> None:
    gpus = sum(count * size for count, size in pairs)
    assert nodes_needed([count for count, _ in pairs], [size for _, size in pairs], 8) == math.ceil(gpus / 8)


@given(st.integers(2, 10).flatmap(lambda node: st.tuples(st.lists(st.integers(1, node), max_size=7), st.just(node))))
def test_within_dosas_bound_of_the_fewest_possible(drawn: tuple[list[int], int]) -> None:
    sizes, node = drawn
    assert nodes_needed([1] * len(sizes), sizes, node) <= 11 / 9 * fewest(tuple(sorted(sizes)), node) + 6 / 9


def fewest(sizes: tuple[int, ...], node: int) -> int:
    """By trying everything."""

    @cache
    def best(left: tuple[int, ...], rooms: tuple[int, ...]) -> int:
        if not left:
            return len(rooms)
        size, rest = left[-1], left[:-1]
        choices = [best(rest, tuple(sorted((*rooms, node - size))))]
        for at, room in enumerate(rooms):
            if room >= size:
                choices.append(best(rest, tuple(sorted((*rooms[:at], *rooms[at + 1 :], room - size)))))
        return min(choices)

    return best(sizes, ())


def test_room_that_is_there_is_filled_first_and_in_its_order() -> None:
    packing = pack([3, 1], [2, 4], 8, [3, 0, 8])
    assert packing.new_nodes == 0
    assert packing.free_gpus.tolist() == [1, 0, 0]


@pytest.mark.parametrize("size", [0, 9])
def test_a_replica_that_no_node_holds_is_bad_input(size: int) -> None:
    with pytest.raises(BadInput, match=rf"gpus_per_replica: was {size}, must be in \[1, 8\].*larger nodes"):
        nodes_needed([1, 1], [4, size], 8)
