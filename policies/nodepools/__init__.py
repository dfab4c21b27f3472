"""Replicas to nodes: what a pool of nodes must hold, now and by the time a node asked for now is ready."""
