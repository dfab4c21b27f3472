"""What an admin states of a pool, and what is said when it cannot be."""

from typing import Any

import pytest

from policies.errors import BadInput
from policies.nodepools.spec import PoolSpec, SpotTerms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"name": ""}, r"pool.name: was empty", id="no-name"),
        pytest.param({"gpus_per_node": 0}, r"gpu.gpus_per_node: was 0, must be in \[1, 64\]; state", id="no-gpus"),
        pytest.param({"max_nodes": 0}, r"gpu.max_nodes: was 0, must be in .*; with 0 no pod ever runs", id="no-nodes"),
        pytest.param(
            {"min_nodes": 11}, r"gpu.min_nodes: was 11, must be in \[0, 10\]; .*raise max_nodes", id="min-max"
        ),
        pytest.param(
            {"on_demand_base_share": 30.0}, r"base_share: was 30.0, .* it is a share, not percent", id="percent"
        ),
        pytest.param({"provision_seconds": float("nan")}, r"gpu.provision_seconds: was nan, must be in", id="nan"),
        pytest.param({"price_per_node_hour": 0.0}, r"gpu.price_per_node_hour: was 0.0", id="free-nodes"),
        pytest.param({"max_step_nodes": 0}, r"gpu.max_step_nodes: was 0, .* the floor never moves", id="no-step"),
        pytest.param({"cooldown_seconds": -1.0}, r"gpu.cooldown_seconds: was -1.0", id="negative-time"),
        pytest.param({"quota_gpus": 15, "min_nodes": 2}, r"gpu.quota_gpus: was 15, must be at least 16", id="quota"),
        pytest.param({"other_pool": "gpu"}, r"gpu.other_pool: was gpu itself", id="itself-as-the-other"),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        PoolSpec(**({"name": "gpu", "gpus_per_node": 8, "max_nodes": 10} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"price_per_node_hour": -1.0}, r"spot.price_per_node_hour: was -1.0, must be in", id="price"),
        pytest.param(
            {"preemptions_per_node_hour": 720.0}, r"preemptions_per_node_hour: was 720.0, .*per hour", id="unit"
        ),
        pytest.param({"zone_events_per_hour": -0.1}, r"spot.zone_events_per_hour: was -0.1", id="negative-rate"),
        pytest.param({"zones": 0}, r"spot.zones: was 0, must be in \[1, 100\]", id="no-zone"),
    ],
)
def test_bad_spot_terms(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SpotTerms(**({"price_per_node_hour": 1.0, "preemptions_per_node_hour": 0.1} | changes))


@pytest.mark.parametrize(("quota_gpus", "nodes"), [(None, None), (0, 0), (15, 1), (16, 2)])
def test_a_quota_of_gpus_admits_whole_nodes(quota_gpus: int | None, nodes: int | None) -> None:
    assert PoolSpec(name="gpu", gpus_per_node=8, max_nodes=10, quota_gpus=quota_gpus).quota_nodes == nodes
