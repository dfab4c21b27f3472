"""Demand from counters: arrivals are seen also where throughput hides them."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from policies.predictive.demand import Demand, DemandState, estimate
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, MetricError, Pod, PodMetrics, PodSample, Snapshot

Counters = tuple[float, float, float, float, float]  # running, waiting, succeeded, prompt, generation tokens


def snapshot(second: int, pods: dict[str, Counters | None]) -> Snapshot:
    """A scrape at `second`; None stands for a ready pod that gave no sample."""
    observations = {
        query: PodMetrics(
            {
                name: PodSample(value_milli=int(values[index] * 1000), at_ns=second * NS_PER_SECOND)
                for name, values in pods.items()
                if values is not None
            }
        )
        for index, query in enumerate(QUERIES)
    }
    return Snapshot(
        replicas=len(pods),
        pods=tuple(Pod(name=name, phase="Running", ready="True") for name in pods),
        observations=observations,
    )


def last_of(*snapshots: Snapshot) -> Demand | None:
    demand, state = None, DemandState()
    for each in snapshots:
        demand, state = estimate(state, each)
    return demand


def test_the_first_scrape_is_a_baseline_and_no_demand() -> None:
    assert last_of(snapshot(0, {"a": (5, 0, 100, 1e5, 1e4)})) is None


def test_arrivals_are_the_growth_of_answered_running_and_waiting() -> None:
    demand = last_of(
        snapshot(0, {"a": (5, 0, 100, 1e5, 1e4)}),
        snapshot(15, {"a": (7, 1, 127, 1.3e5, 1.6e4)}),
    )
    assert demand is not None
    assert demand.requests_per_second == pytest.approx((127 + 7 + 1 - 105) / 15)
    assert demand.backlog == 1


def test_saturation_does_not_hide_demand() -> None:
    """The server answers 30 in 15 s while 60 arrive: the queue's growth is counted."""
    demand = last_of(
        snapshot(0, {"a": (20, 0, 0, 0, 0)}),
        snapshot(15, {"a": (20, 30, 30, 3e4, 6e3)}),
    )
    assert demand is not None
    assert demand.requests_per_second == pytest.approx(60 / 15)


def test_the_mean_request_leaves_out_those_that_still_wait() -> None:
    demand = last_of(
        snapshot(0, {"a": (0, 0, 0, 0, 0)}),
        snapshot(15, {"a": (0, 90, 30, 30 * 1_000, 30 * 200)}),
    )
    assert demand is not None
    assert demand.prompt_tokens == pytest.approx(1_000)
    assert demand.output_tokens == pytest.approx(200)


def test_a_night_without_requests_does_not_make_their_size_unknown() -> None:
    """And the first ones of the morning outweigh those of the evening."""
    evening = snapshot(0, {"a": (0, 0, 0, 0, 0)}), snapshot(15, {"a": (0, 0, 30, 3e4, 6e3)})
    night = [snapshot(15 * (n + 2), {"a": (0, 0, 30, 3e4, 6e3)}) for n in range(4 * 60 * 8)]
    quiet = last_of(*evening, *night)
    assert quiet is not None
    assert quiet.requests_per_second == 0
    assert (quiet.prompt_tokens, quiet.output_tokens) == (pytest.approx(1_000), pytest.approx(200))
    morning = last_of(*evening, *night, snapshot(15 * (len(night) + 2), {"a": (0, 0, 68, 3e4 + 38 * 2_000, 6e3 + 38)}))
    assert morning is not None
    assert morning.prompt_tokens == pytest.approx((2 * 1_000 + 38 * 2_000) / 40)


def test_a_new_pod_counts_from_zero_and_a_gone_pod_leaves_no_hole() -> None:
    demand = last_of(
        snapshot(0, {"a": (5, 0, 100, 1e5, 1e4)}),
        snapshot(15, {"b": (3, 0, 12, 1.5e4, 2e3)}),
    )
    assert demand is not None
    assert demand.requests_per_second == pytest.approx(15 / 15)


def test_a_restarted_server_counts_from_zero() -> None:
    demand = last_of(
        snapshot(0, {"a": (5, 0, 1_000, 1e6, 1e5)}),
        snapshot(15, {"a": (2, 0, 4, 6e3, 500)}),
    )
    assert demand is not None
    assert demand.requests_per_second == pytest.approx(6 / 15)


