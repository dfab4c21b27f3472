"""GPU nodes that fleets share: pools, a scheduler, a node autoscaler, and what they add up to."""

from simulations.cluster.cluster import Cluster

__all__ = ["Cluster"]
