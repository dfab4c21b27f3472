"""Our HPA against recorded calls of the real one, v1.36.3. See README.md beside this file."""

import copy
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from policies.errors import BadInput
from policies.hpa.golden import replay
from policies.hpa.golden_answers import ANSWERS

SAMPLE = Path(__file__).parent / "hpa_sample.jsonl.gz"
WIDE = Path(__file__).parent / "hpa_wide.jsonl.gz"
CLUSTER = Path(__file__).parent / "hpa_cluster.jsonl.gz"
ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("LEADTIME_SHARED", ROOT.parent / "shared"))


def vectors(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def mismatches(path: Path) -> list[str]:
    return [f"{vector['id']} {vector['kind']}: {line}" for vector in vectors(path) for line in replay(vector)]


def _given(sequence: dict[str, Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = sequence["input"]["steps"]
    return steps


def _wanted(sequence: dict[str, Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = sequence["want"]["steps"]
    return steps


def test_every_vector_of_the_sample_matches():
    """The sample that ships covers every kind, and each answer is the recorded one."""
    kinds = Counter(vector["kind"] for vector in vectors(SAMPLE))
    assert set(kinds) == set(ANSWERS)
    assert kinds["sequence"] == 12
    assert mismatches(SAMPLE) == []


def test_every_vector_of_the_wide_sample_matches():
    """Values at the edges of int64, odd spellings, mismatched targets, every kind: as the real controller answers."""
    assert {vector["kind"] for vector in vectors(WIDE)} == set(ANSWERS)
    assert mismatches(WIDE) == []


def test_every_sync_of_a_real_cluster_matches():
    """What kube-controller-manager decided in the scenarios of tests/e2e, from what it saw there."""
    recorded = vectors(CLUSTER)
    steps = [(given, want) for each in recorded for given, want in zip(_given(each), _wanted(each), strict=True)]
    assert len(steps) == 210
    assert {metric["type"] for each in recorded for metric in each["input"]["hpa"]["metrics"]} == {
        *("External", "Object", "Pods", "Resource")
    }
    assert sum(want["rescaled"] for _, want in steps) == 40
    assert mismatches(CLUSTER) == []


def test_a_real_cluster_that_saw_something_else_does_not_match():
    """A replica more than there was at any one step is noticed, in all of them."""
    for vector in vectors(CLUSTER):
        for step in _given(vector):
            step["specReplicas"] += 1
        assert replay(vector), vector["id"]


@pytest.mark.shared
def test_every_recorded_vector_matches():
    """All 3,700 recorded answers are reproduced."""
    path = SHARED / "hpa" / "golden.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent; set LEADTIME_SHARED to the folder that holds hpa/golden.jsonl.gz")
    assert len(vectors(path)) == 3_700
    assert mismatches(path) == []


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_a_wrong_number_is_noticed(kind):
    """Replay compares: a recorded answer that is altered no longer matches."""
    altered = [copy.deepcopy(vector) for vector in vectors(SAMPLE) if vector["kind"] == kind]
    for vector in altered:
        want = vector["want"]
        if kind == "sequence":
            want["steps"][-1]["statusDesiredReplicas"] += 1
        elif kind == "defaultBehavior":
            want["behavior"]["scaleUp"]["stabilizationWindowSeconds"] += 1
        elif kind == "storeScaleEvent":
            want["scaleUpEvents"] = [*want["scaleUpEvents"], {"replicaChange": 0}]
        elif kind == "groupPods":
            want["readyPodCount"] += 1
        else:
            want["replicas"] += 1
    noticed = [vector for vector in altered if replay(vector)]
    means_something = [
        vector
        for vector in altered
        if (vector["want"].get("error") is None or kind == "computeReplicasForMetrics")
        and "replicas" not in vector["want"].get("platformDefined", ())
    ]
    assert noticed == means_something
    assert noticed


def test_a_difference_names_its_field_and_both_values():
    vector = next(vector for vector in vectors(SAMPLE) if vector["kind"] == "convertDesiredReplicasWithRules")
    got = vector["want"]["replicas"]
    vector["want"]["replicas"] = 999
    assert replay(vector) == [f"replicas: want 999, got {got}"]


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        pytest.param({"id": "x-1", "kind": "Guess"}, r"x-1: kind: was 'Guess', must be one of", id="unknown-kind"),
        pytest.param({"id": "x-1"}, "x-1: kind: was None", id="no-kind"),
        pytest.param({"id": "x-1", "kind": "groupPods"}, "x-1: groupPods: a field of this kind", id="no-input"),
        pytest.param(
            {"id": "x-1", "kind": "groupPods", "want": {}, "input": {"observation": 1}},
            "x-1: groupPods: a field of this kind",
            id="a-field-of-the-wrong-type",
        ),
    ],
)
def test_a_vector_that_cannot_be_replayed_is_bad_input(vector, says):
    with pytest.raises(BadInput, match=says):
        replay(vector)
