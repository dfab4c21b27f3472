"""What holds for the HPA whatever the cluster shows it."""

import copy
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.hpa import (
    ControllerOptions,
    HPASpec,
    HPAState,
    MetricSpec,
    ScalingPolicy,
    decide,
    default_behavior,
    scale_down_rules,
    scale_up_rules,
    validate,
)
from policies.snapshot import (
    NS_PER_SECOND,
    Container,
    ExternalMetric,
    MetricError,
    ObjectMetric,
    Pod,
    PodMetrics,
    PodSample,
    Snapshot,
)

# A busy machine is not a failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
START_NS = 1_800_000_000 * NS_PER_SECOND
MILLI = st.integers(0, 10**9)
MILLI_TARGET = st.integers(1, 10**7)
CPU = MetricSpec(type="Resource", name="cpu", average_utilization=60)
CONTAINER_MEMORY = MetricSpec(type="ContainerResource", name="memory", container="main", average_value_milli=4 * 10**12)
WAITING = MetricSpec(type="Pods", name="vllm:num_requests_waiting", average_value_milli=10_000)
SERVICE = MetricSpec(type="Object", name="requests", object_name="Service/vllm", value_milli=50_000)
QUEUE = MetricSpec(type="External", name="queue_depth", average_value_milli=10_000)

