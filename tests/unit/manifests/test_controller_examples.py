"""The examples of a PredictiveAutoscaler and of the HPA beside it are taken, fit together, and are in the guide."""

import re
from pathlib import Path
from typing import Any

import yaml

from autoscaler.act.hpa_reading import findings_on, hpa_tolerances, metric_read, replicas_by_hpa
from autoscaler.cluster import Key
from autoscaler.crd.build import combined_spec
from autoscaler.crd.custom_resource import manifest
from autoscaler.crd.parse import parse_spec
from autoscaler.observe.hpa_seen import hpa_seen
from leadtime.manifests.read import read_policy
from policies.hpa import HPASpec

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "manifests" / "examples"
AUTOSCALER = yaml.safe_load((EXAMPLES / "predictive-autoscaler.yaml").read_text())
HPA = yaml.safe_load((EXAMPLES / "hpa-predictive.yaml").read_text())
GUIDE = (ROOT / "docs" / "controller.md").read_text()
SPEC = parse_spec(AUTOSCALER["spec"])


def test_the_predictive_autoscaler_is_taken_by_the_controller() -> None:
    """In the mode that writes nothing, and with a profile that there is."""
    crd = yaml.safe_load(manifest())
    names = {"apiVersion": f"{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}"}
    assert AUTOSCALER.items() >= (names | {"kind": crd["spec"]["names"]["kind"]}).items()
    assert SPEC.mode == "Recommend"
    spec = combined_spec(SPEC)
    assert (spec.predictive.min_replicas, spec.predictive.max_replicas) == (1, 20)


def test_the_hpa_is_one_that_the_simulator_and_the_real_rule_take() -> None:
    policy = read_policy(EXAMPLES / "hpa-predictive.yaml")
    assert isinstance(policy.spec, HPASpec)
    assert (policy.spec.min_replicas, policy.spec.max_replicas) == (SPEC.min_replicas, SPEC.max_replicas)


def test_the_hpa_scales_the_same_workload_and_reads_its_need() -> None:
    """Exactly: one more of 20 is not lost in its tolerance."""
    assert HPA["spec"]["scaleTargetRef"] == AUTOSCALER["spec"]["scaleTargetRef"]
    seen = hpa_seen(as_applied(HPA))
    key = Key("default", AUTOSCALER["metadata"]["name"])
    assert metric_read(seen, key) is not None
    assert replicas_by_hpa(19, 20, hpa_tolerances(seen)) == 19
    assert replicas_by_hpa(21, 20, hpa_tolerances(seen)) == 21
    behavior = combined_spec(SPEC).predictive.rules
    assert list(findings_on(seen, key, need=19, status_replicas=20, our_behavior=behavior)) == []


def test_the_guides_spot_pool_and_the_one_behind_it_are_taken() -> None:
    blocks = [text for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if text.startswith("nodePools:")]
    spot, on_demand = parse_spec({**AUTOSCALER["spec"], **yaml.safe_load(blocks[0])}).node_pools
    assert spot.spot is not None
    assert spot.spot.on_demand_in_next_pool
    assert 0.0 < spot.on_demand_base_share < 1.0
    assert on_demand.spot is None
    assert spot.gpus_per_node == on_demand.gpus_per_node


def as_applied(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "namespace": "default", "uid": "1", "resourceVersion": "1"}}


def test_the_guide_shows_the_example_and_leads_to_all_of_the_manifests() -> None:
    linked = set(re.findall(r"\]\(\.\./(manifests/[^)]+)\)", GUIDE))
    files = {"examples/predictive-autoscaler.yaml", "examples/hpa-predictive.yaml"}
    files |= {f"controller/{name}" for name in ("alerts.yaml", "dashboards/controller.json")}
    assert {f"manifests/{name}" for name in files} <= linked
    assert all((ROOT / each).exists() for each in linked)
