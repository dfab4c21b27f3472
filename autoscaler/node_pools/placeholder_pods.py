"""The pods that hold room: what they ask for, where they may run, and how little they may do."""

import hashlib
from collections.abc import Sequence
from typing import Any

from autoscaler.crd.node_pool import NodePool
from autoscaler.node_pools.pools import SharedPool
from autoscaler.node_pools.provider import Owner, Taint
from autoscaler.node_pools.room_objects import MANAGED_BY, POOL_ANNOTATION, identity
from autoscaler.node_pools.seen import PLACEHOLDER_LABEL

Json = dict[str, Any]
API_VERSION = "autoscaling.leadtime.dev/v1alpha1"
_NOBODY = 65535


def room_metadata(shared: SharedPool, owners: Sequence[Owner], *, gpus: int) -> Json:
    """Of any object that holds room in pieces of `gpus`, in the first owner's namespace; owned by all of that
    namespace, so that it goes with the last of them."""
    namespace = owners[0].key.namespace
    return {
        "name": f"{shared.pool.name}-{_short_id(shared)}-{gpus}",
        "namespace": namespace,
        "labels": {**MANAGED_BY, PLACEHOLDER_LABEL: shared.pool.name},
        "annotations": {POOL_ANNOTATION: identity(shared.key)},
        "ownerReferences": [
            {"apiVersion": API_VERSION, "kind": "PredictiveAutoscaler", "name": owner.key.name, "uid": owner.uid}
            for owner in owners
            if owner.key.namespace == namespace
        ],
    }


def deployment(
    shared: SharedPool, owners: Sequence[Owner], taints: Sequence[Taint], *, gpus: int, replicas: int
) -> Json:
    """The Deployment of placeholders of so many GPUs each. A new description replaces them all at once: nobody is
    served by them, and a surge would ask for nodes."""
    labels = {
        PLACEHOLDER_LABEL: shared.pool.name,
        "autoscaling.leadtime.dev/node-pool-id": _short_id(shared),
        "autoscaling.leadtime.dev/gpus": str(gpus),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": room_metadata(shared, owners, gpus=gpus),
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": {**MANAGED_BY, **labels}},
                "spec": {
                    **pod_spec(shared.pool, taints, gpus=gpus),
                    "priorityClassName": shared.pool.placeholders.priority_class_name,
                },
            },
        },
    }


def pod_spec(pool: NodePool, taints: Sequence[Taint], *, gpus: int) -> Json:
    """One placeholder: nothing but the GPUs of one replica, on the pool's nodes, gone at once when its place is wanted;
    within the Pod Security Standard `restricted`."""
    tolerations = [{"key": pool.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
    for taint in taints:
        if (taint.key, taint.effect) != (pool.gpu_resource, "NoSchedule"):
            # No empty values: the API server drops them, and the object would never be found as it was written.
            value = {"value": taint.value} if taint.value else {}
            tolerations.append({"key": taint.key, "operator": "Equal", **value, "effect": taint.effect})
    return {
        **({"nodeSelector": dict(pool.node_selector)} if pool.node_selector else {}),
        "tolerations": tolerations,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "placeholder",
                "image": pool.placeholders.image,
                "resources": {
                    "requests": {"cpu": "1m", "memory": "8Mi", pool.gpu_resource: str(gpus)},
                    "limits": {pool.gpu_resource: str(gpus)},
                },
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


def _short_id(shared: SharedPool) -> str:
    """Tells pools of one name in one namespace apart."""
    return hashlib.sha256(identity(shared.key).encode()).hexdigest()[:8]
