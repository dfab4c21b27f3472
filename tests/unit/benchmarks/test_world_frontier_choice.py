"""The pure parts of benchmarks/world_frontier.py: the choice in training, the bill, settings, the table."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from simulations.cluster.spot import SPOT_PREEMPTED
from simulations.request_rows import FAILED, NEVER_SENT, ROW, SERVED
from simulations.results.lifelines import NodeLine, PodLine, PodStage, Span
from simulations.slo import SLO

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))

from node_world.choice import HEADER, Frontier, Outcome, best_of, row, table
from node_world.contenders import LEADTIME, RIVALS, WITH_HORIZON, Contender, Setting, with_headroom
from node_world.judged import Answers, Part, part_of
from node_world.world import MOST_REPLICAS, PEAK_REPLICAS, World, world_of


def part(attainment: float, usd: float, *, requests: int = 10_000) -> Part:
    return Part(
        requests=requests,
        good=round(attainment * requests),
        usd=usd,
        node_hours=2 * usd,
        spot_node_hours=usd,
        ready_hours=usd,
        preempted=3,
        ttft_p95_seconds=0.5,
    )


def frontier(policy: str, *rows: tuple[float, float, float, float]) -> Frontier:
    """Rows: trained attainment and USD, judged attainment and USD."""
    return Frontier(
        policy=policy,
        outcomes=[
            Outcome(
                setting=Setting(number=number, knob=float(number), window_seconds=0),
                train=part(trained, trained_usd),
                judged=part(judged, judged_usd),
            )
            for number, (trained, trained_usd, judged, judged_usd) in enumerate(rows)
        ],
    )


def test_what_is_judged_was_chosen_in_training() -> None:
    """A setting that was beaten in training is not used, however well it did later; by hindsight it would be."""
    found = frontier("one", (0.96, 10.0, 0.95, 12.0), (0.955, 11.0, 0.999, 1.0), (0.995, 20.0, 0.99, 24.0))
    assert [each.setting.number for each in found.chosen] == [0, 2]
    assert found.usd_at(0.95) == pytest.approx(12.0)
    assert found.usd_at(0.99) == pytest.approx(24.0)
    assert found.hindsight_usd_at(0.99) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("level", "number"),
    [
        pytest.param(0.95, 0, id="the-cheapest-that-reached-it-in-training"),
        pytest.param(0.99, 2, id="not-one-that-reaches-it-only-later"),
        pytest.param(0.999, None, id="none-where-none-reached-it"),
    ],
)
def test_deployed(level: float, number: int | None) -> None:
    found = frontier("one", (0.96, 10.0, 0.93, 12.0), (0.985, 15.0, 0.999, 16.0), (0.995, 20.0, 0.99, 24.0))
    deployed = found.deployed_for(level)
    assert (None if deployed is None else deployed.setting.number) == number


def test_the_cost_between_two_settings_is_what_the_two_in_turns_cost() -> None:
    """98 % lies three quarters of the way from 95 to 99 %."""
    found = frontier("one", (0.95, 10.0, 0.95, 10.0), (0.99, 20.0, 0.99, 20.0))
    assert found.usd_at(0.98) == pytest.approx(17.5)
    assert found.node_hours_at(0.98) == pytest.approx(35.0)


def test_a_row_says_what_was_not_reached() -> None:
    cells = row(frontier("lean", (0.96, 10.0, 0.94, 12.0)))
    assert len(cells) == len(HEADER)
    assert cells[:7] == ("lean", "12.0", "n/a", "n/a", "24.0", "n/a", "n/a")
    assert cells[7] == "94.00% for 12.0; spot 50%, 3 preempted, TTFT p95 0.50 s"
    assert cells[8] == "not reached in training"
    assert table([frontier("lean", (0.96, 10.0, 0.94, 12.0))]).count("\n") == 2


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        pytest.param([(0.96, 12.0), (0.96, 10.0)], 1, id="the-cheaper-one"),
        pytest.param([(0.94, 5.0), (0.96, 10.0)], 1, id="one-that-reaches-the-level"),
        pytest.param([(0.90, 5.0), (0.93, 10.0)], 1, id="the-nearest-where-none-does"),
    ],
)
def test_best_of(rows: list[tuple[float, float]], best: int) -> None:
    """What is judged does not count: it is not known when the rival is given headroom."""
    frontiers = [frontier(str(number), (*each, 0.999 - 0.1 * number, 1.0)) for number, each in enumerate(rows)]
    assert best_of(frontiers).policy == str(best)


def node(asked_at: float, ready_at: float, removed_at: float, *, spot: bool = False, reason: str = "") -> NodeLine:
    return NodeLine(
        name=f"node-{asked_at}",
        pool="pool",
        gpus=1,
        usd_per_hour=0.5 if spot else 1.0,
        spot=spot,
        asked_at=asked_at,
        ready_at=ready_at,
        removed_at=removed_at,
        removed_reason=reason,
    )


def test_a_part_of_the_run_has_its_part_of_the_bill() -> None:
    """Within [1 h, 3 h): all of an on-demand node there, and an hour of a spot node that is taken back at 2 h."""
    nodes = [node(0.0, 90.0, math.inf), node(1_800.0, 1_900.0, 7_200.0, spot=True, reason=SPOT_PREEMPTED)]
    spans = (Span(stage=PodStage.READY, begin_seconds=1_000.0, end_seconds=5_400.0),)
    pods = [PodLine(workload="vllm", name="pod", pool="pool", gpus=1, node_share=1.0, asked_at=0.0, spans=spans)]
    found = part_of(Answers(SLO()), nodes, pods, 3_600.0, 10_800.0)
    assert found.usd == pytest.approx(2.0 * 1.0 + 1.0 * 0.5)
    assert found.node_hours == pytest.approx(3.0)
    assert found.spot_share == pytest.approx(1.0 / 3.0)
    assert found.ready_hours == pytest.approx(0.5)
    assert found.preempted == 1
    assert part_of(Answers(SLO()), nodes, pods, 0.0, 3_600.0).preempted == 0


@given(st.floats(0.0, 20_000.0), st.floats(0.0, 9_000.0), st.floats(0.0, 20_000.0))
def test_parts_add_up_to_the_whole_bill(asked_at: float, lives: float, cut: float) -> None:
    """Wherever a run is cut, the two bills are the bill of the whole."""
    nodes = [node(asked_at, asked_at + 60.0, asked_at + 60.0 + lives)]
    answers = Answers(SLO())
    before, after = (part_of(answers, nodes, (), *span) for span in ((0.0, cut), (cut, 40_000.0)))
    assert before.usd + after.usd == pytest.approx((60.0 + lives) / 3_600.0)


def test_requests_count_where_they_arrive() -> None:
    """One within the SLO, one with a late first token, one that failed, one never sent; the first comes too early."""
    rows = np.zeros(5, ROW)
    rows["arrival"] = [0.0, 10.0, 11.0, 12.0, 13.0]
    rows["first_token"] = [1.0, 11.0, 16.0, np.nan, np.nan]
    rows["finish"] = [2.0, 12.0, 17.0, np.nan, np.nan]
    rows["e2e_limit"] = np.nan
    rows["output_tokens"] = 100
    rows["outcome"] = [SERVED, SERVED, SERVED, FAILED, NEVER_SENT]
    answers = Answers(SLO(ttft_seconds=2.0))
    for each in (rows[:3], rows[3:]):
        answers.add(each)
    found = part_of(answers, (), (), 5.0, 20.0)
    assert (found.requests, found.good) == (3, 1)
    assert found.ttft_p95_seconds == pytest.approx(1.0 + 0.95 * 4.0)


def test_seeds_are_added_up() -> None:
    found = Part.total([part(0.9, 10.0, requests=100), part(1.0, 30.0, requests=300)])
    assert (found.requests, found.attainment, found.usd) == (400, 0.975, 40.0)


@pytest.mark.parametrize("contender", [LEADTIME, WITH_HORIZON, *RIVALS, with_headroom(RIVALS[0])])
def test_every_policy_has_as_many_settings(contender: Contender) -> None:
    """The same windows for all, in the same order; the settings go from few replicas to many, and can be built."""
    settings = contender.settings(6, WORLD)
    knobs = [each.knob for each in settings]
    assert [each.window_seconds for each in settings] == [each.window_seconds for each in LEADTIME.settings(6, WORLD)]
    assert len(set(knobs)) == 6
    assert knobs == sorted(knobs, reverse=not contender.is_share)
    for each in settings:
        contender.policy(each)
        if contender.loop is not None:
            assert contender.loop(each).moves


WORLD = World(
    spec="poisson:rate=1",
    keep=1.0,
    judged_from=14_400.0,
    ends=21_600.0,
    peak_replicas=1.0,
    initial_replicas=1,
    batch=40.0,
)


def test_the_stockouts_are_in_the_middle_of_the_judged_part_and_as_long_before() -> None:
    """2 h are judged from 4 h on: half an hour each around 3 h, to choose by, and around 5 h."""
    assert [(each.start_seconds / 60.0, each.end_seconds / 60.0) for each in WORLD.stockouts] == [
        (165.0, 195.0),
        (285.0, 315.0),
    ]
    assert all(each.spot for each in WORLD.stockouts)


def test_a_demand_is_thinned_to_its_peak() -> None:
    """400 requests/s of 512 and 128 tokens take more replicas than the quota has."""
    world = world_of("poisson:rate=400,minutes=6", seed=1, hours=None, train_hours=None)
    assert world.keep < 1.0
    assert world.peak_replicas == pytest.approx(PEAK_REPLICAS)
    assert (world.judged_from, world.ends) == (240.0, 360.0)
    assert world.initial_replicas <= MOST_REPLICAS


def test_a_training_part_beyond_the_demand_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--train-hours: was 2, must be in \(0, 1\)"):
        world_of("poisson:rate=1,minutes=60", seed=1, hours=None, train_hours=2.0)
