"""The simulator: recorded demand through a fleet of simulated vLLM servers, the shipped decision code in the loop."""
