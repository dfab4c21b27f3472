"""Rollouts under load: a new revision takes over, and an autoscaler in the loop is not deceived by its warming pods."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from policies.registry import configured
from simulations.engine import Router
from simulations.fleet import Fleet
from simulations.fleet.blue_green import BlueGreen
from simulations.fleet.canary import Canary, CanaryRun
from simulations.fleet.rolling_update import RollingUpdate
from simulations.fleet.rollout import COMPLETE, ROLLED_BACK, TIMED_OUT, Rollout, Strategy
from simulations.lead_time import LeadTime
from simulations.results import Recorder
from simulations.scenario import Scenario, Workload
from simulations.simulate import simulate
from simulations.slo import SLO
from simulations.start.probes import Probe, Probes
from simulations.start.staged_start import StagedStart

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=20.0, load_median_seconds=100.0, warm_start_median_seconds=3.0, sigma=0.0)
SLOWER = replace(PROFILE, name="slower", base_seconds=5 * PROFILE.base_seconds)
OLD, NEW = "1", "2"


def fleet(strategy: Strategy, *, per_second: float = 1.0, seconds: float = 4_000.0, **fields: Any) -> Fleet:
    """A rollout at 100 s of 8 replicas under a constant load."""
    changed = {name: fields.pop(name) for name in ("profile", "start", "lead_time") if name in fields}
    return Fleet(
        Scenario(
            trace=trace_of(np.arange(0.0, seconds, 1.0 / per_second).tolist(), 100, 50, ends_seconds=seconds),
            profile=PROFILE,
            lead_time=EXACT,
            rollout=Rollout(at_seconds=100.0, strategy=strategy, **changed),
            router=Router(policy="round-robin"),
            **{"initial_replicas": 8, **fields},
        )
    )


def counts(each: Fleet) -> dict[str, tuple[int, int]]:
    """revision -> (wanted, Ready) pods."""
    wanted = [pod for pod in each.existing() if pod.is_wanted]
    return {
        revision: (
            sum(pod.revision == revision for pod in wanted),
            sum(pod.revision == revision and pod.row is not None for pod in wanted),
        )
        for revision in (OLD, NEW)
    }


def phase(each: Fleet) -> str:
    assert each.revisions.run is not None
    return each.revisions.run.phase


def revisions_by_arrival(each: Fleet) -> list[str]:
    """Which revision answered, in order of arrival."""
    of_number = {pod.number: pod.revision for pod in each.pods}
    rows = each.engine.requests[: each.engine.loaded]
    in_order = rows[np.argsort(rows["arrival"], kind="stable")]["replica"].tolist()
    return [of_number[number] for number in in_order if number >= 0]


def test_a_rolling_update_of_8_replicas_in_its_steps() -> None:
    """25 % and 25 %: 2 on top, 2 may be missing. 2 new, 2 old go, 2 more new, wait 120 s, and so on."""
    each = fleet(RollingUpdate())
    seen = []
    for second in (99.0, 100.0, 219.0, 220.0, 340.0, 460.0):
        each.advance(second)
        seen.append((second, *counts(each).values()))
    assert seen == [
        (99.0, (8, 8), (0, 0)),
        (100.0, (6, 6), (4, 0)),
        (219.0, (6, 6), (4, 0)),
        (220.0, (2, 2), (8, 4)),
        (340.0, (0, 0), (8, 8)),
        (460.0, (0, 0), (8, 8)),
    ]
    assert phase(each) == COMPLETE
    each.advance(6_000.0)
    assert each.finished


def test_a_rolling_update_never_serves_with_less_than_it_promised() -> None:
    each = fleet(RollingUpdate(max_surge=1, max_unavailable=0))
    for second in range(90, 3_000, 5):
        each.advance(float(second))
        ready = sum(ready for _, ready in counts(each).values())
        assert ready >= 8, f"at {second} s"
        assert sum(wanted for wanted, _ in counts(each).values()) <= 9
    assert counts(each) == {OLD: (0, 0), NEW: (8, 8)}
    assert [pod.first_ready_at for pod in each.pods[8:]] == [100.0 + 120.0 * k for k in range(1, 9)]


def test_a_revision_that_never_gets_ready_stops_there_and_says_so_at_its_deadline() -> None:
    """The new revision's liveness probe kills it while it loads: the crash loop; the old pods go on serving."""
    broken = StagedStart(probes=Probes(readiness=Probe(), liveness=Probe(failure_threshold=3)))
    each = fleet(RollingUpdate(), start=broken)
    each.advance(699.0)
    assert phase(each) == "Progressing"
    each.advance(2_000.0)
    assert phase(each) == TIMED_OUT
    assert counts(each) == {OLD: (6, 6), NEW: (4, 0)}
    assert min(pod.restarts for pod in each.pods[8:]) >= 5


