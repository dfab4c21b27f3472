"""Deletion costs: what is dear and not wanted there goes first, then what stands nearly alone, and the share stays."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.nodepools.deletion_cost import NodeWorth, deletion_costs, on_demand_share
from policies.nodepools.spec import PoolSpec, SpotTerms

SPOT, DEMAND, DEAR = 0.28, 0.71, 2.5
Row = tuple[float, int]
"""A node's price of a GPU, and its pods."""


def one_pod_each(*rows: Row, plan: str = "") -> tuple[dict[str, str], dict[str, NodeWorth]]:
    """Node n0, n1, ... with pod p0, p1, ... of the workload; the other pods on a node are others'."""
    pods = {f"p{i}": f"n{i}" for i in range(len(rows))}
    nodes = {
        f"n{i}": NodeWorth(price_per_gpu_hour=price, gpu_pods=count, plan=plan, is_on_demand=price > SPOT)
        for i, (price, count) in enumerate(rows)
    }
    return pods, nodes


@pytest.mark.parametrize(
    ("rows", "costs"),
    [
        pytest.param([], {}, id="no-pods"),
        pytest.param([(DEMAND, 1)] * 4, {}, id="nodes-of-one-gpu-that-are-alike"),
        pytest.param([(DEMAND, 3)] * 4, {}, id="nodes-of-several-gpus-that-are-alike"),
        pytest.param([(SPOT, 1), (DEMAND, 1), (SPOT, 1)], {"p1": -100}, id="on-demand-first-and-spot-as-it-is"),
        pytest.param(
            [(SPOT, 1), (DEMAND, 1), (DEAR, 1)], {"p1": -100, "p2": -200}, id="the-dearer-before-the-less-dear"
        ),
        pytest.param(
            [(DEMAND, 8), (DEMAND, 1), (DEMAND, 3)], {"p0": 7, "p2": 2}, id="nearly-empty-nodes-before-full-ones"
        ),
        pytest.param(
            [(SPOT, 1), (DEMAND, 8), (DEMAND, 2)],
            {"p1": -93, "p2": -99},
            id="a-full-dear-node-before-an-empty-cheap-one",
        ),
        pytest.param([(SPOT, 500), (DEMAND, 500)], {"p0": 99, "p1": -1}, id="however-many-pods-price-goes-first"),
    ],
)
def test_costs(rows: list[Row], costs: dict[str, int]) -> None:
    assert deletion_costs(*one_pod_each(*rows)) == costs


def test_pods_of_one_node_cost_the_same_and_go_together() -> None:
    nodes = {
        "a": NodeWorth(price_per_gpu_hour=1.0, gpu_pods=2),
        "b": NodeWorth(price_per_gpu_hour=1.0, gpu_pods=5),
    }
    assert deletion_costs({"p": "a", "q": "b", "r": "b", "s": "a"}, nodes) == {"p": 1, "s": 1, "q": 4, "r": 4}


def test_a_node_of_which_nothing_is_known_gives_no_cost() -> None:
    pods, nodes = one_pod_each((SPOT, 1), (DEMAND, 1), (DEMAND, 1))
    assert deletion_costs(pods, {}) == {}
    assert deletion_costs(pods, {name: nodes[name] for name in ("n0", "n1")}) == {"p1": -100}


@pytest.mark.parametrize(
    ("share", "first", "last"),
    [
        pytest.param(0.0, 4, 0, id="no-share-and-all-on-demand-may-go"),
        pytest.param(0.1, 3, 1, id="a-tenth"),
        pytest.param(0.25, 2, 2, id="a-quarter-is-2-of-8-once-2-are-gone"),
        pytest.param(0.4, 0, 4, id="just-what-there-is"),
        pytest.param(0.8, 0, 4, id="less-than-there-should-be"),
        pytest.param(1.0, 0, 4, id="all"),
    ],
)
def test_what_the_plan_wants_on_demand_goes_last(share: float, first: int, last: int) -> None:
    """4 of 10 nodes are on demand."""
    costs = deletion_costs(*one_pod_each(*[(SPOT, 1)] * 6, *[(DEMAND, 1)] * 4, plan="l4"), {"l4": share})
    assert sorted(costs.values()) == [-100] * first + [100] * last


