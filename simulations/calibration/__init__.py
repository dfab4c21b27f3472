"""Latency profiles from measured runs, and measured runs against the simulator."""
