"""The parts of benchmarks/adapter.py."""
