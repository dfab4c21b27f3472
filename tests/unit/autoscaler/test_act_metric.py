"""Mode Metric: what the published need becomes in a stock HPA, decided by policies.hpa itself."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_objects import KEY, at, autoscaler, decision, hpa, scale

from autoscaler.act import metric
from autoscaler.act.hpa_reading import dead_band, hpa_tolerances, replicas_by_hpa
from autoscaler.act.metric import need_to_publish
from autoscaler.act.published import METRIC_NAME, Published, PublishedNeeds
from autoscaler.act.result import ActResult
from autoscaler.cluster import Key
from autoscaler.crd.build import hpa_behavior
from autoscaler.observe.hpa_seen import HpaSeen
from policies.decision import Decision
from policies.hpa import HPASpec, HPAState, decide
from policies.hpa.tolerance import Tolerances
from policies.snapshot import ExternalMetric, MetricError, MetricQuery, Observation, Pod, Snapshot

EXACT = {"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0", "stabilizationWindowSeconds": 300}}
WINDOW = {"scaleDown": {"stabilizationWindowSeconds": 300}}


OWN_LABELS = {"namespace": "leadtime-system", "exported_namespace": "llm", "predictiveautoscaler": "vllm"}


def reading_hpa(
    behavior: dict[str, Any] | None = None,
    average: str = "1",
    maximum: int = 200,
    labels: Mapping[str, str] = OWN_LABELS,
) -> HpaSeen:
    """An HPA as docs/controller.md has it."""
    external = {
        "metric": {"name": METRIC_NAME, "selector": {"matchLabels": dict(labels)}},
        "target": {"type": "AverageValue", "averageValue": average},
    }
    spec: dict[str, Any] = {"metrics": [{"type": "External", "external": external}]}
    if behavior is not None:
        spec["behavior"] = behavior
    return hpa(minimum=1, maximum=maximum, spec=spec)


def by_the_hpa(reading: HpaSeen, replicas: int, published: Observation) -> tuple[Decision, HPAState]:
    """The real rule on what the metrics API answers, behavior and windows apart from the tolerance out of the way."""
    spec = HPASpec(max_replicas=reading.max_replicas, metrics=reading.metrics, behavior=reading.behavior)
    pods = tuple(
        Pod(name=f"vllm-{each}", phase="Running", ready="True", created_ns=0, start_ns=0, ready_transition_ns=0)
        for each in range(replicas)
    )
    query = MetricQuery(type="External", name=METRIC_NAME, selector=tuple(sorted(OWN_LABELS.items())))
    snapshot = Snapshot(replicas=replicas, pods=pods, observations={query: published})
    return decide(spec, HPAState(), snapshot, at(0))


def act(
    reading: tuple[HpaSeen, ...], replicas: int, made: Decision, published: PublishedNeeds, **spec: Any
) -> ActResult:
    wanted = autoscaler(mode="Metric", **spec).spec
    assert wanted is not None
    return metric.act(
        KEY,
        scale(replicas),
        reading,
        made,
        named=wanted.horizontal_pod_autoscaler,
        our_behavior=hpa_behavior(wanted.behavior),
        bounds=(wanted.min_replicas, wanted.max_replicas),
        hold_seconds=wanted.fallback.hold_seconds,
        published=published,
        now_ns=at(0),
    )


@pytest.mark.parametrize(
    ("replicas", "need", "by_default"),
    [
        (5, 6, 6),  # 1.2 is beyond 1.1
        (20, 21, 20),  # 1.05 is lost
        (20, 22, 20),  # 1.1 exactly is within, too
        (20, 23, 23),
        (100, 101, 100),
        (100, 110, 100),
        (100, 111, 111),
    ],
)
def test_a_need_above_the_present_meets_the_tolerance_once(replicas, need, by_default):
    answer = ExternalMetric((need * 1000,))
    with_default, exact = reading_hpa(WINDOW), reading_hpa(EXACT)
    assert by_the_hpa(with_default, replicas, answer)[0].desired_replicas == by_default
    assert by_the_hpa(exact, replicas, answer)[0].desired_replicas == need

    found = [
        each.reason for each in act((with_default,), replicas, decision(need), PublishedNeeds(lambda: True)).findings
    ]
    assert found == (["WithinHPATolerance"] if by_default != need else [])
    assert act((exact,), replicas, decision(need), PublishedNeeds(lambda: True)).findings == ()


@pytest.mark.parametrize(
    ("replicas", "need", "by_default"),
    [(5, 4, 4), (20, 19, 20), (20, 18, 20), (20, 17, 17), (100, 90, 100), (100, 89, 89)],
)
def test_a_need_below_the_present_meets_the_tolerance_once(replicas, need, by_default):
    """Before the HPA's window, which the first sync of a policies.hpa would count as holding."""
    for reading, want in ((reading_hpa(WINDOW), by_default), (reading_hpa(EXACT), need)):
        proposed, _ = by_the_hpa(reading, replicas, ExternalMetric((need * 1000,)))
        assert proposed.numbers["unstabilized_replicas"] == want
        assert replicas_by_hpa(need, replicas, hpa_tolerances(reading)) == want


