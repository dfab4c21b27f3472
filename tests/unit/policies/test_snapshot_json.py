"""Snapshots as JSON: back exactly, and what does not fit is named with its place."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import BadInput
from policies.json_values import from_json, to_json
from policies.predictive.load_history import F4
from policies.serving_counters import WAITING
from policies.snapshot import (
    NS_PER_SECOND,
    Container,
    ExternalMetric,
    MetricError,
    MetricQuery,
    ObjectMetric,
    Pod,
    PodMetrics,
    PodSample,
    Snapshot,
)
from policies.snapshot_json import snapshot_from_json, snapshot_json

names = st.text(max_size=12)
instants = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
milli = st.integers(-(2**63), 2**63 - 1)
requests = st.dictionaries(names, milli, max_size=3)
containers = st.lists(
    st.builds(Container, name=names, requests_milli=requests, restart_policy_always=st.booleans()), max_size=2
).map(tuple)
pods = st.builds(
    Pod,
    name=names,
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    ready=st.sampled_from(["True", "False", "Unknown", None]),
    created_ns=instants,
    start_ns=instants,
    ready_transition_ns=instants,
    deleting=st.booleans(),
    containers=containers,
    init_containers=containers,
    pod_requests_milli=st.one_of(st.none(), requests),
)
queries = st.builds(
    MetricQuery,
    type=st.sampled_from(["Resource", "ContainerResource", "Pods", "Object", "External"]),
    name=names,
    container=names,
    object_name=names,
    selector=st.lists(st.tuples(names, names), max_size=2).map(tuple),
)
observations = st.one_of(
    st.builds(
        PodMetrics, st.dictionaries(names, st.builds(PodSample, value_milli=milli, at_ns=milli, window_ns=milli))
    ),
    st.builds(ObjectMetric, milli),
    st.builds(ExternalMetric, st.lists(milli, max_size=3).map(tuple)),
    st.builds(MetricError, names),
)
snapshots = st.builds(
    Snapshot,
    replicas=st.integers(0, 2**31),
    status_replicas=st.one_of(st.none(), st.integers(0, 2**31)),
    pods=st.lists(pods, max_size=3).map(tuple),
    observations=st.dictionaries(queries, observations, max_size=3),
    lead_time_seconds=st.one_of(st.none(), st.floats(allow_nan=False)),
)


@given(snapshots)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    text = json.dumps(snapshot_json(snapshot), allow_nan=False)
    back = snapshot_from_json(json.loads(text))
    assert back == snapshot
    assert json.dumps(snapshot_json(back), allow_nan=False) == text


def test_its_form_is_the_one_that_logs_hold() -> None:
    """Fields with their defaults are left out."""
    snapshot = Snapshot(
        replicas=2,
        pods=(Pod(name="a", phase="Running", ready=None),),
        observations={
            WAITING: PodMetrics({"a": PodSample(value_milli=3_000, at_ns=1_800_000_000 * NS_PER_SECOND)}),
            MetricQuery(type="External", name="queue", selector=(("le", "2"),)): MetricError("no answer"),
        },
    )
    assert snapshot_json(snapshot) == {
        "replicas": 2,
        "pods": [{"name": "a", "phase": "Running", "ready": None}],
        "observations": [
            [
                {"type": "Pods", "name": "vllm:num_requests_waiting"},
                {"kind": "PodMetrics", "samples": {"a": {"value_milli": 3_000, "at_ns": 1_800_000_000_000_000_000}}},
            ],
            [
                {"type": "External", "name": "queue", "selector": [["le", "2"]]},
                {"kind": "MetricError", "message": "no answer"},
            ],
        ],
    }


POD = {"name": "a", "phase": "Running", "ready": "True"}
QUERY = {"type": "Pods", "name": "x"}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "snapshot: was [], must be an object"),
        ({}, "snapshot.replicas: was missing"),
        ({"replicas": "2"}, "snapshot.replicas: was '2', must be of type int"),
        ({"replicas": True}, "snapshot.replicas: was True, must be of type int"),
        ({"replicas": 2.5}, "snapshot.replicas: was 2.5, must be of type int"),
        ({"replicas": 2, "pod": []}, "snapshot.pod: was not expected"),
        ({"replicas": 2, "pods": {}}, "snapshot.pods: was {}, must be a list"),
        (
            {"replicas": 2, "pods": [{**POD, "phase": "Running?"}]},
            "snapshot.pods[0].phase: was 'Running?', must be one",
        ),
        ({"replicas": 2, "pods": [{**POD, "phase": ["Running"]}]}, "snapshot.pods[0].phase: was ['Running']"),
        ({"replicas": 2, "observations": [[QUERY]]}, "snapshot.observations[0]: was a list of 1, must be one of 2"),
        ({"replicas": 2, "observations": [[QUERY, {}]]}, "snapshot.observations[0][1].kind: was None, must be one of"),
        (
            {"replicas": 2, "observations": [[QUERY, {"kind": "PodMetrics", "samples": {"a": {"value_milli": 1}}}]]},
            "snapshot.observations[0][1].samples.a.at_ns: was missing",
        ),
        ({"replicas": 2, "lead_time_seconds": "soon"}, "snapshot.lead_time_seconds: was 'soon', must be a number"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(data: Any, named: str) -> None:
    with pytest.raises(BadInput) as caught:
        snapshot_from_json(data)
    assert str(caught.value).startswith(named)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    values: F4
    parts: tuple[F4, ...] = ()
    share: float = math.nan
    by_name: dict[str, float] = field(default_factory=dict)


def test_arrays_and_what_is_no_number_come_back_bit_for_bit() -> None:
    values = np.array([[1.5, math.nan], [math.inf, -0.0]], np.float32)
    kept = Kept(values=values, parts=(values[0], np.empty(0, np.float32)), share=-math.inf, by_name={"a": math.nan})
    back = from_json(Kept, json.loads(json.dumps(to_json(kept), allow_nan=False)), "kept")
    assert (back.values.dtype, back.values.shape) == (np.dtype("float32"), (2, 2))
    assert back.values.tobytes() == values.tobytes()
    assert back.values.flags.writeable is values.flags.writeable
    assert [part.tobytes() for part in back.parts] == [part.tobytes() for part in kept.parts]
    assert back.share == -math.inf
    assert math.isnan(back.by_name["a"])


@pytest.mark.parametrize(
    "wrong", [{}, {"dtype": "float32", "shape": [3], "base64": "AAAA"}, {"dtype": "?!", "shape": [0], "base64": ""}]
)
def test_an_array_that_is_none_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"^kept.values: was .*, must be an array's dtype, shape and base64"):
        from_json(Kept, {"values": wrong}, "kept")
