"""Node pools that follow from a plan, as a gcloud command and as Config Connector's objects. Pure.

Sources: `gcloud container node-pools create` (cloud.google.com/sdk/gcloud/reference/container/node-pools/create) and
ContainerNodePool (cloud.google.com/config-connector/docs/reference/resource-docs/container/containernodepool), 2026.
Accelerator types: cloud.google.com/compute/docs/gpus.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from leadtime.plan.answer import Plan, Row
from simulations.planning.node_hours import nodes_for

_ACCELERATORS = {"t4": "nvidia-tesla-t4", "l4": "nvidia-l4", "a100": "nvidia-a100-80gb", "h100": "nvidia-h100-80gb"}
"""GPU's short name -> Google's accelerator type. L40S is not offered there."""

_GOOGLE = ("g2-", "a2-", "a3-", "n1-")
"""How the machine types with GPUs of that cloud begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One node pool. min_nodes: never fewer in any run, or none for spot; max_nodes: for maxReplicas."""

    name: str
    machine: str
    gpu: str
    gpus: int
    min_nodes: int
    max_nodes: int
    is_spot: bool

    @property
    def is_google(self) -> bool:
        return self.machine.startswith(_GOOGLE) and self.gpu in _ACCELERATORS


def pools(plan: Plan) -> list[Pool]:
    """One on demand, and one of spot nodes where the plan has some."""
    row = plan.best
    machine = row.candidate.machine
    most = nodes_for(row.cap, row.candidate.replicas_per_node)
    lowest = min(row.lowest_nodes, most)
    steady = Pool(
        name=f"{row.candidate.gpu}-on-demand",
        machine=machine.name.removesuffix(f"-{machine.gpu}"),  # the table's n1-standard-4-t4 is n1-standard-4
        gpu=row.candidate.gpu,
        gpus=machine.gpus,
        min_nodes=lowest,
        max_nodes=most,
        is_spot=False,
    )
    if row.spot is None or row.spot.spot_share == 0.0:
        return [steady]
    plans = row.spot.plans
    low, high = plans[min(plans)], plans[max(plans)]
    return [
        Pool(
            name=steady.name,
            machine=steady.machine,
            gpu=steady.gpu,
            gpus=steady.gpus,
            min_nodes=min(lowest, low.on_demand_nodes),
            max_nodes=max(most, 1),
            is_spot=False,
        ),
        Pool(
            name=f"{row.candidate.gpu}-spot",
            machine=steady.machine,
            gpu=steady.gpu,
            gpus=steady.gpus,
            min_nodes=0,
            max_nodes=max(high.spot_nodes, 1),
            is_spot=True,
        ),
    ]


def gcloud(plan: Plan) -> str:
    """A shell script; CLUSTER and the location are to be set."""
    lines = [
        "#!/bin/sh",
        *_comments(plan),
        'set -eu; : "${CLUSTER:?set it to the cluster}" "${LOCATION:=' + plan.best.candidate.machine.region + '}"',
    ]
    for pool in pools(plan):
        if not pool.is_google:
            lines.append(f"# {pool.name}: {pool.min_nodes} to {pool.max_nodes} nodes of {pool.machine}, which is not a")
            lines.append("# machine of Google Cloud: create the pool with your cloud's own tool.")
            continue
        lines += [
            f"gcloud container node-pools create {pool.name} \\",
            '  --cluster "$CLUSTER" --location "$LOCATION" \\',
            f"  --machine-type {pool.machine} \\",
            f"  --accelerator type={_ACCELERATORS[pool.gpu]},count={pool.gpus},gpu-driver-version=default \\",
            "  --num-nodes 0 --enable-autoscaling \\",
            f"  --total-min-nodes {pool.min_nodes} --total-max-nodes {pool.max_nodes} \\",
            f"  --location-policy ANY{' --spot' if pool.is_spot else ''}",
        ]
    return "\n".join(lines) + "\n"


def config_connector(plan: Plan) -> str:
    """The same as ContainerNodePools, a document each; empty but for comments where no pool is Google's."""
    documents = [_object(pool, plan) for pool in pools(plan) if pool.is_google]
    text = "".join(f"---\n{yaml.safe_dump(each, sort_keys=False)}" for each in documents)
    return "\n".join(_comments(plan)) + "\n" + text


def _object(pool: Pool, plan: Plan) -> dict[str, Any]:
    config: dict[str, Any] = {
        "machineType": pool.machine,
        "guestAccelerator": [
            {
                "type": _ACCELERATORS[pool.gpu],
                "count": pool.gpus,
                "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"},
            }
        ],
    }
    if pool.is_spot:
        config["spot"] = True
    return {
        "apiVersion": "container.cnrm.cloud.google.com/v1beta1",
        "kind": "ContainerNodePool",
        "metadata": {"name": pool.name},
        "spec": {
            "location": plan.best.candidate.machine.region,
            "clusterRef": {"name": "CLUSTER"},
            "initialNodeCount": 0,
            "autoscaling": {
                "totalMinNodeCount": pool.min_nodes,
                "totalMaxNodeCount": pool.max_nodes,
                "locationPolicy": "ANY",
            },
            "nodeConfig": config,
        },
    }


def _comments(plan: Plan) -> list[str]:
    row: Row = plan.best
    held = f"Mean {row.nodes.value:.1f}, peak {row.peak_nodes.high:.0f} nodes."
    return [
        f"# Made by leadtime plan for {plan.demand_name}: {row.candidate.name} on {row.candidate.machine.name}.",
        f"# Minimum: no run held fewer. Maximum: for maxReplicas of {row.cap}. {held}",
    ]