@pytest.mark.parametrize(("replicas", "band"), [(5, (5, 5)), (20, (18, 22)), (100, (90, 110)), (0, (0, 0))])
def test_the_stated_dead_band_is_the_hpas(replicas, band):
    assert dead_band(replicas, Tolerances(scale_up=0.1, scale_down=0.1)) == band


@given(replicas=st.integers(1, 300), need=st.integers(1, 600))
def test_without_a_tolerance_every_need_is_met_exactly(replicas, need):
    assert replicas_by_hpa(need, replicas, Tolerances(scale_up=0.0, scale_down=0.0)) == need


@given(replicas=st.integers(1, 300), need=st.integers(1, 600), tolerance=st.sampled_from([0.05, 0.1, 0.25]))
def test_a_need_outside_the_stated_band_is_met_exactly(replicas, need, tolerance):
    tolerances = Tolerances(scale_up=tolerance, scale_down=tolerance)
    low, high = dead_band(replicas, tolerances)
    assert replicas_by_hpa(need, replicas, tolerances) == (replicas if low <= need <= high else need)


def test_a_withheld_value_makes_the_hpa_hold_and_say_so():
    held, state = by_the_hpa(reading_hpa(EXACT), 20, MetricError("no metrics returned from external metrics API"))
    assert (held.desired_replicas, held.reason) == (20, "FailedGetExternalMetric")
    assert state.conditions.scaling_active is not None
    assert state.conditions.scaling_active.status == "False"


@pytest.mark.parametrize(
    ("numbers", "replicas", "published"),
    [
        pytest.param({}, 20, 12, id="known"),
        pytest.param({"known": 0.0, "unknown_seconds": 100.0}, 20, 12, id="held-by-the-fallback"),
        pytest.param({"known": 0.0, "unknown_seconds": 300.0}, 20, None, id="beyond-it-nothing"),
        pytest.param({"known": 0.0, "unknown_seconds": 300.0}, 10, 12, id="but-a-floor-above-the-present"),
        pytest.param({"wanted_replicas": math.nan}, 20, None, id="not-a-number"),
    ],
)
def test_what_is_published(numbers, replicas, published):
    made = decision(12, **numbers)
    if math.isnan(made.numbers["wanted_replicas"]):
        made = Decision(desired_replicas=12, reason="FailedGetPodsMetric", message="no")
    assert need_to_publish(made, replicas, 300.0)[0] == published


