"""Which of several controllers writes: a Lease elects one, and a fence keeps its writes within what it holds."""
