"""What docs/adapter.md tells people to write is taken, and it leads to every overlay and example."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.names.resolve import NameIndex
from adapter.rules.watcher import check
from adapter.sources.catalogue import RULES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "adapter.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]
NAMES = NameIndex(RULES)


@pytest.mark.parametrize("rules", [block for block in BLOCKS if block.get("kind") == "MetricRules"])
def test_rules_that_are_shown_hold(rules: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    names = {rule.name for rule in check([tmp_path])}
    assert {rule["name"] for rule in rules["rules"]} <= names


def test_the_configuration_that_is_shown_is_the_prometheus_overlays() -> None:
    (shown,) = (block for block in BLOCKS if block.get("kind") == "AdapterConfiguration")
    overlay = ROOT / "manifests" / "adapter" / "overlays" / "prometheus" / "adapter.yaml"
    assert shown == yaml.safe_load(overlay.read_text())


@pytest.mark.parametrize(
    "name",
    [
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "vllm_num_requests_waiting",
        "vllm_queue_size",
        "gpu_utilization",
        "prometheus.googleapis.com|vllm:num_requests_waiting|gauge",
        "kubernetes.io|container|accelerator|duty_cycle",
        "prometheus.googleapis.com|dcgm_fi_dev_gpu_util|unknown",
        "vllm:num_requests_running_and_waiting",
    ],
)
def test_the_names_that_are_given_as_examples_are_built_in(name: str) -> None:
    assert name.replace("|", "\\|") in TEXT
    assert NAMES.external(name) is not None


def test_it_leads_to_every_overlay_and_example() -> None:
    linked = set(re.findall(r"\]\(\.\./(manifests/[^)]+)\)", TEXT))
    hpas = {str(path.relative_to(ROOT)) for path in (ROOT / "manifests" / "examples").rglob("hpa*.yaml")}
    overlays = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "manifests" / "adapter" / "overlays").glob("*/kustomization.yaml")
    }
    assert hpas | overlays <= linked


def test_its_contents_lead_to_headings_that_are_there() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) == anchors