def test_the_share_is_of_its_own_plan_alone() -> None:
    pods, nodes = one_pod_each((SPOT, 1), (DEMAND, 1))
    pods["other"] = "n9"
    nodes["n9"] = NodeWorth(price_per_gpu_hour=DEMAND, gpu_pods=1, plan="kept")
    assert deletion_costs(pods, nodes, {"kept": 1.0}) == {"p1": -100, "other": 100}


worlds = st.lists(
    st.tuples(st.sampled_from([SPOT, DEMAND, DEAR]), st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=12
)
"""Nodes by price, pods of this workload and pods of others."""


def drawn(rows: list[tuple[float, int, int]]) -> tuple[dict[str, str], dict[str, NodeWorth]]:
    pods = {f"p{i}-{j}": f"n{i}" for i, (_, mine, _) in enumerate(rows) for j in range(mine)}
    nodes = {
        f"n{i}": NodeWorth(price_per_gpu_hour=price, gpu_pods=mine + others, plan="l4", is_on_demand=price > SPOT)
        for i, (price, mine, others) in enumerate(rows)
    }
    return pods, nodes


@given(worlds, st.floats(0.0, 1.0), st.randoms(use_true_random=False))
def test_no_scale_down_takes_the_nodes_below_the_share(
    rows: list[tuple[float, int, int]], share: float, chance: random.Random
) -> None:
    """However many go, and in whatever order those of one cost do."""
    pods, nodes = drawn(rows)
    costs = deletion_costs(pods, nodes, {"l4": share})
    order = sorted(pods, key=lambda pod: (costs.get(pod, 0), chance.random()))
    held = on_demand_of(set(pods.values()), nodes) >= share
    for gone in range(len(order)):
        left = {pods[pod] for pod in order[gone:]}
        assert not held or on_demand_of(left, nodes) >= share - 1e-6, (gone, costs)


def on_demand_of(names: set[str], nodes: dict[str, NodeWorth]) -> float:
    return sum(nodes[name].is_on_demand for name in names) / len(names)


@given(worlds, st.floats(0.0, 1.0), st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_changes_nothing(
    rows: list[tuple[float, int, int]], share: float, chance: random.Random
) -> None:
    pods, nodes = drawn(rows)
    shuffled_pods, shuffled_nodes = list(pods.items()), list(nodes.items())
    chance.shuffle(shuffled_pods)
    chance.shuffle(shuffled_nodes)
    costs = deletion_costs(pods, nodes, {"l4": share})
    assert deletion_costs(dict(shuffled_pods), dict(shuffled_nodes), {"l4": share}) == costs


@given(worlds)
def test_a_pod_that_comes_or_goes_changes_the_costs_of_its_own_node_alone(rows: list[tuple[float, int, int]]) -> None:
    """Where nodes differ before and after: costs are compared, not ranked."""
    pods, nodes = drawn([*rows, (SPOT, 1, 2), (DEAR, 1, 1), (DEMAND, 1, 1)])
    before = deletion_costs(pods, nodes)
    price, mine, others = rows[0]
    after = deletion_costs(*drawn([(price, mine, others + 1), *rows[1:], (SPOT, 1, 2), (DEAR, 1, 1), (DEMAND, 1, 1)]))
    assert {pod for pod in pods if before.get(pod, 0) != after.get(pod, 0)} == {
        pod for pod, node in pods.items() if node == "n0"
    }


@pytest.mark.parametrize(
    ("changes", "nodes", "share"),
    [
        pytest.param({}, 20, 0.0, id="spot-that-pays"),
        pytest.param({"on_demand_base_share": 0.22}, 20, 0.22, id="a-base"),
        pytest.param({"on_demand_base_share": 0.22}, 0, 0.22, id="of-no-nodes"),
        pytest.param({"price": 0.71}, 20, 1.0, id="spot-that-does-not-pay"),
    ],
)
def test_the_share_is_the_plans(changes: dict[str, float], nodes: int, share: float) -> None:
    terms = SpotTerms(price_per_node_hour=changes.pop("price", 0.28), preemptions_per_node_hour=0.05)
    spec = PoolSpec(name="l4", gpus_per_node=1, max_nodes=40, price_per_node_hour=0.71, spot=terms, **changes)
    assert on_demand_share(spec, nodes, replace_seconds=300.0, attainment=0.99) == share


def test_without_spot_terms_nothing_is_kept_for_them() -> None:
    spec = PoolSpec(name="l4", gpus_per_node=1, max_nodes=40)
    assert on_demand_share(spec, 10, replace_seconds=300.0, attainment=0.99) == 1.0
