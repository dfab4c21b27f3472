"""What a policy sees through a pipeline with faults, beside what it would see through one without any."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, MetricQuery, PodMetrics, PodSample
from simulations.fleet import Fleet
from simulations.pipeline import MetricPipeline
from simulations.scenario import MetricFaults, Scenario

TOKENS = MetricQuery(type="Pods", name="vllm:generation_tokens_total")
EVERY = 15
"""Seconds from one scrape to the next."""

Seen = dict[int, dict[str, PodSample]]
"""Second of the look -> pod -> sample; no pods where the answer was an error."""


def fleet(faults: MetricFaults, *, replicas: int = 3, seed: int = 1, arrivals: Any = None) -> Fleet:
    """Servers that are busy all the time, so that every scrape finds another count of tokens."""
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.uniform(0, 3_000, 3_000)) if arrivals is None else arrivals
    return Fleet(
        Scenario(
            trace=trace_of(seconds, 200, 100),
            profile=PROFILES["llama-3.1-8b-fp8-l4"],
            initial_replicas=replicas,
            metrics=faults,
            seed=seed,
        )
    )


def watched(faults: MetricFaults, *, seconds: int = 1_500, look_after: int = 5, **options: Any) -> Seen:
    """A scrape every 15 s from 0 s on, and a look so many seconds after each."""
    each = fleet(faults, **options)
    pipeline = MetricPipeline(each, [TOKENS])
    seen: Seen = {}
    for second in range(0, seconds, EVERY):
        each.advance(second)
        pipeline.scrape()
        each.advance(second + look_after)
        answer = pipeline.snapshot([TOKENS]).observations[TOKENS]
        seen[second + look_after] = dict(answer.samples) if isinstance(answer, PodMetrics) else {}
    return seen


@pytest.fixture(scope="module")
def truth() -> Seen:
    return watched(MetricFaults())


def scrapes_ago(look: int, sample: PodSample) -> int:
    """How many scrapes before the last one a sample is from."""
    return (look - look % EVERY) // EVERY - sample.at_ns // NS_PER_SECOND // EVERY


def test_without_faults_a_look_sees_the_last_scrape_of_every_pod(truth: Seen) -> None:
    assert {scrapes_ago(look, sample) for look, pods in truth.items() for sample in pods.values()} == {0}
    assert {len(pods) for pods in truth.values()} == {3}
    values = [truth[look]["vllm-0000"].value_milli for look in sorted(truth)]
    assert sorted(set(values)) == values, "the count grows from scrape to scrape"


@pytest.mark.parametrize(("delay", "scrapes"), [(0.0, 0), (5.0, 0), (5.1, 1), (20.0, 1), (21.0, 2), (50.0, 3)])
def test_a_scrape_can_be_read_only_after_its_delay(truth: Seen, delay: float, scrapes: int) -> None:
    """A look 5 s after the last scrape; what it sees has the value and the time of its scrape."""
    seen = watched(MetricFaults(delay_seconds=delay), seconds=300)
    for look, pods in seen.items():
        made = look - scrapes * EVERY
        assert pods == (truth[made] if made > 0 else {}), f"at {look} s"


@pytest.mark.parametrize(
    ("max_age", "delay", "visible"),
    [(60.0, 50.0, True), (50.0, 50.0, True), (49.9, 50.0, False), (15.0, 0.0, True), (4.9, 0.0, False)],
)
def test_what_is_older_than_max_age_is_missing(max_age: float, delay: float, visible: bool) -> None:
    """With a delay of 50 s a look sees what is 50 s old; without one, what is 5 s old."""
    seen = watched(MetricFaults(delay_seconds=delay, max_age_seconds=max_age), seconds=300)
    assert bool(seen[200]) == visible


def test_missing_is_an_error_never_a_zero() -> None:
    each = fleet(MetricFaults(loss_probability=1.0))
    pipeline = MetricPipeline(each, [TOKENS])
    for second in (0, 15, 30):
        each.advance(second)
        pipeline.scrape()
    external = replace(TOKENS, type="External")
    answers = pipeline.snapshot([TOKENS, external]).observations
    assert isinstance(answers[TOKENS], MetricError)
    assert isinstance(answers[external], MetricError)


def test_a_lost_scrape_leaves_the_pods_last_value_and_its_time(truth: Seen) -> None:
    """Each pod's sample is the true one of some scrape, the latest that got through; 3 of 10 do not.

    300 independent losses have a standard deviation of 0.026; 4 of them on either side.
    """
    seen = watched(MetricFaults(loss_probability=0.3, max_age_seconds=1e6))
    lost = 0
    for look, pods in seen.items():
        for name, sample in pods.items():
            made = look - EVERY * scrapes_ago(look, sample)
            assert sample == truth[made][name], f"{name} at {look} s"
            lost += made != look
        lost += 3 - len(pods)
    assert lost / (3 * len(seen)) == pytest.approx(0.3, abs=0.106)
    together = {tuple(scrapes_ago(look, sample) for sample in pods.values()) for look, pods in seen.items()}
    assert any(len(set(ages)) > 1 for ages in together), "pods are lost one by one"


def test_a_pod_whose_scrapes_are_lost_is_missing_after_max_age_while_others_stay() -> None:
    """Half of the scrapes are lost and values live for 20 s: some looks see two pods, some one."""
    seen = watched(MetricFaults(loss_probability=0.5, max_age_seconds=20.0))
    assert {len(pods) for pods in seen.values()} == {0, 1, 2, 3}
    oldest = max(look - sample.at_ns / NS_PER_SECOND for look, pods in seen.items() for sample in pods.values())
    assert oldest == 20.0


def test_a_stale_exporter_answers_now_with_its_previous_values(truth: Seen) -> None:
    """The time is that of the scrape, the value of an earlier one: the one answered before. 0.3 +- 4 x 0.026."""
    seen = watched(MetricFaults(stale_probability=0.3))
    repeated = 0
    answered: dict[str, int] = {}
    for look in sorted(seen):
        assert seen[look].keys() == truth[look].keys()
        for name, sample in seen[look].items():
            assert scrapes_ago(look, sample) == 0
            fresh = truth[look][name].value_milli
            assert sample.value_milli in (fresh, answered.get(name, fresh)), f"{name} at {look} s"
            repeated += sample.value_milli != fresh
            answered[name] = sample.value_milli
    assert repeated / (3 * len(seen)) == pytest.approx(0.3, abs=0.106)


def test_a_pod_that_ended_is_not_seen_any_more() -> None:
    """Its page is gone, not lost: what it said last does not linger for max_age."""
    each = fleet(MetricFaults(), arrivals=[1.0, 2.0, 500.0])
    pipeline = MetricPipeline(each, [TOKENS])
    names = []
    for second in (60, 75, 90):
        each.advance(second)
        pipeline.scrape()
        answer = pipeline.snapshot([TOKENS]).observations[TOKENS]
        assert isinstance(answer, PodMetrics)
        names.append(sorted(answer.samples))
        each.scale(2)
    assert names == [["vllm-0000", "vllm-0001", "vllm-0002"], *[["vllm-0000", "vllm-0001"]] * 2]


def test_faults_are_equal_for_equal_seeds_and_others_for_another() -> None:
    faults = MetricFaults(loss_probability=0.2, stale_probability=0.2)
    first, again, other = (watched(faults, seconds=450, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_faults_leave_the_fleet_alone() -> None:
    """The draws are a stream of their own: the requests fare the same."""
    finishes = []
    for faults in (MetricFaults(), MetricFaults(loss_probability=0.5, stale_probability=0.5, delay_seconds=9.0)):
        each = fleet(faults)
        pipeline = MetricPipeline(each, [TOKENS])
        for second in range(0, 600, EVERY):
            each.advance(second)
            pipeline.scrape()
            pipeline.snapshot([TOKENS])
        finishes.append(each.engine.requests["finish"].copy())
    np.testing.assert_array_equal(*finishes)


def test_an_external_query_sees_one_value_a_pod() -> None:
    each = fleet(MetricFaults())
    external = replace(TOKENS, type="External")
    pipeline = MetricPipeline(each, [TOKENS, external])
    each.advance(60)
    pipeline.scrape()
    answers = pipeline.snapshot([TOKENS, external]).observations
    pods, values = answers[TOKENS], answers[external]
    assert isinstance(pods, PodMetrics)
    assert isinstance(values, ExternalMetric)
    assert sorted(values.values_milli) == sorted(sample.value_milli for sample in pods.samples.values())


@pytest.mark.parametrize("name", ["DCGM_FI_DEV_GPU_UTIL", "cpu"])
def test_the_exporters_of_gpus_have_the_same_faults(name: str) -> None:
    """A policy on GPU utilization is not spared what its rivals get."""
    query = MetricQuery(type="Resource" if name == "cpu" else "Pods", name=name)
    each = fleet(MetricFaults(loss_probability=1.0))
    pipeline = MetricPipeline(each, [query])
    each.advance(EVERY)
    pipeline.scrape()
    assert isinstance(pipeline.snapshot([query]).observations[query], MetricError)
