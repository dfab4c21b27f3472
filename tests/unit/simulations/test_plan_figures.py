"""What a plan is computed from: intervals, nodes over time, growth and quota, spot shares, the worst hour."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import profile_named
from policies.nodepools.spec import PoolSpec, SpotTerms
from policies.nodepools.spot import spot_plan
from simulations.counts.demand_counts import count
from simulations.counts.run import CountRun
from simulations.demand.text import demand_from
from simulations.planning.growth import Span, after_months, busiest_hour, months_until, scaled
from simulations.planning.intervals import largest, method, ratio, spread
from simulations.planning.node_hours import by_day, nodes_over_time, share_of_time
from simulations.planning.spot_nodes import spot_share
from simulations.planning.worst_hour import worst_hour

PROFILE = profile_named("llama-3.1-8b-l4")


def fleet(replicas: list[int]) -> CountRun:
    """A run that held so many replicas of one GPU in each bin of 15 s, and answered all of 10 requests a bin."""
    count_of = np.array(replicas, np.int64)
    return CountRun(
        policy="fleet",
        requests=np.full(len(replicas), 10.0),
        good=np.full(len(replicas), 10.0),
        gpu_seconds=count_of * 15.0,
        replicas=count_of,
        ready_replicas=count_of,
        waiting=np.zeros(len(replicas)),
        rescales=np.zeros(len(replicas), np.int64),
    )


def test_a_node_stays_ten_minutes_after_its_last_pod() -> None:
    """cluster-autoscaler FAQ: --scale-down-unneeded-time, 10 min by default."""
    nodes = nodes_over_time(fleet([1, 3, 1] + [1] * 60), 1, 1)
    assert nodes[0] == 1
    assert (nodes[1:42] == 3).all(), "from the ask, and 40 bins after it"
    assert (nodes[42:] == 1).all()


@pytest.mark.parametrize(
    ("replicas", "per_node", "nodes"),
    [
        pytest.param(5, 1, 5, id="one-replica-a-node"),
        pytest.param(5, 2, 3, id="a-half-empty-node-is-paid-whole"),
        pytest.param(8, 8, 1, id="a-node-full-to-the-last-place"),
    ],
)
def test_replicas_share_nodes(replicas: int, per_node: int, nodes: int) -> None:
    assert nodes_over_time(fleet([replicas] * 4), 1, per_node).tolist() == [nodes] * 4


def test_pods_that_drain_hold_their_node() -> None:
    run = fleet([2, 1, 1])
    run.gpu_seconds[1] = 30.0
    assert nodes_over_time(run, 1, 1)[1] == 2


def test_sums_of_days_leave_out_what_is_no_whole_day() -> None:
    run = fleet([2] * 5_760 + [4] * 5_760 + [9] * 100)
    days = by_day(run, np.array([2] * 5_760 + [4] * 5_760 + [9] * 100))
    assert days.hours.tolist() == [24.0, 24.0]
    assert days.node_hours == pytest.approx([48.0, 96.0])
    short = by_day(fleet([3] * 240), np.full(240, 3))
    assert short.hours.tolist() == [1.0], "what is shorter than a day is told as it is"
    assert short.node_hours == pytest.approx([3.0])


def test_the_interval_is_the_spread_of_runs_until_there_are_days() -> None:
    few = ratio(np.array([[9.0], [10.0]]), np.array([[10.0], [10.0]]))
    assert (few.value, few.low, few.high) == (0.95, 0.9, 1.0)
    assert method(2, 1) == "lowest to highest of 2 runs with seeds of their own"
    assert method(1, 1) == "one run: no interval"
    assert "bootstrap" in method(2, 7)


def test_more_days_make_a_bootstrap_narrower() -> None:
    rng = np.random.default_rng(3)
    wholes = np.full((3, 100), 10.0)
    parts = rng.uniform(8.0, 10.0, (1, 100)).repeat(3, axis=0)
    week, long = ratio(parts[:, :7], wholes[:, :7]), ratio(parts, wholes)
    assert long.high - long.low < week.high - week.low
    assert week.low < week.value < week.high
    mean = parts[0].mean() / 10.0
    assert long.high - long.low == pytest.approx(2 * 1.645 * parts[0].std() / 10.0 / 10.0, rel=0.25)
    assert long.low < mean < long.high
    assert ratio(parts, wholes) == long, "seeded"


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=6))
def test_an_interval_holds_its_figure(values: list[float]) -> None:
    for made in (spread(values), largest(values)):
        assert made.low <= made.value * (1 + 1e-9)
        assert made.value <= made.high * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize(
    ("needs", "limit", "months"),
    [
        pytest.param([10.0, 11.0, 12.0], 12.0, None, id="what-just-suffices-suffices"),
        pytest.param([10.0, 20.0], 14.142, 0.5, id="half-way-in-the-logarithm"),
        pytest.param([50.0, 60.0], 40.0, 0.0, id="too-small-today"),
        pytest.param([10.0, 12.0, 14.4], 13.0, 1 + math.log(13 / 12) / math.log(1.2), id="in-the-second-month"),
        pytest.param([], 1.0, None, id="nothing-known"),
    ],
)
def test_when_a_quota_binds(needs: list[float], limit: float, months: float | None) -> None:
    found = months_until(needs, limit)
    assert found == (months if months is None else pytest.approx(months, abs=1e-3))


def test_months_are_of_mean_length_and_rounded_down() -> None:
    assert after_months(date(2026, 11, 22), 0.0) == date(2026, 11, 22)
    assert after_months(date(2026, 1, 1), 12.0) == date(2027, 1, 1)
    assert after_months(date(2026, 1, 1), 0.99) == date(2026, 1, 31)


def test_growth_multiplies_all_and_the_busiest_hour_besides() -> None:
    counts = count(demand_from("diurnal:rate=2,minutes=300,peak_hour=2,seed=3"))
    hour = busiest_hour(counts, PROFILE, 0.15)
    assert hour.end - hour.first == 240
    assert 1.0 < (hour.first + hour.end) / 2 * 15 / 3_600 < 3.0, "around its peak at 02:00"
    grown = scaled(counts, 2.0, busiest=hour, peak_factor=1.5)
    inside = slice(hour.first, hour.end)
    assert grown.requests[inside] == pytest.approx(3.0 * counts.requests[inside])
    assert grown.kv_token_steps.sum() - grown.kv_token_steps[inside].sum() == pytest.approx(
        2.0 * (counts.kv_token_steps.sum() - counts.kv_token_steps[inside].sum())
    )


def test_a_demand_shorter_than_an_hour_is_its_own_worst_hour() -> None:
    counts = count(demand_from("poisson:rate=2,minutes=20"))
    assert busiest_hour(counts, PROFILE, 0.15) == Span(first=0, end=80)


def test_the_worst_hour_has_its_run_in_and_its_crowd() -> None:
    demand = demand_from("poisson:rate=2,minutes=180,seed=5")
    cut = worst_hour(demand, Span(first=240, end=480), 2.0, seed=1)
    assert cut.judged_from_seconds == 3_600.0, "all that comes before is run"
    arrivals = cut.requests.arrival_seconds
    before, hour = int((arrivals < 3_600.0).sum()), int((arrivals >= 3_600.0).sum())
    assert before == pytest.approx(7_200, rel=0.05)
    assert hour == pytest.approx(14_400, rel=0.05)
    assert (np.diff(arrivals) >= 0).all()
    assert cut.requests.duration_seconds == 7_200.0
    same = worst_hour(demand, Span(first=0, end=240), 1.0, seed=1)
    assert same.judged_from_seconds == 0.0, "nothing comes before the first hour"
    own = next(iter(demand.pieces())).arrival_seconds
    assert np.array_equal(same.requests.arrival_seconds, own[own <= 3_600.0])


def test_spot_is_planned_at_each_node_count_and_weighed_by_time() -> None:
    terms = SpotTerms(price_per_node_hour=0.3, preemptions_per_node_hour=0.05)
    pool = PoolSpec(name="pool", gpus_per_node=1, max_nodes=20, price_per_node_hour=1.0, spot=terms)
    found = spot_share(pool, {4: 0.75, 12: 0.25}, replace_seconds=300.0, attainment=0.99)
    own = {nodes: spot_plan(pool, nodes, replace_seconds=300.0, attainment=1 - 0.1 * (1 - 0.99)) for nodes in (4, 12)}
    assert found.usd_per_hour == pytest.approx(0.75 * own[4].usd_per_hour + 0.25 * own[12].usd_per_hour)
    assert 0.0 < found.spot_share <= 1.0
    assert found.usd_per_hour < 0.75 * 4 + 0.25 * 12, "else spot would not pay"
    without = PoolSpec(name="pool", gpus_per_node=1, max_nodes=20, price_per_node_hour=1.0)
    steady = spot_share(without, {4: 1.0}, replace_seconds=300.0, attainment=0.99)
    assert (steady.usd_per_hour, steady.spot_share) == (4.0, 0.0)


def test_spares_fit_the_quota() -> None:
    terms = SpotTerms(price_per_node_hour=0.3, preemptions_per_node_hour=0.5)
    free = PoolSpec(name="pool", gpus_per_node=2, max_nodes=9, price_per_node_hour=1.0, spot=terms)
    bound = PoolSpec(name="pool", gpus_per_node=2, max_nodes=9, price_per_node_hour=1.0, spot=terms, quota_gpus=8)
    without, within = (
        spot_share(pool, {4: 1.0}, replace_seconds=600.0, attainment=0.99).plans[4] for pool in (free, bound)
    )
    assert without.spare_nodes > 0
    assert within.spare_nodes == 0
    assert within.on_demand_nodes + within.spot_nodes == 4


def test_many_node_counts_are_interpolated_within_a_hundredth() -> None:
    terms = SpotTerms(price_per_node_hour=0.3, preemptions_per_node_hour=0.05)
    pool = PoolSpec(name="pool", gpus_per_node=1, max_nodes=200, price_per_node_hour=1.0, spot=terms)
    shares = dict.fromkeys(range(20, 80), 1 / 60)
    found = spot_share(pool, shares, replace_seconds=300.0, attainment=0.99)
    exact = np.mean([spot_plan(pool, nodes, replace_seconds=300.0, attainment=0.999).usd_per_hour for nodes in shares])
    assert found.usd_per_hour == pytest.approx(float(exact), rel=0.01)


def test_shares_of_time_are_those_of_the_bins() -> None:
    assert share_of_time(np.array([2, 2, 5, 2])) == {2: 0.75, 5: 0.25}
