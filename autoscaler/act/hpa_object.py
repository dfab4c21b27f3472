"""A HorizontalPodAutoscaler read directly before it is written: whose its minReplicas is, and what it was before ours.

Source: kubernetes.io/docs/reference/using-api/server-side-apply (managedFields); field managers as Argo CD, Flux, Fleet
and Config Sync name themselves.
"""

from dataclasses import dataclass

from adapter.sources.kubernetes.api import Json
from autoscaler.observe.hpa_seen import HpaSeen, hpa_seen

BEFORE_ANNOTATION = "autoscaling.leadtime.dev/min-replicas-before"
"""On an HPA whose minReplicas is ours for now: what it was before."""
FLOOR_OF_ANNOTATION = "autoscaling.leadtime.dev/floor-of"
"""Beside it: the PredictiveAutoscaler whose floor it is."""

_GITOPS_MANAGERS = ("argocd", "kustomize-controller", "helm-controller", "fleet-agent", "configsync")
_GITOPS_OWNERS = ("Argo CD", "Flux")


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaObject:
    """before: what BEFORE_ANNOTATION keeps, None without it. floor_of: whose floor it is, "" without one.

    owns: whether our field manager owns spec.minReplicas; others: which others do, by name.
    """

    seen: HpaSeen
    before: int | None
    floor_of: str
    owns: bool
    others: tuple[str, ...]

    @property
    def path(self) -> str:
        return hpa_path(self.seen.key.namespace, self.seen.name)

    @property
    def is_ours(self) -> bool:
        """Whether the value that stands is one that we wrote and nobody has changed since."""
        return self.before is not None and self.owns

    @property
    def gitops(self) -> str:
        """The GitOps tool that owns minReplicas and will write its own value again; "" where none does."""
        for manager in self.others:
            if any(part in manager for part in _GITOPS_MANAGERS):
                return manager
        return self.seen.owner if self.others and self.seen.owner.startswith(_GITOPS_OWNERS) else ""


def hpa_path(namespace: str, name: str) -> str:
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"


def hpa_object(body: Json, field_manager: str) -> HpaObject:
    """From its JSON as the API server gives it, managedFields included. field_manager: ours."""
    seen = hpa_seen(body)
    annotations = body["metadata"].get("annotations") or {}
    return HpaObject(
        seen=seen,
        before=_count(annotations.get(BEFORE_ANNOTATION)),
        floor_of=annotations.get(FLOOR_OF_ANNOTATION, ""),
        owns=field_manager in seen.managers,
        others=tuple(manager for manager in seen.managers if manager != field_manager),
    )


def _count(text: str | None) -> int | None:
    """None for what is no count: somebody edited the annotation by hand."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
