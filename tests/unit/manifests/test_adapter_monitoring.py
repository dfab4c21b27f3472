"""The adapter's dashboard and alerts ask for series that exist, in valid PromQL, and fire when they must."""

import re
from pathlib import Path
from typing import Any

import pytest
from monitoring import Monitoring, check_alerts, check_expressions, check_layout, check_panels, check_words

from adapter.metrics import RequestMetrics
from adapter.own_metrics import series_families, source_families, state_families, target_families

ROOT = Path(__file__).parents[3]
ADAPTER = Monitoring.of("adapter", own=r"leadtime_adapter_[a-z_]+")


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    check_layout(ADAPTER)


def test_every_panel_takes_the_chosen_data_source_and_names_its_unit() -> None:
    check_panels(ADAPTER)


def test_every_metric_of_the_adapter_is_on_the_dashboard() -> None:
    """And none that the adapter does not have: a renamed metric must not leave an empty panel."""
    assert ADAPTER.own_names(" ".join(ADAPTER.expressions)) == served().keys()


def test_the_documentation_lists_every_metric_with_its_labels_and_no_other() -> None:
    text = (ROOT / "docs" / "adapter.md").read_text()
    rows = re.findall(r"^\| `(leadtime_adapter_\w+)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE)
    assert {name: tuple(labels.split(",")) if labels else () for name, labels in rows} == served()
    assert ADAPTER.own_names(text) == served().keys()


def test_expressions_group_by_labels_that_the_metrics_have() -> None:
    """`instance` is Prometheus' own, `le` a histogram's."""
    assert ADAPTER.unknown_labels(served(), known=["instance", "le"]) == {}


def served() -> dict[str, tuple[str, ...]]:
    """Metric -> its labels, as the adapter's parts offer them."""
    unread: Any = None  # a family reads its part only when the page is asked for
    families = [
        *source_families(unread, {}),
        *series_families(unread, unread),
        *target_families(()),
        *state_families(rules=unread, inventory=unread, security=unread, server=unread),
    ]
    requests: dict[str, tuple[str, ...]] = {"leadtime_adapter_requests_total": ("api", "code")}
    requests["leadtime_adapter_request_duration_seconds"] = ("api",)
    assert {one.name for one in RequestMetrics().collect()} == {name.removesuffix("_total") for name in requests}
    return requests | {f"{one.name}_total" if one.counter else one.name: one.labels for one in families}


def test_prometheus_accepts_every_expression(tmp_path: Path) -> None:
    check_expressions(ADAPTER.expressions, tmp_path)


def test_alerts_fire_when_they_must_and_only_then(tmp_path: Path) -> None:
    """The cases, in promtool's own format, lie beside this file."""
    check_alerts(ADAPTER, (Path(__file__).parent / "adapter_alerts_cases.yaml").read_text(), tmp_path)


@pytest.mark.parametrize("rule", ADAPTER.rules, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    check_words(rule)
