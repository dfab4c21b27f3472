"""The parts of benchmarks/world_frontier.py: the world, who is compared, what a run came to, what is chosen."""
