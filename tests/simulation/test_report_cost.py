"""Every split of the bill adds up to the bill, and to what the cluster says independently of it."""

import math
from dataclasses import replace

import pytest
from report_runs import nodes, run

from simulations.cluster.node_pool import NodePool
from simulations.report.cost import IDLE, PROVISIONING, paid_by_pool, paid_by_use, pays_for_nodes, unit_costs
from simulations.report.cost_tables import cost_section, lead_time_section
from simulations.report.lead_times import STARTS, cold_starts
from simulations.results import Result
from simulations.results.lifelines import PodStage
from simulations.scenario import Failures

WORLDS = {
    "gpus-are-priced": None,
    "nodes-are-priced": nodes(),
    "nodes-without-a-price": nodes(price_per_node_hour=None),
    "one-gpu-a-node": nodes(gpus_per_node=1, max_nodes=12, price_per_node_hour=0.9),
}


@pytest.fixture(scope="module", params=WORLDS.values(), ids=WORLDS.keys())
def result(request: pytest.FixtureRequest) -> Result:
    world: NodePool | None = request.param
    return run(nodes=world)


def test_pools_and_uses_add_up_to_the_summarys_cost(result: Result) -> None:
    cost = result.summary.cost_usd
    assert cost > 0
    assert math.fsum(row.cost_usd for row in paid_by_pool(result)) == pytest.approx(cost, rel=1e-12)
    uses = paid_by_use(result)
    assert math.fsum(uses.values()) == pytest.approx(cost, rel=1e-12)
    assert min(uses.values()) > -1e-9, "no stage gives money back, and no node holds more pods than it has GPUs"


def test_hours_of_the_table_are_those_of_the_summary(result: Result) -> None:
    hours = math.fsum(row.hours for row in paid_by_pool(result))
    if pays_for_nodes(result):
        assert result.summary.node_hours == pytest.approx(hours, rel=1e-12)
    else:
        assert result.summary.gpu_hours == pytest.approx(hours, rel=1e-12)


def test_idle_gpus_are_what_pods_left_of_the_nodes() -> None:
    """The same figure from the other side: GPU time of nodes that were there less that of placed pods."""
    result = run(nodes=nodes())
    horizon, lines = result.scenario.trace.duration_seconds, result.lifelines
    there = math.fsum(2 * (node.within(horizon) - node.provisioning_within(horizon)) for node in lines.nodes)
    held = math.fsum(
        pod.seconds(stage, horizon) for pod in lines.pods for stage in PodStage if stage != PodStage.PENDING
    )
    uses = paid_by_use(result)
    assert uses[IDLE] == pytest.approx((there - held) / 3_600 * 1.7 / 2, rel=1e-9)
    assert uses[IDLE] > 0
    assert uses[PROVISIONING] > 0


def test_spot_and_on_demand_have_rows_of_their_own() -> None:
    result = run(nodes=nodes())
    first, *others = result.lifelines.nodes
    mixed = replace(result.lifelines, nodes=(replace(first, spot=True, usd_per_hour=0.6), *others))
    rows = {row.spot: row for row in paid_by_pool(replace(result, lifelines=mixed))}
    horizon = result.scenario.trace.duration_seconds
    assert rows[True].cost_usd == pytest.approx(0.6 * first.within(horizon) / 3_600)
    assert rows[True].units == 1
    assert rows[False].units == len(others)
    assert rows[False].cost_usd == pytest.approx(math.fsum(1.7 * node.within(horizon) / 3_600 for node in others))


def test_pods_that_never_get_a_node_cost_nothing_where_nodes_are_paid() -> None:
    result = run(600.0, nodes=nodes(), initial_replicas=1, failures=Failures())
    one = replace(result.lifelines.pods[0], node="", spans=(), asked_at=0.0)
    nothing = replace(
        result,
        summary=replace(result.summary, cost_usd=0.0),
        lifelines=replace(result.lifelines, pods=(one,), nodes=()),
    )
    assert pays_for_nodes(nothing)
    assert paid_by_pool(nothing) == ()
    assert sum(paid_by_use(nothing).values()) == 0.0
    assert ">$0.00<" in cost_section([nothing], ["told"])


def test_units_of_work(result: Result) -> None:
    summary, units = result.summary, unit_costs(result)
    assert units.per_1000_requests == pytest.approx(1_000 * summary.cost_usd / summary.served_requests)
    assert units.per_1000_good_requests == pytest.approx(
        units.per_1000_requests * summary.served_requests / (summary.slo_attainment * summary.requests)
    )
    tokens = summary.prompt_tokens + summary.generation_tokens
    assert units.per_million_tokens * tokens / 1e6 == pytest.approx(summary.cost_usd)


def test_nothing_served_has_no_price() -> None:
    result = run(600.0)
    nothing = replace(result, summary=replace(result.summary, served_requests=0))
    assert math.isnan(unit_costs(nothing).per_1000_requests)
    assert ">-<" in cost_section([nothing], ["told"])


def test_cold_starts_by_path_are_those_that_the_summary_counts(result: Result) -> None:
    rows = [row for row in cold_starts(result) if row.path != "all"]
    assert sum(row.pods for row in rows) == result.summary.cold_starts > 0
    assert result.summary.cold_start_mean_seconds == pytest.approx(
        math.fsum(row.pods * row.mean_total_seconds for row in rows) / result.summary.cold_starts
    )
    for row in rows:
        assert math.fsum(row.mean_seconds[stage] for stage in STARTS) == pytest.approx(row.mean_total_seconds)
        assert row.p95_total_seconds >= 0.5 * row.mean_total_seconds
        assert row.mean_seconds[row.longest_stage] == max(row.mean_seconds.values())


def test_tables_name_runs_pools_and_stages(result: Result) -> None:
    page = cost_section([result, replace(result)], ["<first>", "second"])
    assert "&lt;first&gt;" in page
    assert "<first>" not in page
    assert f"${result.summary.cost_usd:,.2f}" in page
    assert page.count("+0.0%") == 3, "three unit costs of the second run, beside the first's"
    starts = lead_time_section([result], ["told"])
    for row in cold_starts(result):
        assert f">{row.path}<" in starts
        assert f">{row.longest_stage} (" in starts
    assert lead_time_section([replace(result, lifelines=replace(result.lifelines, pods=()))], ["told"]) == ""