def test_scaling_in_the_middle_of_a_rolling_update_is_shared_by_both_revisions() -> None:
    each = fleet(RollingUpdate())
    each.advance(150.0)
    assert counts(each) == {OLD: (6, 6), NEW: (4, 0)}
    each.scale(12)
    both = counts(each)
    assert both[OLD][0] + both[NEW][0] == 15, "12 and a surge of 25 %"
    assert both[OLD][0] > 6
    each.advance(3_000.0)
    assert counts(each) == {OLD: (0, 0), NEW: (12, 12)}
    each.scale(5)
    assert counts(each) == {OLD: (0, 0), NEW: (5, 5)}


def test_blue_green_switches_all_requests_at_once_when_all_of_green_is_up() -> None:
    each = fleet(BlueGreen(scale_down_delay_seconds=30.0))
    seen = []
    for second in (101.0, 219.0, 221.0, 251.0):
        each.advance(second)
        seen.append(counts(each))
    assert seen == [
        {OLD: (8, 8), NEW: (8, 0)},
        {OLD: (8, 8), NEW: (8, 0)},
        {OLD: (8, 8), NEW: (8, 8)},
        {OLD: (0, 0), NEW: (8, 8)},
    ]
    assert phase(each) == COMPLETE
    by_arrival = revisions_by_arrival(each)
    assert by_arrival[:220] == [OLD] * 220
    assert set(by_arrival[221:250]) == {NEW}


def test_a_canary_gets_its_share_step_by_step_and_is_promoted() -> None:
    each = fleet(Canary(pause_seconds=200.0), initial_replicas=20, per_second=5.0)
    shares = []
    for ready, pods in ((220.0, 1), (540.0, 2), (860.0, 4)):
        each.advance(ready)
        assert counts(each) == {OLD: (20 - pods, 20 - pods), NEW: (pods, pods)}, f"at {ready} s"
        before = len(revisions_by_arrival(each))
        each.advance(ready + 199.0)
        step = revisions_by_arrival(each)[before:]
        shares.append(step.count(NEW) / len(step))
    assert shares == pytest.approx([0.05, 0.10, 0.20], abs=0.04)
    each.advance(3_000.0)
    run = each.revisions.run
    assert isinstance(run, CanaryRun)
    assert run.phase == COMPLETE
    assert [round(second) for second, _ in run.judged] == [420, 740, 1_060]
    assert all(attainment == 1.0 for _, attainment in run.judged)
    assert counts(each) == {OLD: (0, 0), NEW: (20, 20)}


def test_a_canary_that_misses_the_slo_is_rolled_back() -> None:
    each = fleet(
        Canary(pause_seconds=200.0), profile=SLOWER, initial_replicas=20, per_second=5.0, slo=SLO(tpot_seconds=0.1)
    )
    each.advance(419.0)
    assert counts(each)[NEW] == (1, 1)
    each.advance(420.0)
    assert phase(each) == ROLLED_BACK
    assert counts(each)[OLD][0] == 20
    each.advance(1_000.0)
    assert counts(each) == {OLD: (20, 20), NEW: (0, 0)}
    run = each.revisions.run
    assert isinstance(run, CanaryRun)
    ((_, attainment),) = run.judged
    assert attainment is not None
    assert attainment < 0.5


def test_a_canary_without_requests_is_judged_later_not_promoted() -> None:
    each = fleet(Canary(pause_seconds=100.0), seconds=150.0)
    each.advance(1_000.0)
    run = each.revisions.run
    assert isinstance(run, CanaryRun)
    assert run.step == 0
    assert len(run.judged) >= 3
    assert {attainment for _, attainment in run.judged} == {None}


@pytest.mark.parametrize(
    "strategy", [RollingUpdate(), BlueGreen(), Canary(pause_seconds=60.0)], ids=["rolling", "blue-green", "canary"]
)
def test_requests_are_conserved_and_a_run_is_the_same_however_time_is_advanced(strategy: Strategy) -> None:
    leap, walk = fleet(strategy, seconds=1_500.0), fleet(strategy, seconds=1_500.0)
    for second in range(0, 1_500, 13):
        walk.advance(float(second))
    for each in (leap, walk):
        each.advance(3_000.0)
        assert each.finished
        assert len(revisions_by_arrival(each)) == 1_500
    assert [pod.first_ready_at for pod in leap.pods] == [pod.first_ready_at for pod in walk.pods]
    assert revisions_by_arrival(leap) == revisions_by_arrival(walk)


HPA = {"metric": "vllm:num_requests_running", "target": "20"}
LEADTIME = {"profile": PROFILE.name, "tpot_seconds": "0.075"}