def test_an_incomplete_scrape_is_skipped_and_the_next_covers_the_gap() -> None:
    first = snapshot(0, {"a": (0, 0, 0, 0, 0), "b": (0, 0, 0, 0, 0)})
    hole = snapshot(15, {"a": (0, 0, 30, 3e4, 6e3), "b": None})
    whole = snapshot(30, {"a": (0, 0, 60, 6e4, 1e4), "b": (0, 0, 60, 6e4, 1e4)})
    assert last_of(first, hole) is None
    demand = last_of(first, hole, whole)
    assert demand is not None
    assert demand.requests_per_second == pytest.approx(120 / 30)


def test_a_pod_that_became_ready_after_the_scrape_leaves_it_complete() -> None:
    """It is counted from zero at the next one."""
    first = snapshot(0, {"a": (0, 0, 0, 0, 0)})
    second = snapshot(15, {"a": (0, 0, 30, 3e4, 6e3)})
    late = Pod(name="b", phase="Running", ready="True", ready_transition_ns=16 * NS_PER_SECOND)
    third = snapshot(30, {"a": (0, 0, 60, 6e4, 1e4), "b": (0, 0, 15, 1e4, 2e3)})
    demand = last_of(first, replace(second, pods=(*second.pods, late)))
    assert demand is not None
    assert demand.requests_per_second == pytest.approx(30 / 15)
    demand = last_of(first, replace(second, pods=(*second.pods, late)), third)
    assert demand is not None
    assert demand.requests_per_second == pytest.approx(45 / 15)


def test_the_same_scrape_seen_twice_is_one_sample() -> None:
    first, second = snapshot(0, {"a": (0, 0, 0, 0, 0)}), snapshot(15, {"a": (0, 0, 9, 9, 9)})
    assert last_of(first, second, second) is None


def test_an_error_from_the_metrics_api_is_no_demand() -> None:
    broken = snapshot(15, {"a": (0, 0, 9, 9, 9)})
    observations = {**broken.observations, QUERIES[0]: MetricError("503")}
    assert (
        last_of(
            snapshot(0, {"a": (0, 0, 0, 0, 0)}),
            Snapshot(replicas=1, pods=broken.pods, observations=observations),
        )
        is None
    )


def page_series(
    rate: Callable[[int], float], *, until: int, since: int = 0, answer_seconds: int = 20
) -> list[Snapshot]:
    """Scrapes every 15 s of a server that counts a request, its 1,000 prompt and 200 generated tokens when the answer
    ends, `answer_seconds` after it came, as SGLang does. rate: requests/s in each second."""
    arrived = [0.0, *itertools.accumulate(rate(second) for second in range(until))]
    scrapes = []
    for second in range(since, until + 1, 15):
        answered = arrived[max(0, second - answer_seconds)]
        running = arrived[second] - answered
        scrapes.append(snapshot(second, {"a": (running, 0, answered, 1_000 * answered, 200 * answered)}))
    return scrapes


def ramp(second: int) -> float:
    """2 requests/s for half an hour, then in ten minutes to 10."""
    return min(max(2.0, 2.0 + 8.0 * (second - 1_800) / 600), 10.0)


@pytest.mark.parametrize(
    ("scrapes", "most"),
    [
        pytest.param(page_series(lambda _: 4.0, since=300, until=360), 0.001, id="found-serving"),
        pytest.param(page_series(lambda _: 4.0, until=360), 0.05, id="six-minutes-after-its-first-request"),
        pytest.param(page_series(ramp, until=2_175), 0.05, id="in-a-ramp-where-it-is-worst"),
        pytest.param(page_series(ramp, until=2_700), 0.02, id="five-minutes-after-it"),
    ],
)
def test_tokens_counted_at_the_end_of_an_answer_leave_sizes_nearly_right(scrapes: list[Snapshot], most: float) -> None:
    """Too low by what has started within ten minutes and not ended: answers take 20 s here."""
    demand = last_of(*scrapes)
    assert demand is not None
    assert demand.prompt_tokens is not None
    assert demand.output_tokens is not None
    assert 1_000 * (1 - most) <= demand.prompt_tokens <= 1_000.001
    assert 200 * (1 - most) <= demand.output_tokens <= 200.001


def test_tokens_counted_at_the_end_of_an_answer_leave_the_rate_right() -> None:
    rates = [last_of(*page_series(ramp, since=second - 15, until=second)) for second in range(1_800, 2_700, 150)]
    assert [demand.requests_per_second for demand in rates if demand is not None] == pytest.approx(
        [sum(ramp(each) for each in range(second - 15, second)) / 15 for second in range(1_800, 2_700, 150)], rel=0.001
    )
