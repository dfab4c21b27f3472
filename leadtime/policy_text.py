"""A policy as people name it: NAME, NAME:key=value,key=value, or a manifest's path."""

import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from leadtime.demo.policies import POLICIES, demo_policy
from leadtime.manifests.read import read_policy
from policies.capacity.profile import Profile
from policies.errors import BadInput
from policies.policy import Policy
from policies.registry import configured
from simulations.derived import AGGREGATES
from simulations.exporter import POD_SERIES
from simulations.pipeline import aggregated_series, is_answered, is_simulated
from simulations.rule_values import rule_names
from simulations.scenario import Scenario
from simulations.server_kind import BatchedModel, ServerKind, title
from simulations.server_pages import pod_series


def policy_from(text: str, scenario: Scenario, max_replicas: int, min_replicas: int | None = None) -> Policy[Any, Any]:
    """The policy that `text` names, fitted to the scenario: its profile, its TPOT and the bounds, unless set.

    A manifest is taken as it stands. `hpa` and `leadtime` without parameters are those of the demo. Raises BadInput.
    """
    policy = _policy(text, scenario, max_replicas, min_replicas)
    if isinstance(scenario.server, BatchedModel) and _plans_with_profile(policy.spec):
        raise BadInput(
            f"--policy {text}: plans with a profile of vLLM's steps and KV cache, must go by metrics or by the clock "
            f"for {title(scenario.server)}, which has neither; take an HPA or a KEDA ScaledObject, static or schedule"
        )
    check_metrics(f"--policy {text}", policy, scenario.server)
    return policy


def is_manifest(text: str) -> bool:
    """Whether the text is a path, not a name."""
    return Path(text).suffix in {".yaml", ".yml"} or Path(text).is_file()


def policy_name(text: str) -> str:
    """The name in NAME:key=value; a manifest's path as it stands."""
    return text if is_manifest(text) else text.partition(":")[0]


def with_parameters(text: str, values: Mapping[str, str]) -> str:
    """The same policy with these parameters set, in the order of their names; those that were set go."""
    name, _, settings = text.partition(":")
    merged = dict(sorted({**settings_of(f"--policy {text}", settings), **values}.items()))
    return f"{name}:{','.join(f'{key}={value}' for key, value in merged.items())}" if merged else name


def _policy(text: str, scenario: Scenario, max_replicas: int, min_replicas: int | None) -> Policy[Any, Any]:
    if is_manifest(text):
        return read_policy(Path(text))
    name, _, settings = text.partition(":")
    if name in POLICIES and not settings and min_replicas is None:
        return demo_policy(name, scenario, max_replicas)
    fitting: dict[str, Any] = {
        "profile": scenario.profile,
        "tpot_seconds": scenario.slo.tpot_seconds,
        "ttft_seconds": scenario.slo.ttft_seconds,
        "max_replicas": max_replicas,
    }
    if min_replicas is not None:
        fitting["min_replicas"] = min_replicas
    return replace(configured(name, settings_of(f"--policy {text}", settings), fitting), name=text)


def check_metrics(given: str, policy: Policy[Any, Any], kind: ServerKind | None = None) -> None:
    """Refuse a policy whose metric no simulated exporter has: it would only ever hold.

    given: the option, as typed. kind: of the servers; None where only vLLM's own series are known, without rules.
    """
    for query in policy.queries:
        if not (is_simulated(query) if kind is None else is_answered(query, kind)):
            known = POD_SERIES | AGGREGATES
            if kind is not None:
                known = pod_series(kind) | aggregated_series(kind) | rule_names(pod_series(kind))
            near = difflib.get_close_matches(query.name, sorted(known), n=3, cutoff=0.3)
            raise BadInput(
                f"{given}: {query.type} metric {query.name!r} is not simulated{_of(kind)}; "
                f"the nearest that are: {', '.join(near) or 'none'}"
            )


def _of(kind: ServerKind | None) -> str:
    return "" if kind is None or kind == "vllm" else f" for {title(kind)}"


def _plans_with_profile(spec: Any) -> bool:
    """Whether the spec, or a part of it, holds the profile of a vLLM server."""
    if not is_dataclass(spec):
        return False
    return isinstance(spec, Profile) or any(_plans_with_profile(getattr(spec, each.name)) for each in fields(spec))


def settings_of(given: str, settings: str) -> dict[str, str]:
    """`key=value,key=value` as a mapping. given: the option, as typed. Raises BadInput."""
    pairs: dict[str, str] = {}
    for part in settings.split(",") if settings else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise BadInput(f"{given}: {part!r} must be key=value")
        pairs[key.strip()] = value.strip()
    return pairs