@cache
def under_load(
    name: str, strategy: RollingUpdate | BlueGreen | None, *, seed: int = 7, replicas: int = 8, seconds: float = 1_800.0
) -> Recorder:
    """18 requests/s, which take about 4 replicas; after 10 minutes a rollout with loads of 200 s."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / 18.0, round(22 * seconds)))
    scenario = Scenario(
        trace=trace_of(arrivals[arrivals < seconds].tolist(), 400, 150, ends_seconds=seconds),
        profile=PROFILE,
        slo=SLO(ttft_seconds=2.0, tpot_seconds=0.075),
        lead_time=LeadTime(start_median_seconds=20.0, load_median_seconds=200.0, sigma=0.0),
        initial_replicas=replicas,
        rollout=None if strategy is None else Rollout(at_seconds=600.0, strategy=strategy),
    )
    kept: list[Recorder] = []
    simulate(scenario, configured(name, LEADTIME if name == "leadtime" else HPA), kept.append)
    return kept[-1]


SURGE, NO_SURGE = RollingUpdate(), RollingUpdate(max_surge=0, max_unavailable=1)


@pytest.mark.parametrize("strategy", [SURGE, BlueGreen()], ids=["rolling", "blue-green"])
@pytest.mark.parametrize("name", ["leadtime", "hpa"])
def test_an_autoscaler_asks_for_what_it_would_ask_for_without_the_rollout(
    name: str, strategy: RollingUpdate | BlueGreen
) -> None:
    """Under a constant load, with up to twice the pods there, half of them warming: never 2 replicas off."""
    plain, rolled = under_load(name, None), under_load(name, strategy)
    assert phase(rolled.fleet) == COMPLETE
    asked = [(moment.second, moment.replicas) for moment in rolled.moments]
    usual = [moment.replicas for moment in plain.moments]
    assert [second for (second, now), before in zip(asked, usual, strict=False) if abs(now - before) > 1] == []
    assert rolled.result().summary.slo_attainment >= 0.99


@pytest.mark.parametrize("strategy", [SURGE, NO_SURGE, BlueGreen()], ids=["rolling", "no-surge", "blue-green"])
def test_leadtime_never_counts_a_warming_pod_as_capacity(strategy: RollingUpdate | BlueGreen) -> None:
    """Whatever is warming, it asks for no less than the load that it says it sees, nor does what a replica is said to
    sustain sink or rise with pods that serve nothing."""
    during = [moment for moment in under_load("leadtime", strategy).moments if 600.0 <= moment.second <= 1_500.0]
    warming = [moment for moment in during if moment.ready_replicas < moment.replicas]
    assert len(warming) >= 10 or isinstance(strategy, BlueGreen)
    for moment in during:
        numbers = moment.decision.numbers
        assert moment.replicas >= numbers["load_replicas"], moment.decision.message
        assert 4.0 <= numbers["capacity_requests_per_second"] <= 5.5, moment.decision.message


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_leadtime_takes_no_serving_pod_while_others_are_replaced(seed: int) -> None:
    """Its need sinks in the middle of a rollout without surge: with one replica less, one less would serve."""
    recorder = under_load("leadtime", NO_SURGE, seed=seed, replicas=5, seconds=3_600.0)
    replaced = 600.0 + 5 * 220.0  # one lead time after the other
    during = [each for each in recorder.moments if 600.0 <= each.second <= replaced]
    assert any(each.decision.numbers["needed_replicas"] < each.replicas for each in during)
    asked = [each.replicas for each in during]
    assert asked == sorted(asked)
    assert recorder.result().summary.slo_attainment >= 0.995


def test_without_surge_a_replica_is_missing_for_one_lead_time_after_the_other() -> None:
    """5 replicas in steps of one: for 5 lead times one is lacking, and for as long the fleet has no more to give."""
    during = [moment for moment in under_load("leadtime", NO_SURGE).moments if 600.0 <= moment.second <= 1_500.0]
    assert all(moment.ready_replicas <= moment.replicas - 1 for moment in during[1:-20])
    short = [moment.second for moment in during if moment.ready_replicas < moment.replicas]
    assert short[-1] - short[0] >= 4 * 220.0


def test_a_stateful_set_cannot_be_rolled_out() -> None:
    with pytest.raises(BadInput, match="rollout: was given for a StatefulSet, must be of a Deployment"):
        fleet(RollingUpdate(), workload=Workload(kind="StatefulSet"))
    other = next(each for each in PROFILES.values() if each.kv_blocks != PROFILE.kv_blocks)
    with pytest.raises(BadInput, match=r"rollout.profile.kv_blocks: was .*, must be .* as before"):
        fleet(RollingUpdate(), profile=other)
