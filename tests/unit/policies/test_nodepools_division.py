"""A spot pool and its on-demand pool: the nodes to come are divided, those that stand are left as they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.nodepools.division import divide
from policies.nodepools.spec import PoolSpec, SpotTerms

CHEAP = SpotTerms(price_per_node_hour=0.4, preemptions_per_node_hour=0.05)
DEAR = SpotTerms(price_per_node_hour=1.0, preemptions_per_node_hour=0.05)


def spot_pool(**changes: Any) -> PoolSpec:
    given_terms: dict[str, Any] = {"name": "spot", "gpus_per_node": 1, "max_nodes": 40, "spot": CHEAP}
    return PoolSpec(**{**given_terms, **changes})


@pytest.mark.parametrize(
    ("spec", "floor", "occupied", "on_demand", "unplaced", "told", "moved"),
    [
        pytest.param(spot_pool(), 10, 0, 0, 10, 10, 0, id="without-a-base-all-is-spot"),
        pytest.param(spot_pool(on_demand_base_share=0.3), 10, 0, 0, 10, 7, 3, id="the-base-comes-from-the-other"),
        pytest.param(spot_pool(on_demand_base_share=0.3), 7, 7, 3, 0, 7, 0, id="all-stands-as-it-is-to-be"),
        pytest.param(spot_pool(on_demand_base_share=0.3), 10, 10, 0, 0, 10, 0, id="no-pod-is-moved"),
        pytest.param(spot_pool(on_demand_base_share=0.3), 12, 10, 0, 2, 10, 2, id="what-is-to-come-makes-up-for-it"),
        pytest.param(spot_pool(on_demand_base_share=0.3), 14, 7, 3, 0, 14, 0, id="headroom-stays-spot"),
        pytest.param(spot_pool(on_demand_base_share=0.3), 14, 7, 3, 7, 11, 3, id="both-grow"),
        pytest.param(spot_pool(on_demand_base_share=0.3, min_nodes=8), 10, 0, 0, 10, 8, 2, id="its-own-minimum-holds"),
        pytest.param(spot_pool(spot=DEAR), 10, 4, 0, 6, 4, 6, id="spot-that-does-not-pay-gets-no-new-node"),
        pytest.param(
            spot_pool(on_demand_base_share=0.5, gpus_per_node=8), 4, 0, 0, 9, 2, 2, id="nodes-of-several-gpus"
        ),
        pytest.param(spot_pool(on_demand_base_share=0.5), 0, 0, 5, 0, 0, 0, id="nothing-is-needed-here"),
    ],
)
def test_division(
    spec: PoolSpec, floor: int, occupied: int, on_demand: int, unplaced: int, told: int, moved: int
) -> None:
    part = divide(
        spec,
        floor,
        occupied_nodes=occupied,
        on_demand_nodes=on_demand,
        unplaced_gpus=unplaced,
        replace_seconds=300.0,
        attainment=0.5,
    )
    assert (part.floor_nodes, part.moved_nodes) == (told, moved)
    assert part.keep_nodes == told, "at an attainment of 0.5 nothing is spare"


def test_spares_for_spot_nodes_are_spot_and_within_the_pool() -> None:
    asked: dict[str, Any] = {"occupied_nodes": 0, "on_demand_nodes": 0, "unplaced_gpus": 20, "replace_seconds": 300.0}
    part = divide(spot_pool(on_demand_base_share=0.25), 20, attainment=0.999, **asked)
    assert (part.floor_nodes, part.moved_nodes) == (15, 5)
    assert part.keep_nodes > 15
    part = divide(spot_pool(on_demand_base_share=0.25, max_nodes=15), 20, attainment=0.999, **asked)
    assert part.keep_nodes == 15


@given(
    st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 60), st.floats(0, 1), st.integers(1, 8)
)
def test_nothing_is_lost_and_what_stands_is_kept(
    floor: int, occupied: int, on_demand: int, unplaced: int, share: float, gpus: int
) -> None:
    spec = spot_pool(on_demand_base_share=share, gpus_per_node=gpus)
    part = divide(
        spec,
        max(floor, occupied),
        occupied_nodes=occupied,
        on_demand_nodes=on_demand,
        unplaced_gpus=unplaced,
        replace_seconds=300.0,
        attainment=0.9,
    )
    assert part.floor_nodes + part.moved_nodes == max(floor, occupied)
    assert part.floor_nodes >= occupied
    assert part.keep_nodes >= part.floor_nodes
    assert 0 <= part.moved_nodes * gpus < unplaced + gpus
