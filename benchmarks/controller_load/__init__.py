"""What benchmarks/controller.py runs the controller against: a cluster full of workloads and their metrics pages."""
