"""Timelines: no two bars of a row overlap, rows are used again, and what is left out is said."""

import html
import math
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import figures, lines, nodes, numbers, run

from simulations.report import comparison_html, report_html
from simulations.report.lanes import MOST_BARS, MOST_ROWS, lanes_of, packed
from simulations.report.stage_counts import pods_by_stage
from simulations.report.timelines import MOST_TIMELINES, timelines
from simulations.results import Result
from simulations.results.lifelines import Lifelines, PodLine, PodStage, Span

MOST_PAGE_BYTES = 5_000_000


@pytest.fixture(scope="module")
def result() -> Result:
    return run(nodes=nodes())


def many(pods: int, seconds: float = 3_600.0, at_once: bool = True) -> Lifelines:
    """Pods that load for a minute and serve for ten, over the run or all at once."""
    begins = np.zeros(pods) if at_once else np.linspace(0.0, seconds - 700.0, pods)
    return Lifelines(
        pods=tuple(
            PodLine(
                workload="vllm",
                name=f"vllm-{number:04d}",
                pool="elastic",
                gpus=1,
                node_share=1.0,
                node=f"elastic-{number:04d}",
                path="new node",
                asked_at=begin,
                deleted_at=begin + 660.0,
                ended_at=begin + 660.0,
                spans=(
                    Span(stage=PodStage.LOADING, begin_seconds=begin, end_seconds=begin + 60.0),
                    Span(stage=PodStage.READY, begin_seconds=begin + 60.0, end_seconds=begin + 660.0),
                ),
            )
            for number, begin in enumerate(begins.tolist())
        )
    )


@given(spans=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=40))
def test_rows_never_overlap_and_are_as_many_as_spans_at_a_time(spans: list[tuple[int, int]]) -> None:
    given_spans = sorted((float(begin), float(begin + length)) for begin, length in spans)
    rows, count = packed(given_spans)
    by_row = defaultdict(list)
    for (begin, end), row in zip(given_spans, rows, strict=True):
        assert all(begin >= before for before in by_row[row]), "the row was free"
        by_row[row].append(end)
    deepest = max((sum(begin <= at < end for begin, end in given_spans) for at, _ in given_spans), default=0)
    assert count == deepest == len(by_row)


def test_every_stage_of_every_pod_is_one_bar(result: Result) -> None:
    horizon = result.scenario.trace.duration_seconds
    lanes = lanes_of(result.lifelines, horizon, result.intervals)
    assert lanes.rows == lanes.all_rows
    assert (lanes.begin_seconds, lanes.end_seconds) == (0.0, horizon)
    drawn = [(bar.pod.name, bar.span) for bar in lanes.pods]
    expected = [(pod.name, span) for pod in result.lifelines.pods for span in pod.spans if span.begin_seconds < horizon]
    assert sorted(drawn, key=str) == sorted(expected, key=str)
    assert math.fsum(bar.span.within(horizon) for bar in lanes.pods) == pytest.approx(result.summary.gpu_hours * 3_600)


def test_pods_lie_under_their_nodes_and_pending_ones_above(result: Result) -> None:
    lanes = lanes_of(result.lifelines, result.scenario.trace.duration_seconds, result.intervals)
    behind = {bar.node.name: bar for bar in lanes.nodes}
    assert behind.keys() == {node.name for node in result.lifelines.nodes}
    by_row = defaultdict(list)
    for bar in lanes.pods:
        if bar.span.stage == PodStage.PENDING:
            assert bar.row < lanes.pending_rows
        else:
            node = behind[bar.pod.node]
            assert lanes.pending_rows <= node.row <= bar.row < node.row + node.rows
            assert node.node.ready_at <= bar.span.begin_seconds
        by_row[bar.row].append((bar.span.begin_seconds, bar.span.end_seconds))
    for spans in by_row.values():
        spans.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_pods_one_after_the_other_share_a_row(result: Result) -> None:
    """1,000 pods of 11 minutes over an hour: 228 are there at a time, and only so many rows are needed."""
    lanes = lanes_of(many(1_000, at_once=False), 3_600.0, result.intervals)
    assert lanes.all_rows == math.ceil(660 / (2_900 / 999))
    assert lanes.rows == MOST_ROWS


def test_a_window_is_where_most_requests_missed(result: Result) -> None:
    """10,000 pods of one after the other in a few rows are too many bars for one picture."""
    seconds = 4 * 3_600.0
    short = Lifelines(
        pods=tuple(
            replace(
                pod,
                ended_at=pod.asked_at + 5,
                spans=(Span(stage=PodStage.READY, begin_seconds=pod.asked_at, end_seconds=pod.asked_at + 5),),
            )
            for pod in many(10_000, seconds, at_once=False).pods
        )
    )
    arrivals = np.full(240, 10)
    good = np.where(np.arange(240) == 200, 0, 10)
    intervals = replace(result.intervals, arrivals=arrivals, good=good)
    lanes = lanes_of(short, seconds, intervals)
    assert 0 < len(lanes.pods) <= MOST_BARS
    assert lanes.begin_seconds <= 200 * 60 <= lanes.end_seconds
    assert lanes.end_seconds - lanes.begin_seconds < seconds


