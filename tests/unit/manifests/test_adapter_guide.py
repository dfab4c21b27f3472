"""What docs/adapter.md tells people to write is taken, and it leads to every overlay and example."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.configuration_file import parse_configuration
from adapter.names.resolve import NameIndex
from adapter.rules.watcher import check
from adapter.settings import AdapterSettings
from adapter.sources.catalogue import RULES
from adapter.sources.rule import Rule
from adapter.sources.settings import SourceSettings

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "adapter.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^( *)```yaml\n(.*?)^\1```", TEXT, re.MULTILINE | re.DOTALL)
BLOCKS = [yaml.safe_load(textwrap.dedent(block)) for _, block in FENCED]
SECTIONS = AdapterSettings.model_json_schema()["properties"].keys()
RULES_FILES = [block for block in BLOCKS if block.get("kind") == "MetricRules"]
CONFIGURATIONS = [block for block in BLOCKS if block not in RULES_FILES and block.keys() <= SECTIONS]
OTHERS = [block for block in BLOCKS if block not in RULES_FILES and block not in CONFIGURATIONS]
NAMES = NameIndex(RULES)


@pytest.mark.parametrize("rules", RULES_FILES)
def test_rules_that_are_shown_hold(rules: dict[str, Any], tmp_path: Path) -> None:
    assert {rule["name"] for rule in rules["rules"]} <= checked(rules, tmp_path).keys()


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: "-".join(each)[:40])
def test_configurations_that_are_shown_are_taken(configuration: dict[str, Any]) -> None:
    """Whole files, and sections by themselves."""
    parse_configuration(yaml.safe_dump(configuration), "adapter.yaml")


def test_every_other_block_is_of_kustomize_or_of_prometheus_adapter() -> None:
    assert len(CONFIGURATIONS) == 3
    assert [set(block) for block in OTHERS] == [{"configMapGenerator"}, {"rules", "externalRules"}]


def test_what_it_calls_defaults_are_the_defaults(tmp_path: Path) -> None:
    (shown,) = (block for block in RULES_FILES if "maxAgeSeconds" in block["rules"][0])
    told = checked(shown, tmp_path)["my_queue_depth"]
    plain = shown | {"rules": [{key: shown["rules"][0][key] for key in ("name", "latest")}]}
    assert told == checked(plain, tmp_path)["my_queue_depth"]
    sources = {
        "scrape": {},
        "prometheus": {"url": "http://prometheus"},
        "cloudMonitoring": {"project": "p1", "location": "l1", "cluster": "c"},
    }
    lags = {kind: SourceSettings.model_validate({kind: section}).lag for kind, section in sources.items()}
    assert lags == {"scrape": 0, "prometheus": 60, "cloudMonitoring": 240}
    assert "by default 0 for `scrape`, 60 for `prometheus`, 240 for `cloudMonitoring`" in TEXT
    assert f"`failbackSeconds` ({AdapterSettings().failback_seconds:g})" in TEXT
    assert f"`onDemand.maxMetrics` at a time\n({AdapterSettings().on_demand.max_metrics})" in TEXT
    assert f"`maxConnections` ({AdapterSettings().server.http.max_connections:,})" in TEXT
    assert f"`headerTimeoutSeconds` ({AdapterSettings().server.http.header_timeout_seconds:g})" in TEXT


def checked(rules: dict[str, Any], folder: Path) -> dict[str, Rule]:
    """Name -> rule, with the built-in ones."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    found = {rule.name: rule for rule in check([folder])}
    (folder / "rules.yaml").unlink()
    return found


def test_the_configuration_that_is_shown_is_the_prometheus_overlays() -> None:
    (shown,) = (block for block in CONFIGURATIONS if "kind" in block)
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
    assert (hpas - {"manifests/examples/hpa-predictive.yaml"}) | overlays <= linked, "that one is docs/controller.md's"


def test_its_contents_lead_to_headings_that_are_there() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) == anchors
