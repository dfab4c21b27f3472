"""The CustomResourceDefinition in a real kube-apiserver: what it fills in, what it refuses and in which words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from control_plane import ControlPlane
from kube_api import Api, ApiError, Object
from kubectl import columns, kubectl, shown

from autoscaler.crd.custom_resource import API_VERSION, GROUP, KIND, PLURAL
from autoscaler.crd.parse import parse_spec
from autoscaler.crd.status import Condition, DemandStatus, ForecastStatus, NodePoolStatus, PredictiveAutoscalerStatus

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "tests" / "unit" / "autoscaler"
CRD = ROOT / "manifests" / "controller" / "base" / "crd.yaml"
NAMESPACE = "predictive"
OBJECTS = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
LEAST: Object = {
    "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
    "maxReplicas": 3,
    "profile": "llama-3.1-8b-l4",
    "slo": {"tpotSeconds": 0.075},
}
WHOLE: Object = yaml.safe_load((TABLES / "whole_predictive_autoscaler.yaml").read_text(encoding="utf-8"))
WRONG: list[Object] = yaml.safe_load((TABLES / "wrong_predictive_autoscalers.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """With the CRD established and a namespace of its own; both are gone afterwards."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    control_plane.api.apply([namespace, *yaml.safe_load_all(CRD.read_text(encoding="utf-8"))])
    control_plane.api.wait(definition(), lambda seen: condition(seen, "Established") == "True")
    control_plane.api.wait(OBJECTS, lambda seen: seen["kind"] == f"{KIND}List")
    yield control_plane
    control_plane.api.delete(definition())


@pytest.fixture
def api(plane: ControlPlane) -> Api:
    return plane.api


def definition() -> str:
    return f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}"


def condition(seen: Object, kind: str) -> str | None:
    found: Any = seen.get("status", {}).get("conditions") or ()
    return next((each["status"] for each in found if each["type"] == kind), None)


