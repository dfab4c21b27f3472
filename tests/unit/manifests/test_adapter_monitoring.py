"""The dashboard and the alerts ask for series that exist, in valid PromQL, and fire when they must."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.metrics import RequestMetrics
from adapter.own_metrics import series_families, source_families, state_families, target_families

ROOT = Path(__file__).parents[3]
ADAPTER = ROOT / "manifests" / "adapter"
DASHBOARD = json.loads((ADAPTER / "dashboards" / "adapter.json").read_text())
ALERTS = yaml.safe_load((ADAPTER / "alerts.yaml").read_text())
RULES = [rule for group in ALERTS["spec"]["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return panels + [rule["expr"] for rule in RULES]


def own_names(text: str) -> set[str]:
    """The adapter's own metrics in a text, without a histogram's suffixes."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"leadtime_adapter_[a-z_]+", text)}


def overlaps(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert not [(i, j) for i, one in enumerate(places) for j, other in enumerate(places[:i]) if overlaps(one, other)]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_every_panel_takes_the_chosen_data_source_and_names_its_unit() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            used = {name for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
            assert used <= {*variables, "__rate_interval"}, panel["title"]


def test_every_metric_of_the_adapter_is_on_the_dashboard() -> None:
    """And none that the adapter does not have: a renamed metric must not leave an empty panel."""
    assert own_names(" ".join(expressions())) == served().keys()


def test_the_documentation_lists_every_metric_with_its_labels_and_no_other() -> None:
    text = (ROOT / "docs" / "adapter.md").read_text()
    rows = re.findall(r"^\| `(leadtime_adapter_\w+)(?:\{([\w,]+)\})?` \|", text, re.MULTILINE)
    assert {name: tuple(labels.split(",")) if labels else () for name, labels in rows} == served()
    assert own_names(text) == served().keys()


def test_expressions_group_by_labels_that_the_metrics_have() -> None:
    """`instance` is Prometheus' own, `le` a histogram's."""
    for text in expressions():
        known = {label for name in own_names(text) for label in served()[name]} | {"instance", "le"}
        if own_names(text):
            asked = {label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")}
            asked |= set(re.findall(r"[{,](\w+)=", text))
            assert asked <= known, text


def served() -> dict[str, tuple[str, ...]]:
    """Metric -> its labels, as the adapter's parts offer them."""
    unread: Any = None  # a family reads its part only when the page is asked for
    families = [
        *source_families(unread, {}),
        *series_families(unread, unread),
        *target_families(()),
        *state_families(rules=unread, inventory=unread, security=unread, server=unread),
    ]
    requests = {"leadtime_adapter_requests_total": ("api", "code")}
    requests["leadtime_adapter_request_duration_seconds"] = ("api",)
    assert {one.name for one in RequestMetrics().collect()} == {name.removesuffix("_total") for name in requests}
    return requests | {f"{one.name}_total" if one.counter else one.name: one.labels for one in families}


def test_prometheus_accepts_every_expression(tmp_path: Path) -> None:
    recorded = [
        {"record": f"expression:number{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(expressions())
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    done = promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_must_and_only_then(tmp_path: Path) -> None:
    """The cases, in promtool's own format, lie beside this file."""
    cases = (Path(__file__).parent / "adapter_alerts_cases.yaml").read_text()
    assert {rule["alert"] for rule in RULES} == set(re.findall(r'alertname="(\w+)"', cases))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(ALERTS["spec"]))
    (tmp_path / "cases.yaml").write_text(cases)
    done = promtool("test", "rules", "cases.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert all(text.endswith(".") for text in sentences(rule["annotations"]))


def sentences(annotations: dict[str, str]) -> Iterator[str]:
    yield annotations["summary"]
    yield annotations["description"]


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("promtool (of the package prometheus) is not on the PATH")
    return subprocess.run(  # noqa: S603 - a fixed command on our own files
        [command, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
