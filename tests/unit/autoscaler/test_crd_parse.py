"""A spec as it is typed becomes a PredictiveAutoscalerSpec, or a message that helps."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.crd.parse import parse_spec
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from policies.errors import BadInput

FOLDER = Path(__file__).parent
LEAST: dict[str, Any] = {
    "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
    "maxReplicas": 3,
    "profile": "llama-3.1-8b-l4",
    "slo": {"tpotSeconds": 0.075},
}
WHOLE = yaml.safe_load((FOLDER / "whole_predictive_autoscaler.yaml").read_text(encoding="utf-8"))
WRONG = yaml.safe_load((FOLDER / "wrong_predictive_autoscalers.yaml").read_text(encoding="utf-8"))


def refusal(**changes: Any) -> str:
    with pytest.raises(BadInput) as refused:
        parse_spec(LEAST | changes)
    return str(refused.value)


def test_what_is_left_out_has_its_default() -> None:
    spec = parse_spec(LEAST)
    assert (spec.mode, spec.paused, spec.min_replicas, spec.scale_target_ref.api_version) == (
        "Recommend",
        False,
        1,
        "apps/v1",
    )
    assert spec.behavior.scale_down.stabilization_window_seconds == 300
    assert [policy.value for policy in spec.behavior.scale_up.policies] == [4, 100]
    assert (spec.metrics, spec.schedules, spec.node_pools) == ((), (), ())


def test_a_spec_that_says_everything_is_read_and_written_back_the_same() -> None:
    dumped = parse_spec(WHOLE).model_dump(by_alias=True, mode="json", exclude_unset=True)
    assert dumped == WHOLE


def test_a_whole_number_is_a_quantity() -> None:
    target = {"type": "AverageValue", "averageValue": 3}
    spec = parse_spec(
        LEAST | {"metrics": [{"type": "Pods", "pods": {"metric": {"name": "waiting"}, "target": target}}]}
    )
    assert spec.metrics[0].pods is not None
    assert spec.metrics[0].pods.target.average_value == "3"


def test_null_is_not_given() -> None:
    """As the API server has it: it drops the field and then fills in its default."""
    assert parse_spec(LEAST | {"minReplicas": None, "cost": {"pricePerGpuHour": None}}) == parse_spec(LEAST)


@pytest.mark.parametrize("row", WRONG, ids=lambda row: row["id"])
def test_what_the_api_server_refuses_is_refused_here_too(row: dict[str, Any]) -> None:
    """tests/e2e/test_predictive_autoscaler_crd.py runs the same table through a kube-apiserver."""
    blamed = [line for line in refusal(**row["spec"]).splitlines() if line.startswith(row["field"])]
    assert blamed, "no line blames the field"
    assert all(text in blamed[0] for text in row["says"]), blamed[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"minReplicas": "2"},
            'spec.minReplicas: was "2", must be a whole number in [1, 100000]; correct it, or leave it out for 1',
            id="a value of another kind",
        ),
        pytest.param(
            {"mode": "direct"},
            'spec.mode: was "direct", must be Recommend, Metric, Floor or Direct; correct it, or leave it out for '
            '"Recommend"',
            id="a choice",
        ),
        pytest.param(
            {"slo": {}},
            "spec.slo.tpotSeconds: was not given, must be a number in [0.001, 60]; add it",
            id="a missing field",
        ),
        pytest.param(
            {"scheduels": []},
            "spec.scheduels: is no field; did you mean schedules?",
            id="a typo",
        ),
        pytest.param(
            {"slo": {"tpotSeconds": 0.1, "p99": 1}},
            "spec.slo.p99: is no field; remove it, or use one of ttftSeconds, tpotSeconds, attainment",
            id="a field that is like none",
        ),
        pytest.param(
            {"min_replicas": 2},
            "spec.min_replicas: is no field; did you mean minReplicas?",
            id="a field in Python's spelling",
        ),
        pytest.param(
            {"schedules": [{"name": "day", "start": "0 8 * *", "end": "0 20 * * *", "minReplicas": 2}]},
            "spec.schedules[0].start: cron: was '0 8 * *', must have 5 fields (minute hour day-of-month month "
            "day-of-week), not 4",
            id="a cron expression that is too short",
        ),
        pytest.param(
            {"schedules": [{"name": "day", "start": "0 25 * * *", "end": "0 20 * * *", "minReplicas": 2}]},
            "spec.schedules[0].start: cron hour: was '25', must be a number in [0, 23]",
            id="a cron expression that never comes",
        ),
        pytest.param(
            {"drainSeconds": math.nan},
            "spec.drainSeconds: was NaN, must be a number in [1, 3600]; correct it, or leave it out for 60.0",
            id="not a number",
        ),
        pytest.param(
            {"profile": "x" * 300},
            'spec.profile: was "' + "x" * 76 + "..., must be a text of 1 to 200 characters; correct it",
            id="a long value is cut",
        ),
        pytest.param(
            {"slo": {"tpotSeconds": 0.1, "a\nb": 1}},
            'spec.slo["a\\nb"]: is no field; remove it, or use one of ttftSeconds, tpotSeconds, attainment',
            id="a name that would break the line",
        ),
    ],
)
def test_a_message_names_field_value_range_and_remedy(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


def test_an_unknown_time_zone_is_refused() -> None:
    schedule = {"name": "day", "start": "0 8 * * *", "end": "0 9 * * *", "timeZone": "Mars/Olympus", "minReplicas": 1}
    assert refusal(schedules=[schedule]).startswith("spec.schedules[0].timeZone: was 'Mars/Olympus', must be a name of")


def test_every_fault_is_told_one_a_line() -> None:
    lines = refusal(mode="Auto", maxReplicas=0, slo={"tpotSeconds": 0.1, "attainment": 2}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["spec.mode", "spec.maxReplicas", "spec.slo.attainment"]


@pytest.mark.parametrize("given", [None, [], "spec"])
def test_a_spec_that_is_no_mapping_is_refused(given: Any) -> None:
    with pytest.raises(BadInput, match=r"^spec: was .*, must be a mapping; correct it$"):
        parse_spec(given)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([info.alias or name for name, info in PredictiveAutoscalerSpec.model_fields.items()])


@given(st.dictionaries(FIELDS, JSON, min_size=1, max_size=4))
def test_whatever_is_typed_there_is_a_spec_or_a_message_that_blames_fields_of_it(changes: dict[str, Any]) -> None:
    try:
        parse_spec(LEAST | changes)
    except BadInput as error:
        blamed = {line.partition(":")[0].removeprefix("spec.").partition(".")[0] for line in str(error).splitlines()}
        assert {each.partition("[")[0] for each in blamed} <= set(LEAST | changes) | {"minReplicas", "schedules"}
