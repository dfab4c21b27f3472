"""The controller's dashboard and alerts ask for series that exist, in valid PromQL, and fire when they must."""

import re
from pathlib import Path
from typing import Any

import pytest
from monitoring import Monitoring, check_alerts, check_expressions, check_layout, check_panels, check_words
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from autoscaler.act.published import PublishedNeeds
from autoscaler.cluster import Key
from autoscaler.explain.conditions import TYPES
from autoscaler.explain.own_metrics import ControllerMetrics
from autoscaler.forecast import Forecast
from autoscaler.outcome import Acted, Finding, Outcome, Replicas
from policies.decision import Decision

ROOT = Path(__file__).parents[3]
CONTROLLER = Monitoring.of("controller", own=r"leadtime_(?:controller_[a-z_]+|needed_replicas)")
OBJECT_LABELS = ("namespace", "predictiveautoscaler")
OF_PROMETHEUS = ("instance", "le", "exported_namespace")
"""`exported_namespace` is the object's namespace where a scrape does not honor labels."""


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    check_layout(CONTROLLER)


def test_every_panel_takes_the_chosen_data_source_and_names_its_unit() -> None:
    check_panels(CONTROLLER)


def test_every_metric_of_the_controller_is_on_the_dashboard() -> None:
    """And none that the controller does not have: a renamed metric must not leave an empty panel."""
    shown = [target["expr"] for panel in CONTROLLER.panels for target in panel.get("targets", ())]
    assert CONTROLLER.own_names(" ".join(shown)) == served().keys()
    assert CONTROLLER.own_names(" ".join(rule["expr"] for rule in CONTROLLER.rules)) <= served().keys()


def test_the_documentation_lists_every_metric_with_its_labels_and_no_other() -> None:
    text = (ROOT / "docs" / "reference" / "controller-metrics.md").read_text()
    rows = re.findall(r"^\| `(leadtime_\w+)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE)
    assert {name: tuple(labels.split(",")) if labels else () for name, labels in rows} == served()
    assert CONTROLLER.own_names(text) == served().keys()


def test_the_documentation_names_every_condition() -> None:
    text = (ROOT / "docs" / "reference" / "controller-metrics.md").read_text()
    assert [each for each in TYPES if f"`{each}`" not in text] == []


def test_expressions_group_by_labels_that_the_metrics_have() -> None:
    unknown = CONTROLLER.unknown_labels(served(), known=[*OF_PROMETHEUS, "$namespace_label"])
    assert unknown == {}


def test_what_is_told_of_an_object_is_what_its_leader_says() -> None:
    """A follower withholds every write, which is no trouble; only the published need is the leader's by itself."""
    of_objects = {name for name, labels in served().items() if "predictiveautoscaler" in labels}
    for text in CONTROLLER.expressions:
        for name in CONTROLLER.own_names(text) & of_objects - {"leadtime_needed_replicas"}:
            assert text.count(name) <= text.count("and on (instance) (leadtime_controller_leader == 1)") + text.count(
                " or leadtime_controller_condition_ok"
            ), text


def test_alerts_ask_for_conditions_that_there_are() -> None:
    asked = {each for text in CONTROLLER.expressions for each in re.findall(r'condition=~?"([\w|]+)"', text)}
    assert {name for each in asked for name in each.split("|")} <= set(TYPES)


def test_prometheus_accepts_every_expression_with_either_label(tmp_path: Path) -> None:
    """The label that holds the object's namespace is chosen on the dashboard."""
    choice = CONTROLLER.variables["namespace_label"]
    options = choice["query"].split(",")
    assert options == [option["value"] for option in choice["options"]] == ["exported_namespace", "namespace"]
    check_expressions(
        [text.replace("$namespace_label", label) for text in CONTROLLER.expressions for label in options], tmp_path
    )


def test_alerts_fire_when_they_must_and_only_then(tmp_path: Path) -> None:
    """The cases, in promtool's own format, lie beside this file."""
    check_alerts(CONTROLLER, (Path(__file__).parent / "controller_alerts_cases.yaml").read_text(), tmp_path)


@pytest.mark.parametrize("rule", CONTROLLER.rules, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    check_words(rule)


def served() -> dict[str, tuple[str, ...]]:
    """Metric -> its labels, as the controller shows them once everything has happened."""
    published = PublishedNeeds(lambda: True)
    published.publish(Key("llm", "vllm"), 3, at_ns=0)
    metrics = ControllerMetrics(published, lambda: True, lambda: 0)
    numbers = ("wanted_replicas", "demand_requests_per_second", "known", "capacity_requests_per_second")
    decision = Decision(
        desired_replicas=3,
        reason="ReadyForNewScale",
        message="",
        numbers=dict.fromkeys((*numbers, "lead_time_seconds"), 1.0),
    )
    outcome = Outcome(
        key=Key("llm", "vllm"),
        uid="",
        at_ns=0,
        generation=1,
        mode="Direct",
        paused=False,
        decision=decision,
        replicas=Replicas(asked=1, ready=1, starting=0),
        acted=Acted(),
        findings=(Finding(type="Ready", status="True", reason="Deciding", message=""),),
        forecast=Forecast(
            lower_requests_per_second=1.0,
            median_requests_per_second=2.0,
            upper_requests_per_second=3.0,
            lead_time_seconds=240.0,
            covered_share=None,
        ),
    )
    metrics.step(outcome)
    metrics.error("Timeout")
    metrics.write("scale", "ok")
    return dict(described(family) for family in text_string_to_metric_families(metrics.page().decode()))


def described(family: Metric) -> tuple[str, tuple[str, ...]]:
    assert family.samples, f"{family.name}: the step above must show it"
    labels = tuple(label for label in family.samples[-1].labels if label != "le")
    return (f"{family.name}_total" if family.type == "counter" else family.name), labels