def predictive_autoscaler(name: str, spec: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def test_the_definition_is_accepted_without_a_complaint(api: Api) -> None:
    """NonStructuralSchema would be a condition, a rule that costs too much a refusal."""
    seen = api.get(definition())
    assert {each["type"]: each["status"] for each in seen["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


def test_the_api_server_fills_in_the_defaults_that_the_models_have(api: Api) -> None:
    stored = api.create(OBJECTS, predictive_autoscaler("least", LEAST))["spec"]
    ours = parse_spec(LEAST).model_dump(by_alias=True, mode="json", exclude_none=True)
    assert stored == {name: value for name, value in ours.items() if value not in ([], {})}
    assert parse_spec(stored) == parse_spec(LEAST)


def test_a_spec_that_says_everything_is_stored_as_it_is(api: Api) -> None:
    stored = api.create(OBJECTS, predictive_autoscaler("whole", WHOLE))["spec"]
    second_pool = stored["nodePools"].pop()
    assert stored == WHOLE | {"nodePools": WHOLE["nodePools"][:1]}
    assert (second_pool["gpusPerNode"], second_pool["placeholders"]["priorityClassName"]) == (1, "leadtime-placeholder")


@pytest.mark.parametrize("row", WRONG, ids=lambda row: row["id"])
def test_a_wrong_field_is_refused_in_words_that_help(api: Api, row: Object) -> None:
    with pytest.raises(ApiError) as refused:
        api.create(OBJECTS, predictive_autoscaler("wrong", LEAST | row["spec"]))
    assert refused.value.status in (400, 422)  # 400: an unknown field under strict validation
    assert row["field"] in refused.value.message
    missing = [text for text in row["says"] if text not in refused.value.message]
    assert missing == [], refused.value.message


def test_a_name_too_long_for_a_label_is_refused(api: Api) -> None:
    """An HPA selects the published need by it (mode Metric)."""
    api.create(OBJECTS, predictive_autoscaler("n" * 63, LEAST))
    with pytest.raises(ApiError, match=f"metadata.name: was {'n' * 64}, must have at most 63 characters; shorten it"):
        api.create(OBJECTS, predictive_autoscaler("n" * 64, LEAST))


def test_an_unknown_field_is_told_to_who_types_kubectl_apply(plane: ControlPlane) -> None:
    wrong = predictive_autoscaler("typed", LEAST | {"nodePool": []})
    done = kubectl("apply", "-f", "-", kubeconfig=plane.admin, given=wrong)
    assert done.returncode == 1
    assert 'unknown field "spec.nodePool"' in done.stderr


def test_kubectl_shows_what_is_scaled_to_what_and_why(plane: ControlPlane) -> None:
    plane.api.create(OBJECTS, predictive_autoscaler("shown", LEAST))
    status = PredictiveAutoscalerStatus(
        observed_generation=1,
        mode="Recommend",
        paused=False,
        conditions=(
            Condition(
                type="Ready",
                status="True",
                observed_generation=1,
                last_transition_time="2026-01-01T00:00:00Z",
                reason="Deciding",
                message="",
            ),
        ),
        current_replicas=2,
        ready_replicas=1,
        starting_replicas=1,
        pending_replicas=0,
        desired_replicas=3,
        reason="ReadyForNewScale",
        message="2 -> 3 replicas",
        last_decision_time="2026-01-01T00:00:00Z",
        demand=DemandStatus(requests_per_second=12.34, backlog_requests=0.0),
        forecast=ForecastStatus(lead_time_seconds=240.0, ahead_replicas=2.75),
        node_pools=(NodePoolStatus(name="l4", provider="Recommend", floor_nodes=1),),
        hourly_cost=1.5,
    )
    written = status.model_dump(by_alias=True, mode="json", exclude_none=True)
    path = f"{OBJECTS}/shown"
    assert plane.api.merge(f"{path}/status?fieldValidation=Strict", {"status": written})["status"] == written
    narrow = columns(shown(plane.admin, "get", "pa", "shown", "-n", NAMESPACE))[0]
    assert narrow.pop("AGE")
    assert narrow == {
        "NAME": "shown",
        "TARGET": "vllm",
        "MODE": "Recommend",
        "DESIRED": "3",
        "REPLICAS": "2",
        "READY": "1",
        "DEMAND": "12.34",
        "REASON": "ReadyForNewScale",
    }
    wide = shown(plane.admin, "get", "predictiveautoscalers", "shown", "-n", NAMESPACE, "-o", "wide")
    assert "2 -> 3 replicas" in wide
    assert "2.75" in wide


def test_status_and_spec_are_written_apart(api: Api) -> None:
    """Who may write the status cannot change the spec by it, and the other way round."""
    api.create(OBJECTS, predictive_autoscaler("apart", LEAST) | {"status": {"reason": "Smuggled"}})
    path = f"{OBJECTS}/apart"
    assert "status" not in api.get(path)
    api.merge(f"{path}/status", {"status": {"reason": "Deciding"}, "spec": {"maxReplicas": 9}})
    seen = api.get(path)
    assert (seen["status"]["reason"], seen["spec"]["maxReplicas"]) == ("Deciding", 3)
    assert seen["metadata"]["generation"] == 1


def test_a_condition_out_of_shape_is_refused(api: Api) -> None:
    api.create(OBJECTS, predictive_autoscaler("condition", LEAST))
    wrong = {"status": {"conditions": [{"type": "Ready", "status": "Yes"}]}}
    with pytest.raises(ApiError, match=r'conditions\[0\].status: Unsupported value: "Yes"'):
        api.merge(f"{OBJECTS}/condition/status", wrong)


def test_what_is_scaled_may_be_changed(api: Api) -> None:
    api.create(OBJECTS, predictive_autoscaler("moved", LEAST))
    seen = api.merge(f"{OBJECTS}/moved", {"spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "other"}}})
    assert seen["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other"}


def test_two_owners_merge_their_schedules_by_name(api: Api) -> None:
    """listType=map: a team's launch does not undo the platform's office hours."""
    office = {"name": "office", "start": "0 8 * * *", "end": "0 20 * * *", "minReplicas": 2}
    launch = {"name": "launch", "start": "0 8 24 12 *", "end": "0 8 25 12 *", "minReplicas": 3}
    for owner, spec in (("platform", LEAST | {"schedules": [office]}), ("team", {"schedules": [launch]})):
        applied = predictive_autoscaler("shared", spec)
        path = f"{OBJECTS}/shared?fieldManager={owner}"
        api.call("PATCH", path, applied, content_type="application/apply-patch+yaml")
    seen = api.get(f"{OBJECTS}/shared")["spec"]["schedules"]
    assert {each["name"] for each in seen} == {"office", "launch"}


def test_kubectl_explains_fields(plane: ControlPlane) -> None:
    told = shown(plane.admin, "explain", "pa.spec.slo.attainment")
    assert "Share of requests that must meet both" in " ".join(told.split())


def test_the_schema_is_published_with_what_clients_need(api: Api) -> None:
    """kubectl apply merges by it: a schema that the API server cannot publish is left out silently."""
    document = api.get(f"/openapi/v3/apis/{API_VERSION}")
    (schema,) = (each for name, each in document["components"]["schemas"].items() if name.endswith(f".{KIND}"))
    assert schema["properties"]["spec"]["properties"]["schedules"]["x-kubernetes-list-map-keys"] == ["name"]
    assert json.dumps(schema).count("description") > 100