def test_it_is_the_need_before_our_behavior_within_our_bounds():
    published = PublishedNeeds(lambda: True)
    act((reading_hpa(EXACT),), 20, decision(20, wanted_replicas=26.0), published)
    assert dict(published.shown(at(0))) == {KEY: Published(replicas=26, at_ns=at(0))}
    act((reading_hpa(EXACT),), 20, decision(20, wanted_replicas=26.0), published, maxReplicas=24)
    assert dict(published.shown(at(0)))[KEY].replicas == 24


def test_a_value_is_shown_up_to_its_age_and_by_the_leader_alone():
    is_leader = True
    published = PublishedNeeds(lambda: is_leader, max_age_seconds=60)
    published.publish(KEY, 12, at(0))
    published.publish(Key("llm", "other"), 3, at(30))
    assert [key for key, _ in published.shown(at(60))] == [KEY, Key("llm", "other")]
    assert [key for key, _ in published.shown(at(61))] == [Key("llm", "other")]
    is_leader = False
    assert list(published.shown(at(60))) == []


def test_a_successor_is_silent_while_its_predecessors_last_word_may_count() -> None:
    """An HPA adds both up. From the moment at which it leads; a leader without a predecessor speaks at once."""
    leads = False
    published = PublishedNeeds(lambda: leads, max_age_seconds=600, is_successor=lambda: True)
    published.publish(KEY, 12, at(0))
    leads = True
    shown = {second: [key for key, _ in published.shown(at(second))] for second in (100, 144, 145)}
    assert shown == {100: [], 144: [], 145: [KEY]}
    leads = False
    assert list(published.shown(at(146))) == []
    leads = True
    assert list(published.shown(at(160))) == []


@pytest.mark.parametrize(
    ("reading", "replicas", "need", "spec", "reason", "says"),
    [
        pytest.param((), 20, 25, {}, "NoHPA", "create one", id="no-hpa"),
        pytest.param((hpa(),), 20, 25, {}, "NeedNotRead", "averageValue 1", id="another-metric"),
        pytest.param((reading_hpa(EXACT, "2"),), 20, 25, {}, "WrongTarget", "was averageValue 2", id="wrong-target"),
        pytest.param((reading_hpa(EXACT, maximum=22),), 20, 25, {}, "NeedAboveHPAMax", "raise it", id="hpas-max"),
        pytest.param(
            (reading_hpa(EXACT, labels={**OWN_LABELS, "exported_namespace": "chat"}),),
            20,
            25,
            {},
            "NeedNotRead",
            "exported_namespace: llm, predictiveautoscaler: vllm",
            id="that-of-a-namesake-elsewhere",
        ),
        pytest.param(
            (reading_hpa(EXACT, labels={"predictiveautoscaler": "vllm"}),),
            20,
            25,
            {},
            "NeedOfSeveralRead",
            "need of the PredictiveAutoscalers vllm of all namespaces, and an HPA adds up what it reads; add to the "
            "metric.selector.matchLabels of its metric leadtime_needed_replicas: exported_namespace: llm",
            id="that-of-namesakes-too",
        ),
        pytest.param(
            (reading_hpa(EXACT, labels={}),),
            20,
            25,
            {},
            "NeedOfSeveralRead",
            "reads every PredictiveAutoscaler's need",
            id="everybodys",
        ),
        pytest.param(
            (reading_hpa(WINDOW),),
            20,
            21,
            {},
            "WithinHPATolerance",
            "takes 18 to 22 for 20 (tolerance 0.1): 1 too few; set its behavior.scaleUp.tolerance to 0",
            id="tolerance",
        ),
        pytest.param(
            (reading_hpa(EXACT),),
            20,
            25,
            {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
            "BehaviorOfHPA",
            "stabilizationWindowSeconds is 300, that of this object, 60, has no effect",
            id="two-windows",
        ),
    ],
)
def test_what_keeps_the_hpa_from_following_is_said(reading, replicas, need, spec, reason, says):
    result = act(reading, replicas, decision(need), PublishedNeeds(lambda: True), **spec)
    assert [each.reason for each in result.findings] == [reason]
    assert says in result.findings[0].message
