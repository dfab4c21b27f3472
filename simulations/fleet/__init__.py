"""Workloads: pods with simulated servers, as a Deployment shows them from outside."""

from simulations.fleet.fleet import Fleet, advance_together

__all__ = ["Fleet", "advance_together"]
