"""Observe: what the cluster holds, by watches; what the workloads are asked to do, by metrics; one snapshot of both."""
