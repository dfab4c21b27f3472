"""Objects and steps as the tests of acting and explaining need them."""

from typing import Any

from adapter.sources.kubernetes.label_selector import LabelSelector
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.parse import parse_spec
from autoscaler.forecast import Forecast
from autoscaler.observe.hpa_seen import HpaSeen, hpa_seen
from autoscaler.observe.scale import Scale
from autoscaler.outcome import Acted, Outcome, Replicas
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

KEY = Key("llm", "vllm")
START_NS = 1_800_000_000 * NS_PER_SECOND
HPA_PATH = "/apis/autoscaling/v2/namespaces/llm/horizontalpodautoscalers/vllm"
SCALE_PATH = "/apis/apps/v1/namespaces/llm/deployments/vllm/scale"


def at(seconds: float) -> int:
    return START_NS + int(seconds * NS_PER_SECOND)


def spec_json(**changed: Any) -> dict[str, Any]:
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
        "minReplicas": 1,
        "maxReplicas": 200,
        "profile": "llama-3.1-8b-h100",
        "slo": {"tpotSeconds": 0.05},
        **changed,
    }


def autoscaler(key: Key = KEY, *, annotations: dict[str, str] | None = None, uid: str = "", **spec: Any) -> Autoscaler:
    return Autoscaler(
        key=key,
        uid=uid or f"uid of {key.name}",
        generation=3,
        resource_version="77",
        spec=parse_spec(spec_json(**spec)),
        annotations=annotations or {},
    )


def decision(desired: int, **numbers: float) -> Decision:
    numbers = {"known": 1.0, "unknown_seconds": 0.0, "wanted_replicas": float(desired), **numbers}
    return Decision(desired_replicas=desired, reason="ReadyForNewScale", message=f"{desired} needed", numbers=numbers)


def forecast(median: float = 30.0, *, covered_share: float | None = 0.8125) -> Forecast:
    """A fifth to either side of the median, four minutes ahead."""
    return Forecast(
        lower_requests_per_second=0.8 * median,
        median_requests_per_second=median,
        upper_requests_per_second=1.2 * median,
        lead_time_seconds=240.0,
        covered_share=covered_share,
    )


def scale(replicas: int, *, status_replicas: int | None = None, version: str = "1") -> Scale:
    return Scale(
        replicas=replicas,
        status_replicas=replicas if status_replicas is None else status_replicas,
        selector=LabelSelector(),
        selector_text="app=vllm",
        resource_version=version,
        path=SCALE_PATH,
        resource="deployments.apps",
    )


def hpa_json(name: str = "vllm", *, minimum: int | None = 2, maximum: int = 50, **parts: Any) -> dict[str, Any]:
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}, "maxReplicas": maximum}
    if minimum is not None:
        spec["minReplicas"] = minimum
    spec |= parts.pop("spec", {})
    return {"metadata": {"namespace": "llm", "name": name, **parts}, "spec": spec}


def hpa(name: str = "vllm", **parts: Any) -> HpaSeen:
    return hpa_seen(hpa_json(name, **parts))


def outcome(
    after_seconds: float = 0.0,
    *,
    desired: int | None = 4,
    asked: int = 4,
    decided: Decision | None = None,
    **parts: Any,
) -> Outcome:
    made = decided or (None if desired is None else decision(desired))
    fields: dict[str, Any] = {
        "key": KEY,
        "uid": "uid of vllm",
        "at_ns": at(after_seconds),
        "generation": 3,
        "mode": "Direct",
        "paused": False,
        "decision": made,
        "replicas": None if made is None else Replicas(asked=asked, ready=asked, starting=0),
        "acted": Acted(),
        "findings": (),
        **parts,
    }
    return Outcome(**fields)
