"""Workloads: pods with simulated servers, as a Deployment or a StatefulSet shows them from outside."""

from simulations.fleet.advance import advance_together
from simulations.fleet.fleet import Fleet

__all__ = ["Fleet", "advance_together"]
