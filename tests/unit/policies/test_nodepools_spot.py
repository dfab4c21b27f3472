"""Spot nodes: the formula against a simulation of the same model, and what is chosen by it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import BadInput
from policies.nodepools.spec import PoolSpec, SpotTerms
from policies.nodepools.spot import share_of_time, spot_plan


def terms(**changes: Any) -> SpotTerms:
    fields = {"price_per_node_hour": 0.3, "preemptions_per_node_hour": 0.1, "zone_events_per_hour": 0.01, "zones": 1}
    return SpotTerms(**(fields | changes))


def pool(spot: SpotTerms | None, **changes: Any) -> PoolSpec:
    return PoolSpec(**({"name": "gpu", "gpus_per_node": 8, "max_nodes": 200, "spot": spot} | changes))


def simulated_share(spot: SpotTerms, nodes: int, wanted: int, replace_hours: float, hours: float, seed: int) -> float:
    """Share of time with `wanted` nodes, event by event: own preemptions, zone events, replacements.

    Every node is a row of up and down spells, walked by a clock that stops at the next event of any kind.
    """
    rng = np.random.default_rng(seed)
    zone_of = np.arange(nodes) % spot.zones
    up = np.ones(nodes, bool)
    back_at = np.full(nodes, np.inf)
    outage_until = np.zeros(spot.zones)
    now = good = 0.0
    while now < hours:
        rate = spot.preemptions_per_node_hour * up.sum() + spot.zone_events_per_hour * spot.zones
        step = rng.exponential(1.0 / rate)
        following = min(now + step, float(back_at.min()), hours)
        good += (following - now) * (up.sum() >= wanted)
        if following == now + step:
            own = spot.preemptions_per_node_hour * up.sum()
            if rng.random() * rate < own:
                node = rng.choice(np.flatnonzero(up))
                up[node], back_at[node] = False, following + rng.exponential(replace_hours)
            else:
                zone = rng.integers(spot.zones)
                outage_until[zone] = following + replace_hours
                up[zone_of == zone] = False
                back_at[zone_of == zone] = outage_until[zone]
        else:
            back = back_at <= following
            up[back], back_at[back] = True, np.inf
        now = following
    return good / hours


@pytest.mark.parametrize(
    ("spot", "nodes", "wanted", "replace_hours"),
    [
        pytest.param(terms(zone_events_per_hour=0.0), 12, 11, 0.1, id="each-by-itself"),
        pytest.param(terms(preemptions_per_node_hour=1.0, zone_events_per_hour=0.0), 12, 9, 0.2, id="restless"),
        pytest.param(terms(zone_events_per_hour=0.2), 10, 9, 0.1, id="one-zone-goes-at-once"),
        pytest.param(terms(zone_events_per_hour=0.2, zones=3), 12, 8, 0.1, id="two-zones-of-three-will-do"),
        pytest.param(terms(zone_events_per_hour=0.2, zones=3), 11, 8, 0.1, id="zones-of-unequal-size"),
        pytest.param(terms(preemptions_per_node_hour=0.5, zone_events_per_hour=0.5, zones=2), 8, 7, 0.25, id="all"),
    ],
)
def test_the_formula_agrees_with_a_simulation(spot: SpotTerms, nodes: int, wanted: int, replace_hours: float) -> None:
    """It is exact without zone events, and with them a lower bound: what is lacking is of second order in L."""
    formula = share_of_time(spot, nodes, wanted, replace_hours * 3_600.0)
    runs = [simulated_share(spot, nodes, wanted, replace_hours, 500.0, seed) for seed in range(6)]
    mean, error = np.mean(runs), np.std(runs, ddof=1) / np.sqrt(len(runs))
    lacking = 0.0 if spot.zone_events_per_hour == 0.0 else 0.02
    assert mean - lacking - 4 * error < formula < mean + 4 * error


def test_with_rare_zone_events_and_no_others_it_is_the_share_without_an_event_in_the_last_l() -> None:
    spot = terms(preemptions_per_node_hour=0.0, zone_events_per_hour=0.1)
    assert share_of_time(spot, 5, 5, 360.0) == pytest.approx(np.exp(-0.01))
    assert share_of_time(spot, 5, 0, 360.0) == pytest.approx(1.0)


def test_one_spot_node_is_there_for_its_mean_time_up_over_its_mean_cycle() -> None:
    spot = terms(preemptions_per_node_hour=0.5, zone_events_per_hour=0.0)
    assert share_of_time(spot, 1, 1, 1_800.0) == pytest.approx(2.0 / 2.5)


@pytest.mark.parametrize(
    ("spec", "attainment", "kinds"),
    [
        pytest.param(pool(None), 0.99, (20, 0), id="no-spot-no-risk"),
        pytest.param(
            pool(terms(zone_events_per_hour=0.0, preemptions_per_node_hour=0.0)), 0.99, (0, 20), id="no-risk-all-spot"
        ),
        pytest.param(
            pool(terms(zone_events_per_hour=0.0, preemptions_per_node_hour=0.0), on_demand_base_share=0.3),
            0.99,
            (6, 14),
            id="the-base-is-kept",
        ),
        pytest.param(
            pool(terms(price_per_node_hour=0.97, preemptions_per_node_hour=0.5)),
            0.99,
            (20, 0),
            id="a-small-discount-does-not-pay-spares",
        ),
        pytest.param(pool(terms(zone_events_per_hour=1.0)), 0.99, (20, 0), id="a-zone-that-often-goes-carries-nothing"),
    ],
)
def test_plans(spec: PoolSpec, attainment: float, kinds: tuple[int, int]) -> None:
    plan = spot_plan(spec, 20, replace_seconds=300.0, attainment=attainment)
    assert (plan.on_demand_nodes, plan.spot_nodes) == kinds


def test_spares_are_bought_where_they_are_cheap() -> None:
    spec = pool(terms(zone_events_per_hour=0.0))
    plan = spot_plan(spec, 20, replace_seconds=300.0, attainment=0.999)
    assert plan.spare_nodes >= 1
    assert plan.attainment >= 0.999
    assert plan.usd_per_hour < 20 * spec.price_per_node_hour
    assert share_of_time(spec.spot or terms(), plan.spot_nodes - 1, 20 - plan.on_demand_nodes, 300.0) < 0.999


@given(
    st.integers(0, 25),
    st.floats(0.01, 1.2),
    st.floats(0.0, 2.0),
    st.floats(0.0, 0.3),
    st.integers(1, 4),
    st.floats(30.0, 1_800.0),
    st.floats(0.5, 0.9999),
    st.integers(0, 10),
)
@settings(max_examples=40)
def test_no_plan_costs_more_than_on_demand_or_delivers_less_than_asked(
    nodes: int, price: float, own: float, zone: float, zones: int, seconds: float, attainment: float, more: int
) -> None:
    """And none is cheaper among all there are, tried one by one."""
    spot = terms(price_per_node_hour=price, preemptions_per_node_hour=own, zone_events_per_hour=zone, zones=zones)
    plan = spot_plan(pool(spot), nodes, replace_seconds=seconds, attainment=attainment, most_nodes=nodes + more)
    assert plan.attainment >= attainment
    assert plan.on_demand_nodes + plan.spot_nodes == nodes + plan.spare_nodes <= nodes + more
    costs = [
        on_demand + count * price
        for on_demand in range(nodes)
        for count in range(nodes - on_demand, nodes - on_demand + more + 1)
        if share_of_time(spot, count, nodes - on_demand, seconds) >= attainment
    ]
    assert plan.usd_per_hour == pytest.approx(min([nodes, *costs]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"attainment": 1.0}, r"attainment: was 1.0, must be in \[0.5, 1\)", id="certainty"),
        pytest.param({"replace_seconds": 0.0}, r"replace_seconds: was 0.0, must be in \(0, 86400\]", id="at-once"),
    ],
)
def test_bad_input(changes: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        spot_plan(pool(terms()), 3, **({"replace_seconds": 300.0, "attainment": 0.99} | changes))