policies = st.lists(
    st.builds(
        ScalingPolicy,
        type=st.sampled_from(["Pods", "Percent"]),
        value=st.integers(1, 300),
        period_seconds=st.integers(1, 1800),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
rules = {
    "stabilization_window_seconds": st.integers(0, 3600),
    "select_policy": st.sampled_from(["Max", "Min", "Disabled"]),
    "policies": policies,
}
behaviors = st.none() | st.builds(
    default_behavior,
    scale_up=st.builds(scale_up_rules, **rules),
    scale_down=st.builds(scale_down_rules, **rules),
)


@st.composite
def specs(draw):
    least = draw(st.integers(1, 50))
    spec = HPASpec(
        min_replicas=least,
        max_replicas=draw(st.integers(least, 100)),
        metrics=tuple(
            draw(st.lists(st.sampled_from([CPU, CONTAINER_MEMORY, WAITING, SERVICE, QUEUE]), min_size=1, unique=True))
        ),
        behavior=draw(behaviors),
        controller=ControllerOptions(
            tolerance=draw(st.floats(0, 1)), downscale_stabilization_seconds=draw(st.integers(0, 600))
        ),
    )
    validate(spec)
    return spec


@st.composite
def pods(draw, count):
    return tuple(
        Pod(
            name=f"p{index}",
            phase=draw(st.sampled_from(["Running", "Running", "Running", "Pending", "Failed", "Succeeded"])),
            ready=draw(st.sampled_from(["True", "True", "False", "Unknown", None])),
            start_ns=draw(st.none() | st.integers(START_NS - 600 * NS_PER_SECOND, START_NS)),
            ready_transition_ns=draw(st.none() | st.integers(START_NS - 600 * NS_PER_SECOND, START_NS)),
            deleting=draw(st.booleans()),
            containers=(Container(name="main", requests_milli={"cpu": 1000, "memory": 10**12}),),
        )
        for index in range(count)
    )


@st.composite
def observations(draw, spec, names):
    """An answer, an error or nothing for each metric; some pods without a sample, one that is gone."""
    sample = st.builds(PodSample, value_milli=MILLI, at_ns=st.integers(START_NS - 120 * NS_PER_SECOND, START_NS))
    answers = {
        "Object": st.builds(ObjectMetric, MILLI),
        "External": st.builds(ExternalMetric, st.lists(MILLI, max_size=3).map(tuple)),
    }
    per_pod = st.builds(PodMetrics, st.dictionaries(st.sampled_from([*names, "gone"]), sample))
    error = st.just(MetricError("timeout"))
    given_answers = {
        metric.query: draw(st.none() | error | answers.get(metric.type, per_pod)) for metric in spec.metrics
    }
    return {query: answer for query, answer in given_answers.items() if answer is not None}


@st.composite
def snapshots(draw, spec, replicas):
    listed = draw(pods(draw(st.integers(0, 6))))
    return Snapshot(
        replicas=replicas,
        status_replicas=draw(st.integers(0, 120)),
        pods=listed,
        observations=draw(observations(spec, [pod.name for pod in listed])),
    )


@st.composite
def runs(draw):
    """A spec and a few syncs: (snapshot, now); the scale is whatever somebody left it at."""
    spec = draw(specs())
    now_ns, syncs = START_NS, []
    for _ in range(draw(st.integers(1, 4))):
        now_ns += draw(st.integers(1, 900)) * NS_PER_SECOND
        syncs.append((draw(snapshots(spec, draw(st.integers(0, 120)))), now_ns))
    return spec, syncs


def replayed(spec, syncs):
    state, decisions = HPAState(), []
    for snapshot, now_ns in syncs:
        decision, state = decide(spec, state, snapshot, now_ns)
        decisions.append(decision)
    return decisions, state


@patient
@given(runs())
def test_bounds_always_hold(run):
    """Whatever the metrics and the history, the answer lies within the bounds; a zero stays zero."""
    spec, syncs = run
    decisions, _ = replayed(spec, syncs)
    for (snapshot, _), decision in zip(syncs, decisions, strict=True):
        if snapshot.replicas == 0:
            assert decision.desired_replicas == 0
        else:
            assert spec.min_replicas <= decision.desired_replicas <= spec.max_replicas


@patient
@given(runs())
def test_the_same_inputs_give_the_same_decisions(run):
    """A replay decides the same, ends in the same state and leaves its inputs as they were."""
    before = copy.deepcopy(run)
    assert replayed(*run) == replayed(*run)
    assert run == before


@patient
@given(runs(), st.randoms(use_true_random=False))
def test_the_order_of_pods_and_samples_does_not_matter(run, random):
    """The lister's order and the metrics API's are arbitrary."""
    spec, syncs = run
    shuffled = [(with_another_order(snapshot, random), now_ns) for snapshot, now_ns in syncs]
    decisions, state = replayed(spec, syncs)
    others, other_state = replayed(spec, shuffled)
    assert [each.desired_replicas for each in decisions] == [each.desired_replicas for each in others]
    assert (state.recommendations, state.scale_up_events) == (
        other_state.recommendations,
        other_state.scale_up_events,
    )


def with_another_order(snapshot, random):
    listed = list(snapshot.pods)
    random.shuffle(listed)
    answers = {}
    for query, answer in snapshot.observations.items():
        if isinstance(answer, PodMetrics):
            samples = list(answer.samples.items())
            random.shuffle(samples)
            answers[query] = PodMetrics(dict(samples))
        elif isinstance(answer, ExternalMetric):
            answers[query] = ExternalMetric(tuple(reversed(answer.values_milli)))
        else:
            answers[query] = answer
    return replace(snapshot, pods=tuple(listed), observations=answers)


@patient
@given(st.data(), specs(), st.integers(1, 20), MILLI, MILLI)
def test_more_load_never_gives_fewer_replicas(data, spec, replicas, one, other):
    """One metric, every pod running and measured: the answer rises with the load or stays."""
    metric = data.draw(st.sampled_from([WAITING, QUEUE]))
    replicas = min(max(replicas, spec.min_replicas), spec.max_replicas)
    spec = replace(spec, metrics=(metric,))
    _, state = decide(spec, HPAState(), loaded(metric, replicas, 10_000), START_NS)
    later_ns = START_NS + data.draw(st.integers(1, 4000)) * NS_PER_SECOND
    less, _ = decide(spec, state, loaded(metric, replicas, min(one, other)), later_ns)
    more, _ = decide(spec, state, loaded(metric, replicas, max(one, other)), later_ns)
    assert less.desired_replicas <= more.desired_replicas


def loaded(metric, replicas, per_pod_milli):
    listed = tuple(Pod(name=f"p{index}", phase="Running", ready="True") for index in range(replicas))
    samples = {pod.name: PodSample(value_milli=per_pod_milli, at_ns=START_NS) for pod in listed}
    answer = PodMetrics(samples) if metric is WAITING else ExternalMetric((per_pod_milli * replicas,))
    return Snapshot(replicas=replicas, pods=listed, observations={metric.query: answer})


@patient
@given(st.data(), runs())
def test_unknown_never_changes_the_scale(data, run):
    """With every metric unknown, a scale within its bounds stays, whatever happened before."""
    spec, syncs = run
    _, state = replayed(spec, syncs)
    replicas = data.draw(st.integers(spec.min_replicas, spec.max_replicas))
    unknown = {metric.query: MetricError("timeout") for metric in spec.metrics if data.draw(st.booleans())}
    snapshot = Snapshot(replicas=replicas, pods=data.draw(pods(3)), observations=unknown)
    decision, after = decide(spec, state, snapshot, syncs[-1][1] + 15 * NS_PER_SECOND)
    assert decision.desired_replicas == replicas
    assert decision.reason.startswith("FailedGet")
    assert after.recommendations == (state.recommendations or after.recommendations)
