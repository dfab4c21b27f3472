"""A scenario file in the whole world: spot before on-demand, preemptions, a stockout, staged starts, two policies."""

import html
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leadtime.__main__ import app
from leadtime.scenario_build import runs_of
from leadtime.scenario_file import ScenarioDraft
from policies.errors import BadInput
from simulations.cluster.spot import SPOT_PREEMPTED
from simulations.prices import machine_price
from simulations.report.cost import paid_by_pool
from simulations.results import Result
from simulations.simulate import simulate, simulate_together
from simulations.start.presets import GKE_L4_RECORDED

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "spot-first.yaml"
REFERENCE = ROOT / "docs" / "reference" / "scenario.md"

WORLD = """\
demand: "flash-crowd:rate=3,peak_rate=12,at_minutes=10,rise_seconds=120,hold_seconds=1200,decay_seconds=300,minutes=45"
policies: [leadtime, "hpa-total-demand:target_requests=24"]
slo: {tpot_seconds: 0.1}
replicas: {initial: 2, min: 1, max: 8}
start: {preset: gke-l4-recorded}
pools:
- {name: dear, machine_type: g2-standard-4, max_nodes: 4, zones: [a, b]}
- {name: cheap, machine_type: g2-standard-4, max_nodes: 8, zones: [a, b], priority: 1,
   spot: {preemptions_per_node_hour: 2}}
cluster:
  autoscaler: cluster-autoscaler
  region: us-central1
  stockouts: [{start_minutes: 9, end_minutes: 30, spot: true}]
"""


