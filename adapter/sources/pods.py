"""What is known of the pods: from the Kubernetes watch, or from a targets file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from adapter.sources.series import NO_LABELS, PodKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInfo:
    """One pod that exists and is not ending: a terminated or terminating pod is not listed at all.

    ready: its Ready condition; None where nobody tells (a targets file).
    node: the name of its node, "" while it is unscheduled or unknown.
    owners: the workloads above it, as (resource, name): ("replicasets.apps", "vllm-5d4f"),
        ("deployments.apps", "vllm"), ("statefulsets.apps", "nim").
    services: names of the services that select it.
    """

    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    ready: bool | None = None
    node: str = ""
    owners: tuple[tuple[str, str], ...] = ()
    services: tuple[str, ...] = ()


Pods: TypeAlias = Mapping[PodKey, PodInfo]
"""Every pod that exists."""
