"""Every example asks for a metric that the adapter has, by a selector that its name allows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.names.on_demand import cloud_rule
from adapter.names.resolve import NameIndex, Resolved, view_of
from adapter.names.selectors import metric_selector
from adapter.rules.watcher import check
from adapter.sources.catalogue import RULES

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
NAMES = NameIndex(RULES)


def metrics() -> Iterator[Any]:
    for path in sorted(EXAMPLES.rglob("hpa*.yaml")):
        for metric in yaml.safe_load(path.read_text())["spec"]["metrics"]:
            if metric["type"] != "Resource":
                name = str(path.relative_to(EXAMPLES))
                yield pytest.param(metric["type"], metric[metric["type"].lower()], id=f"{name}-{metric['type']}")


@pytest.mark.parametrize(("kind", "metric"), list(metrics()))
def test_the_adapter_serves_it_without_a_rule_of_ones_own(kind: str, metric: dict[str, Any]) -> None:
    name = metric["metric"]["name"]
    found = NAMES.external(name) if kind == "External" else NAMES.custom(name)
    if found is None and kind == "External" and (rule := cloud_rule(name)) is not None:
        found = Resolved(rule, view_of(name))
    assert found is not None, name
    labels = metric["metric"].get("selector", {}).get("matchLabels", {})
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    metric_selector(text, view=found.view, api="external" if kind == "External" else "custom")
    if kind == "Object":
        resources = {one.resource for one in found.rule.objects}
        group = metric["describedObject"]["apiVersion"].partition("/")[0]
        assert f"{metric['describedObject']['kind'].lower()}s.{group}" in resources


def test_the_kinds_of_the_guides_are_there() -> None:
    assert {path.name for path in EXAMPLES.glob("hpa*.yaml")} == {
        "hpa-batch-size.yaml",
        "hpa-dcgm-external.yaml",
        "hpa-dcgm.yaml",
        "hpa-duty-cycle-pods.yaml",
        "hpa-duty-cycle.yaml",
        "hpa-inference-pool-external.yaml",
        "hpa-inference-pool.yaml",
        "hpa-nim.yaml",
        "hpa-predictive.yaml",
        "hpa-queue-stackdriver-name.yaml",
        "hpa-queue.yaml",
        "hpa-sglang.yaml",
        "hpa-tgi.yaml",
        "hpa-torchserve.yaml",
        "hpa-triton.yaml",
    }


def test_the_example_rules_hold_and_show_every_form() -> None:
    names = {rule.name for rule in check([EXAMPLES / "rules"])} - {rule.name for rule in RULES}
    assert len(names) == 8
    written = yaml.safe_load((EXAMPLES / "rules" / "model-servers.yaml").read_text())["rules"]
    forms = {"latest", "rate", "ratio", "quantile", "total", "prometheus", "cloudMonitoring"}
    assert forms <= {key for rule in written for key in rule}
