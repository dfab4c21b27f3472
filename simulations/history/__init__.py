"""A service's own past: what its monitoring kept of it, and what policies would have done with it."""
