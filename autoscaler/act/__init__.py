"""What a decision does to the cluster: one file a mode, and what keeps two controllers from fighting."""
