"""The parts of benchmarks/metrics_apis.py."""
