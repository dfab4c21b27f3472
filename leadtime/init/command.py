"""`leadtime init`: the command line."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from leadtime.cluster_access import ContextOption, KubeconfigOption, NamespaceOption, connected
from leadtime.init.profile_guess import guess_profile
from leadtime.init.seen_lead_time import seen_lead_time
from leadtime.init.sources import PATHS, SHORT, Seen, from_cluster, from_manifests
from leadtime.init.text import predictive_autoscaler
from leadtime.pod_template import group_size, node_labels, pod_spec
from policies.errors import BadInput

_REFERENCE = re.compile(r"([a-z]+)(?:\.[a-z.]+)?/([a-z0-9][-a-z0-9.]*)")
_POOL_LABELS = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "kubernetes.azure.com/agentpool",
)


def init_command(
    what: Annotated[list[str], typer.Argument(help="hpa/NAME or scaledobject/NAME, or manifest files.")],
    *,
    namespace: NamespaceOption = "default",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Print a PredictiveAutoscaler in mode Recommend, made from an HPA or ScaledObject that you have.

    Comments say what was taken from where and what is yours to decide. Nothing is written to the cluster.
    """
    reference = _reference(what)
    if reference is None:
        seen = from_manifests([Path(each) for each in what])
    else:
        seen = asyncio.run(_from_cluster(*reference, namespace, kubeconfig, context))
    typer.echo(text_for(seen, namespace if reference else None), nl=False)
    for note in seen.notes:
        typer.echo(f"leadtime: less was seen than there is: {note}", err=True)


def text_for(seen: Seen, namespace: str | None) -> str:
    """The manifest. Raises BadInput."""
    spec = None if seen.workload is None else pod_spec(seen.workload)
    profile = guess_profile(spec, seen.node_labels)
    labels = {**(seen.node_labels or {}), **({} if spec is None else node_labels(spec))}
    pool = next(({label: labels[label]} for label in _POOL_LABELS if label in labels), None)
    return predictive_autoscaler(
        seen.found,
        profile,
        gpus_per_replica=profile.gpus * (1 if seen.workload is None else group_size(seen.workload)),
        lead_time=seen_lead_time(seen.pods),
        node_selector=pool,
        namespace=namespace,
    )


def _reference(what: list[str]) -> tuple[str, str] | None:
    """(kind, name) of an object in the cluster, or None for files. Raises BadInput."""
    if any(Path(each).exists() for each in what):
        return None
    found = _REFERENCE.fullmatch(what[0])
    kind = SHORT.get(found[1], found[1]) if found else ""
    if found is None or len(what) != 1 or kind not in PATHS:
        raise BadInput(
            f"WHAT: was {' '.join(what)!r}, must be hpa/NAME, scaledobject/NAME, or manifest files that exist; "
            "`kubectl get hpa,scaledobject -A` lists the first two"
        )
    return kind, found[2]


async def _from_cluster(kind: str, name: str, namespace: str, kubeconfig: Path | None, context: str | None) -> Seen:
    async with connected(kubeconfig, context) as client:
        return await from_cluster(client, kind, name, namespace)