def test_pods_by_stage_hold_all_the_time_of_all_pods(result: Result) -> None:
    horizon = result.scenario.trace.duration_seconds
    edges, counts = pods_by_stage(result.lifelines.pods, horizon)
    assert edges[-1] == horizon
    for stage in PodStage:
        seconds = math.fsum(pod.seconds(stage, horizon) for pod in result.lifelines.pods)
        assert counts[stage].sum() * (edges[1] - edges[0]) == pytest.approx(seconds, abs=1e-6)
        assert counts[stage].min() > -1e-9


def test_the_page_draws_bars_as_long_as_the_stages(result: Result) -> None:
    page = report_html([result])
    drawn = lines(figures(page)["timeline-0"])
    horizon = result.scenario.trace.duration_seconds
    for stage in PodStage:
        seconds = math.fsum(pod.seconds(stage, horizon) for pod in result.lifelines.pods)
        assert (str(stage) in drawn) == (seconds > 0)
        if seconds:
            assert 60 * math.fsum(numbers(drawn[stage]["x"])) == pytest.approx(seconds, rel=1e-5)
    seconds = math.fsum(node.provisioning_within(horizon) for node in result.lifelines.nodes)
    assert 60 * math.fsum(numbers(drawn["node: provisioning"]["x"])) == pytest.approx(seconds, rel=1e-5)
    crashes = sum(len(pod.ended_containers_at) for pod in result.lifelines.pods)
    assert len(numbers(drawn["crash or kill"]["x"])) == crashes > 0
    assert "Shown are" not in page.split("<script>", 1)[0], "nothing is left out"
    assert "stages-0" not in figures(page)


def test_a_thousand_pods_stay_a_small_page_that_says_what_it_shows(result: Result) -> None:
    without_nodes = replace(result.scenario, nodes=None)
    page = report_html([replace(result, scenario=without_nodes, lifelines=many(1_000))])
    assert len(page.encode()) < MOST_PAGE_BYTES
    assert f"Shown are {MOST_ROWS} of 1,000 rows" in page
    stages = lines(figures(page)["stages-0"])
    assert max(numbers(stages["ready"]["y"])) == pytest.approx(1_000)


def test_spot_nodes_and_those_taken_back_are_told_apart(result: Result) -> None:
    first, *others = result.lifelines.nodes
    first = replace(first, spot=True, removed_at=1_500.0, removed_reason="spot preempted", zone="<b>")
    page = report_html([replace(result, lifelines=replace(result.lifelines, nodes=(first, *others)))])
    drawn = lines(figures(page)["timeline-0"])
    assert numbers(drawn["node taken back"]["x"]) == [25.0]
    assert {"node", "spot node"} <= drawn.keys()
    assert html.escape("<b>") in drawn["spot node"]["text"][0]


def test_further_runs_than_people_look_at_have_no_timeline(result: Result) -> None:
    plots = timelines([result] * (MOST_TIMELINES + 2), [f"p{number}" for number in range(MOST_TIMELINES + 2)])
    assert [plot.name for plot in plots] == [f"timeline-{number}" for number in range(MOST_TIMELINES)]
    assert plots[-1].note == f"The first {MOST_TIMELINES} of {MOST_TIMELINES + 2} runs have a timeline."


def test_scenarios_are_rows_on_the_same_axes(result: Result) -> None:
    other = run(2_400.0, policy="other")
    plots = figures(comparison_html([result, other]))
    rows = plots["rows"]
    assert {trace["yaxis"] for trace in rows["data"]} == {"y", "y2"}
    assert rows["layout"]["yaxis"]["range"] == rows["layout"]["yaxis2"]["range"]
    assert rows["layout"]["xaxis"]["range"] == [0.0, 60.0], "minutes of the longer"
    assert rows["layout"]["yaxis"]["domain"][0] > rows["layout"]["yaxis2"]["domain"][1], "the first is above"
    ready = [max(numbers(trace["y"])) for trace in rows["data"] if trace["name"] == "ready"]
    assert ready == [max(moment.ready_replicas for moment in each.moments) for each in (result, other)]


def test_the_difference_to_the_first_is_by_the_hour(result: Result) -> None:
    perfect = replace(result, policy="perfect", intervals=replace(result.intervals, good=result.intervals.arrivals))
    (line,) = figures(comparison_html([result, perfect]))["difference"]["data"]
    first = [
        100
        * (1 - result.intervals.good[start : start + 10].sum() / result.intervals.arrivals[start : start + 10].sum())
        for start in range(0, 60, 10)
    ]
    assert numbers(line["y"])[:6] == pytest.approx(first)
    assert max(first) > 0


def test_what_the_demand_needs_is_beside_what_was_asked_for(result: Result) -> None:
    drawn = lines(figures(report_html([result]))["replicas-0"])
    assert numbers(drawn["asked for"]["y"]) == [moment.replicas for moment in result.moments]
    needed = numbers(drawn["needed"]["y"])
    assert len(needed) == 60, "a minute each"
    assert np.nanmean(needed[20:40]) == pytest.approx(3 * np.nanmean(needed[:20]), rel=0.2), "three times the demand"
