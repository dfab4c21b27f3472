"""The wire: custom.metrics.k8s.io and external.metrics.k8s.io over HTTPS."""
