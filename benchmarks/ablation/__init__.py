"""What benchmarks/ablations.py switches off, and how it tells what that costs."""