def checked(folder: Path, text: str) -> Any:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return ScenarioDraft.of(str(path)).checked()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Of both policies."""
    runs = runs_of(checked(tmp_path_factory.mktemp("world"), WORLD))
    return [simulate(*run.parts[0]) for run in runs]


def test_spot_comes_first_by_priority_and_on_demand_where_there_is_none(results: list[Result]) -> None:
    for result in results:
        assert [pool.name for pool in result.scenario.pools] == ["cheap", "dear"]
        nodes = result.lifelines.nodes
        assert {node.pool for node in nodes if node.asked_at == 0.0} == {"cheap"}
        in_stockout = [node for node in nodes if 9 * 60 < node.asked_at < 30 * 60 and not node.has_failed]
        assert in_stockout, "the crowd asks for nodes while there is no spot node to be had"
        assert {(node.pool, node.spot) for node in in_stockout} == {("dear", False)}
        refused = [node for node in nodes if not node.is_billed]
        assert refused, "spot was tried first"
        assert all(node.spot and node.within(math.inf) == 0.0 for node in refused)


def test_pods_of_a_node_that_was_taken_leave_it_and_are_replaced(results: list[Result]) -> None:
    for result in results:
        taken = {node.name for node in result.lifelines.nodes if node.was_taken}
        evicted = [pod for pod in result.lifelines.pods if pod.evicted == SPOT_PREEMPTED]
        assert taken
        assert evicted
        assert {pod.node for pod in evicted} <= taken
        for pod in evicted:
            assert any(other.asked_at == pod.deleted_at for other in result.lifelines.pods), "a ReplicaSet replaces it"


def test_gpu_seconds_and_money_add_up_from_pods_and_nodes(results: list[Result]) -> None:
    prices = {
        "cheap": machine_price("g2-standard-4", "us-central1", spot=True).usd_per_hour,
        "dear": machine_price("g2-standard-4", "us-central1").usd_per_hour,
    }
    for result in results:
        summary, horizon = result.summary, result.scenario.trace.duration_seconds
        pods = math.fsum(
            pod.gpus * max(0.0, min(pod.ended_at, horizon) - pod.asked_at) for pod in result.lifelines.pods
        )
        assert summary.gpu_hours == pytest.approx(pods / 3_600, rel=1e-9)
        hours = dict.fromkeys(prices, 0.0)
        for node in result.lifelines.nodes:
            assert node.usd_per_hour == prices[node.pool]
            hours[node.pool] += node.within(horizon) / 3_600
        assert summary.node_hours == pytest.approx(sum(hours.values()), rel=1e-9)
        assert summary.cost_usd == pytest.approx(sum(hours[name] * prices[name] for name in prices), rel=1e-9)
        paid = paid_by_pool(result)
        assert {each.pool: each.spot for each in paid} == {"cheap": True, "dear": False}
        assert math.fsum(each.cost_usd for each in paid) == pytest.approx(summary.cost_usd, rel=1e-9)


def test_a_node_holds_no_more_pods_than_it_has_gpus(results: list[Result]) -> None:
    """At no instant: machines of one L4, replicas of one GPU."""
    for result in results:
        gpus = {node.name: node.gpus for node in result.lifelines.nodes}
        changes: dict[str, list[tuple[float, int]]] = {}
        for pod in result.lifelines.pods:
            held = [span for span in pod.spans if span.stage != "pending"]
            if pod.node and held:
                changes.setdefault(pod.node, []).append((held[0].begin_seconds, pod.gpus))
                changes[pod.node].append((pod.ended_at, -pod.gpus))
        assert changes
        for node, steps in changes.items():
            count = 0
            for _, step in sorted(steps):
                count += step
                assert 0 <= count <= gpus[node], f"{node} of {result.policy}"


def test_the_command_writes_the_page_with_the_cost_by_pool(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(WORLD)
    page, figures = tmp_path / "r.html", tmp_path / "f.json"
    arguments = ["simulate", str(path), "--report", str(page), "--json", str(figures)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads(figures.read_text())["policies"]
    assert [row["policy"] for row in rows] == ["leadtime", "hpa-total-demand:target_requests=24"]
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))))
    table = text[text.index("Cost by pool") : text.index("What the money was spent on")]
    for row in rows:
        assert re.search(re.escape(row["policy"]) + r" cheap spot \d+ nodes", table)
        assert re.search(re.escape(row["policy"]) + r" dear on-demand \d+ nodes", table)
    assert "in stages, as the scenario's `start` says" in text


def test_workloads_share_the_pools_of_their_gpu_under_one_set_of_rules(tmp_path: Path) -> None:
    """One with a budget of its own, one a StatefulSet."""
    file = checked(
        tmp_path,
        "demand: 'poisson:rate=1,minutes=2'\npolicies: ['static:replicas=2']\nreplicas: {initial: 1}\n"
        "pools: [{name: l4, machine_type: g2-standard-24}, {name: h100, machine_type: a3-highgpu-1g}]\n"
        "cluster: {quotas: [{gpu: l4, gpus: 8}]}\n"
        "workloads: [{name: chat, pod: {min_available: 1}}, {name: batch, workload: {kind: StatefulSet}},\n"
        "  {name: large, profile: llama-3.1-8b-h100}]\n",
    )
    (chat, _), (batch, _), (large, _) = runs_of(file)[0].parts
    assert [pool.name for pool in large.pools] == ["h100"]
    assert [pool.name for pool in chat.pools] == ["l4"]
    assert chat.pools == batch.pools
    assert chat.cluster == batch.cluster == large.cluster
    assert [budget.name for budget in chat.budgets] == ["chat"]
    assert chat.budgeted_policy.budget == "chat"
    assert batch.workload.kind == "StatefulSet"
    results = simulate_together(runs_of(file)[0].parts)
    assert [result.summary.served_requests > 0 for result in results] == [True, True, True]


def test_stages_are_the_presets_unless_they_are_given(tmp_path: Path) -> None:
    file = checked(
        tmp_path,
        "demand: 'poisson:rate=1,minutes=2'\nstart: {preset: gke-l4-recorded, image_gbytes: 10, model_gbytes: 16,\n"
        "  download_mbytes_per_second: 200, kept_by: node, readiness: {period_seconds: 5}}\n",
    )
    scenario, _ = runs_of(file)[0].parts[0]
    start = scenario.start
    assert start is not None
    assert scenario.pools == (GKE_L4_RECORDED.pool,), "a preset without nodes or pools has its own"
    assert (start.volume, start.container) == (GKE_L4_RECORDED.start.volume, GKE_L4_RECORDED.start.container)
    assert start.pull.median_seconds == 10e9 / 100e6
    assert start.download.median_seconds == 16e9 / 200e6
    assert start.read.median_seconds == 16e9 / 1e9
    assert start.probes.readiness is not None
    assert start.probes.readiness.period_seconds == 5
    assert scenario.lead_time.start_median_seconds == 95 + 4 + 100 + 1


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        pytest.param("{at_minutes: 3}", "RollingUpdate(max_surge='25%'", id="rolling-update-by-default"),
        pytest.param("{at_minutes: 3, max_surge: '2', max_unavailable: 10%}", "max_surge=2", id="pods-or-a-share"),
        pytest.param("{at_minutes: 3, strategy: blue-green, scale_down_delay_seconds: 5}", "=5.0", id="blue-green"),
        pytest.param("{at_minutes: 3, strategy: canary, weights_percent: [10, 50]}", "(10.0, 50.0)", id="canary"),
        pytest.param("{at_minutes: 3, strategy: canary, traffic_routing: false}", "RollingUpdate(", id="by-pods"),
        pytest.param(
            "{at_minutes: 3, strategy: canary, traffic_routing: true, pause_seconds: 7, scale_down_delay_seconds: 9}",
            "RoutedCanary(weights_percent=(5.0, 10.0, 20.0), pause_seconds=7.0, min_attainment=0.95, scale_down_",
            id="routed-canary",
        ),
    ],
)
def test_a_rollout_is_the_strategy_that_is_named(tmp_path: Path, text: str, strategy: str) -> None:
    scenario, _ = runs_of(checked(tmp_path, f"demand: 'poisson:rate=1,minutes=2'\nrollout: {text}\n"))[0].parts[0]
    assert scenario.rollout is not None
    assert scenario.rollout.at_seconds == 180.0
    assert strategy in repr(scenario.rollout.strategy)


ONE_POOL = "pools: [{name: l4, machine_type: g2-standard-4, zones: [a], min_nodes: 4}]\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "pools: [{name: x, machine_type: g2-standard-5}]",
            "pools.0.machine_type: was 'g2-standard-5', which has no entry; did you mean g2-standard-",
            id="unknown-machine-type",
        ),
        pytest.param(
            "pools: [{name: x, machine_type: g6e.xlarge}]\ncluster: {region: us-central1}",
            "cluster.region: was 'us-central1', for which g6e.xlarge has no price, only for us-east-1",
            id="a-region-without-a-price",
        ),
        pytest.param(
            "pools: [{name: x, machine_type: g6e.xlarge, spot: {}}]", "pools.0.g6e.xlarge.spot_usd", id="no-spot-price"
        ),
        pytest.param("pools: [{name: x}]", "pools.0.machine_type: was null, must be a machine", id="pool-of-nothing"),
        pytest.param(
            "pools: [{name: x, machine_type: g2-standard-4, gpus_per_node: 2}]",
            "pools.0.gpus_per_node: was given with machine_type, which says it",
            id="gpus-said-twice",
        ),
        pytest.param(
            "pools: [{name: x, gpus_per_node: 1}, {name: y, machine_type: g2-standard-4}]",
            "pools.0.price_per_node_hour: was null, must be a price, as other pools have one",
            id="a-bill-of-nodes-and-gpus",
        ),
        pytest.param(
            "pools: [{name: x, gpus_per_node: 1}, {name: x, gpus_per_node: 2}]", "rename one x", id="pools-of-one-name"
        ),
        pytest.param(
            "nodes: {}\n" + ONE_POOL, "nodes: was given with pools, must be one of them", id="nodes-and-pools"
        ),
        pytest.param(
            "start: {preset: gke-l4-recordet}", "start.preset: was 'gke-l4-recordet'; did you mean", id="unknown-preset"
        ),
        pytest.param(
            "start: {image_gbytes: 8, pull_seconds: 9}\nnodes: {}",
            "start.pull_seconds: was given with image_gbytes, must be one of them",
            id="a-stage-said-twice",
        ),
        pytest.param(
            "start: {is_model_preloaded: true}\nnodes: {}",
            "start.is_model_preloaded: was true with kept_by container, must go with node or volume",
            id="preloaded-into-a-container",
        ),
        pytest.param(
            "start: {read_seconds: 9}", "nodes: was null, must be a pool where start", id="stages-and-no-pool"
        ),
        pytest.param(
            "start: {preset: nim-l4}\nlead_time: {sigma: 0}",
            "lead_time: was given with start, which takes its place",
            id="two-starts",
        ),
        pytest.param(
            ONE_POOL + "cluster: {stockouts: [{zone: c, start_minutes: 1, end_minutes: 2}]}",
            "cluster.stockouts.0.zone: was 'c', must be one of a, the zones of the pools",
            id="zone-without-a-pool",
        ),
        pytest.param(
            ONE_POOL + "cluster: {stockouts: [{start_minutes: 1}]}",
            "cluster.stockouts.0.start_minutes: must be given with end_minutes",
            id="half-a-window",
        ),
        pytest.param(
            ONE_POOL + "cluster: {quotas: [{gpu: l4, gpus: 3}]}",
            "cluster.quotas.0.gpus: was 3, must be at least 4, the GPUs of the pools' min_nodes",
            id="quota-below-min-nodes",
        ),
        pytest.param(
            ONE_POOL + "cluster: {quotas: [{gpu: h100, gpus: 3}]}",
            "cluster.quotas.0.gpu: was 'h100', must be one of NVIDIA-L4",
            id="quota-of-another-gpu",
        ),
        pytest.param(
            "cluster: {autoscaler: cluster-autoscaler}", "cluster: was given, must go with nodes", id="no-nodes"
        ),
        pytest.param(
            "workload: {kind: StatefulSet}\nrollout: {at_minutes: 5}",
            "rollout: was given with workload.kind StatefulSet, must be null",
            id="statefulset-with-rollout",
        ),
        pytest.param(
            "rollout: {at_minutes: 5, pause_seconds: 9}",
            "rollout.pause_seconds: was given, must be null for rolling-update",
            id="a-field-of-another-strategy",
        ),
        pytest.param(
            "rollout: {at_minutes: 5, strategy: blue-green, traffic_routing: true}",
            "rollout.traffic_routing: was given, must be null for blue-green; leave it out or set strategy: canary",
            id="blue-green-has-no-weights",
        ),
        pytest.param(
            "rollout: {at_minutes: 5, scale_down_delay_seconds: 9}",
            "rollout.scale_down_delay_seconds: was given, must be null for rolling-update; leave it out or set "
            "strategy: blue-green or canary",
            id="a-delay-of-two-strategies",
        ),
        pytest.param(
            "rollout: {at_minutes: 5, strategy: canary, scale_down_delay_seconds: 9}",
            "rollout.scale_down_delay_seconds: was given, must be null for a canary by numbers of pods; leave it out "
            "or set traffic_routing: true",
            id="a-delay-without-a-gateway",
        ),
        pytest.param(
            "rollout: {at_minutes: 5, max_surge: '0', max_unavailable: '0'}",
            "rollout.maxUnavailable: was 0, must be above 0",
            id="a-rollout-that-never-moves",
        ),
        pytest.param(
            "workload: {termination_grace_period_seconds: 5, pre_stop_seconds: 9}",
            "preStop.sleep.seconds: was 9.0, must be in [0, 5]",
            id="hook-longer-than-the-grace-period",
        ),
    ],
)
def test_a_world_that_cannot_be_is_refused_in_one_line_before_it_runs(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(BadInput) as refused:
        runs_of(checked(tmp_path, f"demand: 'poisson:rate=1,minutes=2'\n{text}\n"))
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_documented_example_is_the_file_and_runs(tmp_path: Path) -> None:
    """Its first five minutes."""
    content = "".join(line for line in EXAMPLE.read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert f"```yaml\n{content}```" in REFERENCE.read_text(encoding="utf-8")
    arguments = ["simulate", str(EXAMPLE), "--minutes", "5", "--report", str(tmp_path / "r.html")]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
