"""Prometheus, or what speaks its HTTP API, as a source: Thanos, Mimir, VictoriaMetrics, Google's managed service."""
