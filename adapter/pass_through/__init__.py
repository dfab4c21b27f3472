"""External metrics that we do not own are another server's to answer.

A cluster has one server for external.metrics.k8s.io. Where that is us, an existing one (KEDA, Datadog) stays of
use: its APIService is taken over, and requests for names that no rule of ours knows are passed on to it.
"""
