"""leadtime's rule: bounds, the unknown, the lead time, and words that match the numbers."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import PROFILES
from policies.decision import Decision
from policies.errors import BadInput
from policies.hpa import default_behavior, scale_down_rules
from policies.policy import Running
from policies.predictive.decide import predictive_policy
from policies.predictive.lead_time import LeadTimes, expected_seconds, learn
from policies.predictive.load_traits import TRAITS
from policies.predictive.margin import Margin
from policies.predictive.observed_load import ObservedLoad, observe
from policies.predictive.sizing import Sizing
from policies.predictive.spec import PredictiveSpec
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, MetricError, Pod, PodMetrics, PodSample, Snapshot

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
PROMPT, OUTPUT = 1_000, 200


def spec(**changes: Any) -> PredictiveSpec:
    return PredictiveSpec(**{"profile": PROFILE, "tpot_seconds": 0.075, "max_replicas": 30, **changes})


class World:
    """One steady pod set that answers everything that arrives; rates in requests per second."""

    def __init__(self, running: Running[Any, Any], replicas: int) -> None:
        self.running = running
        self.replicas = replicas
        self.second = 0
        self.served = 0.0

    def step(self, rate: float | None, waiting: float = 0.0) -> Decision:
        """15 s later, with demand at `rate`; None: the metrics API does not answer."""
        self.second += 15
        self.served += (rate or 0.0) * 15
        sample = {0: 0.0, 1: waiting, 2: self.served, 3: self.served * PROMPT, 4: self.served * OUTPUT}
        observations = {
            query: MetricError("unavailable")
            if rate is None
            else PodMetrics(
                {"a": PodSample(value_milli=round(sample[index] * 1000), at_ns=self.second * NS_PER_SECOND)}
            )
            for index, query in enumerate(QUERIES)
        }
        decision = self.running.step(
            Snapshot(
                replicas=self.replicas,
                pods=(Pod(name="a", phase="Running", ready="True"),),
                observations=observations,
            ),
            self.second * NS_PER_SECOND,
        )
        self.replicas = decision.desired_replicas
        return decision


def world(replicas: int = 1, **changes: Any) -> World:
    return World(Running.start(predictive_policy(spec(**changes))), replicas)


def test_steady_demand_settles_at_what_its_load_needs() -> None:
    """Nothing rises and nothing is uneasy: the peak of late is the level, and the prior asks for 0.95 times that."""
    each = world(replicas=5)
    decisions = [each.step(6.0) for _ in range(80)]
    numbers = decisions[-1].numbers
    assert numbers["level_requests_per_second"] == pytest.approx(6.0, rel=0.01)
    assert numbers["load_replicas"] == pytest.approx(6.0 / numbers["capacity_requests_per_second"], rel=0.01)
    assert numbers["ahead_replicas"] == pytest.approx(0.95 * numbers["margin"] * numbers["load_replicas"], rel=0.02)
    assert decisions[-1].desired_replicas == math.ceil(max(numbers["ahead_replicas"], numbers["load_replicas"]))


def test_the_margin_reaches_a_rule_that_has_learned_to_need_nothing_ahead() -> None:
    """Where the load of now was enough all week, weights are nothing, and only the floor can be raised."""
    each = world(replicas=5)
    for _ in range(40):
        each.step(6.0)
    nothing = Sizing(weights=np.full(len(TRAITS), 1e-6), floor_load=1.0, bins=5_000)
    each.running.state = replace(each.running.state, sizing=nothing, margin=Margin(log=0.5))
    decision = each.step(6.0)
    numbers = decision.numbers
    assert numbers["ahead_replicas"] < 0.1
    assert decision.desired_replicas == math.ceil(numbers["margin"] * numbers["load_replicas"])
    assert decision.desired_replicas > numbers["load_replicas"] + 1


def test_a_ramp_is_met_before_it_arrives() -> None:
    """On a steady climb the replicas asked for hold more than the demand of now needs."""
    each = world(replicas=4)
    for index in range(120):
        decision = each.step(4.0 + 0.05 * index)
    numbers = decision.numbers
    assert decision.desired_replicas * numbers["capacity_requests_per_second"] > 1.1 * (4.0 + 0.05 * 119)


def test_a_backlog_adds_capacity_to_drain_it() -> None:
    quiet, queued = world(replicas=5), world(replicas=5)
    for _ in range(40):
        calm = quiet.step(5.0)
        busy = queued.step(5.0, waiting=600.0)
    assert busy.desired_replicas > calm.desired_replicas


@given(st.lists(st.one_of(st.none(), st.floats(0, 500)), min_size=1, max_size=40), st.integers(1, 30))
def test_bounds_hold_and_the_unknown_never_scales_down(rates: list[float | None], replicas: int) -> None:
    each = world(replicas=replicas, min_replicas=2, max_replicas=12)
    for rate in rates:
        before = each.replicas
        decision = each.step(rate)
        assert 2 <= decision.desired_replicas <= 12
        if rate is None and before <= 12:
            assert decision.desired_replicas >= before


def test_the_order_of_pods_does_not_matter() -> None:
    """The same pods and samples in another order give the same decisions."""
    names = ("a", "b", "c", "d")

    def snapshot(second: int, order: tuple[str, ...]) -> Snapshot:
        samples = {
            name: PodSample(value_milli=(number + 1) * second * 700, at_ns=second * NS_PER_SECOND)
            for number, name in enumerate(names)
        }
        return Snapshot(
            replicas=4,
            pods=tuple(Pod(name=name, phase="Running", ready="True") for name in order),
            observations={query: PodMetrics({name: samples[name] for name in order}) for query in QUERIES},
        )

    forwards, backwards = (Running.start(predictive_policy(spec())) for _ in range(2))
    for second in range(15, 300, 15):
        assert forwards.step(snapshot(second, names), second * NS_PER_SECOND) == backwards.step(
            snapshot(second, names[::-1]), second * NS_PER_SECOND
        )


@given(low=st.floats(0.5, 20), factor=st.floats(1.0, 4.0))
def test_more_demand_never_gets_fewer_replicas(low: float, factor: float) -> None:
    """Two worlds with constant demand, one higher: after each step the higher one asks for at least as many."""
    less, more = world(replicas=4), world(replicas=4)
    for _ in range(30):
        assert less.step(low).desired_replicas <= more.step(low * factor).desired_replicas


def test_an_outage_holds_and_restarts_the_window() -> None:
    each = world(replicas=10)
    for _ in range(4):
        each.step(1.0)
    held = each.replicas
    for _ in range(40):
        assert each.step(None).desired_replicas == held
    assert each.step(1.0).desired_replicas == held


def test_after_a_peak_replicas_go_as_it_fades() -> None:
    """None in the first 5 min; after an hour, when the peak weighs a quarter, half of them; and none comes back."""
    each = world(replicas=1)
    for _ in range(60):
        each.step(12.0)
    high = each.replicas
    after = [each.step(2.0).desired_replicas for _ in range(240)]
    assert after[:19] == [high] * 19
    assert all(later <= earlier for earlier, later in pairwise(after))
    assert after[-1] <= high / 2


def test_replaying_the_same_inputs_gives_the_same_decisions() -> None:
    rates = [3.0, 8.0, None, 5.0, 0.0, 12.0] * 5
    first, second = world(), world()
    assert [first.step(rate) for rate in rates] == [second.step(rate) for rate in rates]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"min_replicas": 9, "max_replicas": 3}, "minReplicas: was 9"),
        ({"min_replicas": 0}, "minReplicas: was 0"),
        ({"attainment": 1.0}, "attainment: was 1.0"),
        ({"ttft_seconds": 0.0}, "ttftSeconds: was 0.0"),
        (
            {"behavior": default_behavior(scale_down=scale_down_rules(stabilization_window_seconds=-5))},
            "scaleDown.stabilizationWindowSeconds: was -5",
        ),
        ({"tpot_seconds": 0.01}, "tpotSeconds: was 0.01"),
    ],
)
def test_a_wrong_spec_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        predictive_policy(spec(**changes))


def test_lead_times_are_learned_from_pods_that_became_ready() -> None:
    pods = tuple(
        Pod(
            name=f"p{seconds}",
            phase="Running",
            ready="True",
            created_ns=0,
            ready_transition_ns=seconds * NS_PER_SECOND,
        )
        for seconds in (0, 300, 330)
    )
    seen = learn(LeadTimes(), Snapshot(replicas=3, pods=pods))
    assert dict(seen.seconds) == {"p300": 300.0, "p330": 330.0}, "a pod that was ready at once teaches nothing"
    assert expected_seconds(seen, prior_seconds=240.0) == pytest.approx((3 * 240 + 630) / 5)
    assert learn(seen, Snapshot(replicas=3, pods=pods)) == seen


def test_it_learns_from_its_own_load_and_says_so() -> None:
    """After seven hours the weights are its own: a load that never changes needs no capacity beyond it."""
    each = world(replicas=5)
    told = []
    for index in range(7 * 240 + 4):
        decision = each.step(6.0)
        told.append(decision.message)
        each.running.learn_if_due((index + 1) * 15 * NS_PER_SECOND)
    assert "(as other services' load teaches" in told[20 * 4]
    assert "(as 0.4 hours of its own load teaches" in told[30 * 4]
    assert each.running.state.sizing is not None
    assert "other services" not in decision.message
    decision = each.step(6.0)
    assert "0.3 days of its own load" in decision.message
    assert decision.desired_replicas == math.ceil(decision.numbers["load_replicas"])


@pytest.mark.parametrize("sample", [math.nan, math.inf, -1.0])
def test_a_load_that_is_none_changes_nothing(sample: float) -> None:
    seen = observe(observe(ObservedLoad(), 0, 2.0), 30 * NS_PER_SECOND, 2.0)
    assert observe(seen, 60 * NS_PER_SECOND, sample) is seen


def test_a_unit_slip_is_a_jump_that_is_served_and_forgotten() -> None:
    """Requests a minute taken for requests a second, for 10 min: no exception, bounds hold, and it goes down again."""
    each = world(replicas=3)
    for rate in [2.0] * 40 + [120.0] * 40:
        assert each.step(rate).desired_replicas <= 30
    for _ in range(2_000):
        last = each.step(2.0)
    assert last.desired_replicas <= 5


@pytest.mark.parametrize(("factor", "told"), [(60.0, "60 times"), (1 / 60, "1/"), (3.0, ""), (0.3, "")])
def test_a_unit_slip_is_said_and_followed_within_bounds(factor: float, told: str) -> None:
    each = world(replicas=8, max_replicas=30)
    for _ in range(80):
        each.step(6.0)
    first = each.step(6.0 * factor)
    assert ("demand jumped to " + told in first.message) is bool(told)
    assert ("jumped" in first.message) is bool(told)
    assert 1 <= first.desired_replicas <= 30
    for _ in range(90):
        last = each.step(6.0 * factor)
    assert "jumped" not in last.message, "it is news until a quarter of an hour after it"


wild = st.one_of(
    st.none(),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.integers(-(10**18), 10**18),
            st.integers(-1_000, 1_000).map(lambda second: (1_000 + second) * NS_PER_SECOND),
        ),
        max_size=3,
    ),
)


@given(scrapes=st.lists(st.tuples(st.integers(0, 3_000), st.lists(wild, min_size=5, max_size=5)), max_size=12))
def test_no_sample_makes_it_raise(scrapes: list[tuple[int, list[Any]]]) -> None:
    """Negative, reset, duplicated, unsorted, from the future, missing in part; and the clock goes back as well."""
    running = Running.start(predictive_policy(spec()))
    for second, answers in scrapes:
        observations = {
            query: MetricError("none")
            if answer is None
            else PodMetrics({pod: PodSample(value_milli=milli, at_ns=at_ns) for pod, milli, at_ns in answer})
            for query, answer in zip(QUERIES, answers, strict=True)
        }
        pods = (Pod(name="a", phase="Running", ready="True"),)
        decision = running.step(Snapshot(replicas=4, pods=pods, observations=observations), second * NS_PER_SECOND)
        assert 1 <= decision.desired_replicas <= 30
        assert all(math.isfinite(number) for number in decision.numbers.values())
