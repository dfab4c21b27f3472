"""A policy as people name it: NAME, NAME:key=value,key=value, or a manifest's path."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leadtime.demo.policies import POLICIES, demo_policy
from leadtime.manifests.read import read_policy
from policies.errors import BadInput
from policies.policy import Policy
from policies.registry import configured
from simulations.derived import AGGREGATES
from simulations.exporter import POD_SERIES
from simulations.pipeline import is_simulated
from simulations.scenario import Scenario


def policy_from(text: str, scenario: Scenario, max_replicas: int, min_replicas: int | None = None) -> Policy[Any, Any]:
    """The policy that `text` names, fitted to the scenario: its profile, its TPOT and the bounds, unless set.

    A manifest is taken as it stands. `hpa` and `leadtime` without parameters are those of the demo. Raises BadInput.
    """
    policy = _policy(text, scenario, max_replicas, min_replicas)
    check_metrics(f"--policy {text}", policy)
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


def check_metrics(given: str, policy: Policy[Any, Any]) -> None:
    """Refuse a policy whose metric no simulated exporter has: it would only ever hold. given: the option, as typed."""
    for query in policy.queries:
        if not is_simulated(query):
            near = difflib.get_close_matches(query.name, sorted(POD_SERIES | AGGREGATES), n=3, cutoff=0.3)
            raise BadInput(
                f"{given}: {query.type} metric {query.name!r} is not simulated; "
                f"the nearest that are: {', '.join(near) or 'none'}"
            )


def settings_of(given: str, settings: str) -> dict[str, str]:
    """`key=value,key=value` as a mapping. given: the option, as typed. Raises BadInput."""
    pairs: dict[str, str] = {}
    for part in settings.split(",") if settings else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise BadInput(f"{given}: {part!r} must be key=value")
        pairs[key.strip()] = value.strip()
    return pairs
